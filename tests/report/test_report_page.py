"""The page itself: on every kind of folder, with every number, and with nothing that a browser would run or load."""

import json
import re

import pytest
import torch
from page_text import parse
from PIL import Image
from report_runs import DENSE, REFERENCES, write_comparison, write_dsd_run, write_scores
from safetensors.torch import save_file
from tiny import make_trainer
from typer.testing import CliRunner

from hf_dsd.cli import app
from hf_dsd.compare import Comparison
from hf_dsd.report import loss_landscape, write_report
from hf_dsd.report.report_folder import read_report_folder
from hf_dsd.report.run_record import read_run

FIGURES = ["fate.png", "landscape.png", "timeline.png", "weights.png"]


def test_a_finished_run(tmp_path):
    folder = write_dsd_run(tmp_path / "run", heard=REFERENCES)
    loss_landscape({"phase-0-dense": DENSE}, lambda weights: 1.0).write(folder)
    path = write_report(folder)
    assert path == folder / "report.html"
    assert sorted(file.name for file in (folder / "figures").iterdir()) == FIGURES
    page = parse(path)
    assert "TinyLSTM: dense, sparse, dense" in page.text
    assert "D 10 → S 50% 5 → D 5 steps" in page.text
    assert "of 4 pruned weights moved away from zero" in page.text
    assert "66.7 % have the sign again" in page.text
    assert "exactly as many as the run recorded as pruned" in page.text
    assert "train.py --sparsity 0.5" in page.text
    assert "big.weight (the largest pruned layer)" in page.text.replace(" (", " (")
    assert page.tags.count("svg") == 8  # four figures in two widths
    assert [size for size in (Image.open(folder / "figures" / name).size for name in FIGURES) if size[0] < 2600] == []


def test_the_page_is_the_same_every_time_and_leaves_nothing_beside(tmp_path):
    folder = write_dsd_run(tmp_path / "run", heard=REFERENCES)
    first = write_report(folder).read_bytes()
    assert write_report(folder).read_bytes() == first
    assert not list(folder.rglob("*.partial"))


def test_a_page_elsewhere_leaves_the_run_alone(tmp_path):
    folder = write_dsd_run(tmp_path / "run")
    before = sorted(folder.rglob("*"))
    assert write_report(folder, tmp_path / "deep" / "page.html") == tmp_path / "deep" / "page.html"
    assert (tmp_path / "deep" / "figures" / "weights.png").is_file()
    assert sorted(folder.rglob("*")) == before


def test_a_comparison_has_a_verdict_and_all_arms(tmp_path):
    out = write_comparison(tmp_path)
    Comparison.from_folder(out).write(out)
    page = parse(write_report(out))
    comparison = Comparison.read(out)
    assert comparison.verdict.text in page.text
    assert "dense control (same budget)" in page.text
    assert "Of 4 test examples dsd is better than dense on 1, worse on 0 and as good on 3" in page.text
    assert "4 of 4 runs finished" in page.text
    (out / "comparison.json").unlink()
    assert comparison.verdict.text in parse(write_report(out)).text  # computed from the runs


def test_averages_are_scored_but_the_controls_own_texts_are_shown(tmp_path):
    out = write_comparison(tmp_path)
    write_scores(out / "seed-1" / "dense", "phase-2-dense-swa", REFERENCES)
    page = parse(write_report(out))
    assert "phase-2-dense-swa" in page.text
    assert "dsd is better than dense on 1" in page.text


def test_a_comparison_without_a_finished_run_says_so(tmp_path):
    write_dsd_run(tmp_path / "seed-1" / "dsd", finished=2)
    page = parse(write_report(tmp_path))
    assert "The arms cannot be compared yet" in page.text
    assert "unfinished: after phase-1-sparse" in page.text
    assert "have not been trained again yet" in page.text


def test_runs_side_by_side(tmp_path):
    write_dsd_run(tmp_path / "dsd", heard=REFERENCES)
    write_dsd_run(tmp_path / "dense-control", arm="dense", heard=["x", *REFERENCES[1:]])
    found = read_report_folder(tmp_path)
    assert [run.arm for run in found.runs] == ["dsd", "dense"]
    assert "dsd is better than dense on 1" in parse(write_report(tmp_path)).text


def test_the_control_alone_has_no_pruned_weights(tmp_path):
    page = parse(write_report(write_dsd_run(tmp_path / "run", arm="dense")))
    assert "the dense control has none by design" in page.text
    assert not (tmp_path / "run" / "figures" / "weights.png").exists()


@pytest.mark.parametrize("steps", [2, 5, 9], ids=["dense", "sparse", "redense"])
def test_a_run_that_was_killed(tmp_path, steps):
    """Only checkpoints, or a summary that ends early: each is a report of what there is."""
    trainer = make_trainer(tmp_path, save_strategy="steps", save_steps=1, save_total_limit=1, eval_strategy="steps")
    trainer.add_callback(_stop_after(steps))
    trainer.train()
    page = parse(write_report(tmp_path))
    assert (tmp_path / "figures" / "timeline.png").is_file()
    assert (tmp_path / "figures" / "weights.png").is_file() == (steps > 3)
    assert (f"step {steps}, before the phase's end" in page.text) == (steps > 3)
    assert ("moved away from zero" in page.text) == (steps > 7)
    assert "phase-0-dense" in page.text


def _stop_after(steps):
    from transformers import TrainerCallback

    class Stop(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            control.should_training_stop = state.global_step == steps

    return Stop()


def test_only_a_checkpoint(tmp_path):
    trainer = make_trainer(tmp_path, save_strategy="steps", save_steps=2)
    trainer.add_callback(_stop_after(2))
    trainer.train()
    (tmp_path / "dsd_summary.json").unlink()
    page = parse(write_report(tmp_path))
    assert "D 3 → S 50% 4 → D 5 steps" in page.text
    assert "checkpoint-2/trainer_state.json" in page.text


def test_texts_are_shown_not_run(tmp_path):
    bad = "<script>alert(1)</script><img src=http://x.y onerror=alert(2)> {{ 7*7 }} $x^2$"
    folder = write_dsd_run(tmp_path / "run")
    write_scores(folder, "phase-2-dense", [bad, *REFERENCES[1:]])
    name = "w$^2<b>#0072b2 {{ 7*7 }}"
    summary = (folder / "dsd_summary.json").read_text().replace("big.weight", name).replace("TinyLSTM", bad)
    (folder / "dsd_summary.json").write_text(summary)
    for phase in ("phase-0-dense", "phase-1-sparse", "phase-2-dense"):
        file = folder / phase / "model.safetensors"
        save_file({name: DENSE["big.weight"] * (torch.arange(8).view(2, 4) > 3)}, file)
    page = parse(write_report(folder))
    assert "script" not in page.tags
    assert "img" not in page.tags
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert "<script>alert(1)</script>" in page.text
    assert "{{ 7*7 }}" in page.text
    assert "w$^2<b>#0072b2" in page.text


def test_nothing_is_loaded_from_anywhere(tmp_path):
    page = parse(write_report(write_dsd_run(tmp_path / "run", heard=REFERENCES)))
    links = [value for name, value in page.attributes if name in ("src", "href", "xlink:href", "action", "data")]
    assert [link for link in links if not link.startswith(("#", "data:"))] == []
    csp = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    assert ("content", csp) in page.attributes
    ids = [value for name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    assert {link[1:] for link in links if link.startswith("#")} <= set(ids)
    assert set(re.findall(r"url\(#([^)]+)\)", (tmp_path / "run" / "report.html").read_text())) <= set(ids)


def test_folders_that_are_no_run_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="is no folder: give the output_dir of a run or the --out of a"):
        write_report(tmp_path / "nowhere")
    (tmp_path / "seed-1" / "dsd").mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match="is no run and holds none"):
        write_report(tmp_path)
    (tmp_path / "dsd_summary.json").write_text("{")
    with pytest.raises(ValueError, match="dsd_summary.json is damaged"):
        write_report(tmp_path)
    assert not (tmp_path / "report.html").exists()


def test_a_layer_that_is_not_pruned_is_refused_by_name(tmp_path):
    folder = write_dsd_run(tmp_path / "run")
    with pytest.raises(ValueError, match="^layer must be one that phase-1-sparse prunes, .* got 'bias'$"):
        write_report(folder, layer="bias")
    with pytest.raises(ValueError, match="^layer 'bias' cannot be drawn"):
        write_report(write_dsd_run(tmp_path / "control", arm="dense"), layer="bias")
    assert "small.weight (chosen by --layer)" in parse(write_report(folder, layer="small.weight")).text


def test_the_command(tmp_path):
    folder = write_dsd_run(tmp_path / "run")
    done = CliRunner().invoke(app, ["report", str(folder), "--out", str(tmp_path / "page.html")])
    assert (done.exit_code, done.output) == (0, f"The report is in {tmp_path / 'page.html'}.\n")
    wrong = CliRunner().invoke(app, ["report", str(tmp_path / "nowhere")])
    assert wrong.exit_code == 2
    assert "is no folder" in wrong.output


def test_comparing_ends_with_the_report(tmp_path):
    out = write_comparison(tmp_path / "out")
    done = CliRunner().invoke(app, ["compare", "--collect", "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert done.output.splitlines()[-1] == f"The report is in {out / 'report.html'}."
    assert json.loads((out / "comparison.json").read_text())["verdict"]["text"] in parse(out / "report.html").text


def test_a_run_from_a_trained_model_has_finished(tmp_path):
    """Its first phase has length 0 and left no record."""
    folder = write_dsd_run(tmp_path)
    summary = json.loads((folder / "dsd_summary.json").read_text())
    summary["schedule"][0]["end"] = 0
    (folder / "dsd_summary.json").write_text(json.dumps(summary | {"phases": summary["phases"][1:]}))
    assert read_run(folder).is_finished
