"""The page itself: on every kind of folder, with every number, and with nothing that a browser would run or load."""

import html
import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from matplotlib.figure import Figure
from page_text import parse, section
from PIL import Image
from report_runs import (
    DENSE,
    REFERENCES,
    change_summary,
    write_comparison,
    write_dsd_run,
    write_iterative_run,
    write_scores,
)
from safetensors.torch import save_file
from tiny import make_trainer
from typer.testing import CliRunner

from hf_dsd.cli import app
from hf_dsd.compare import Comparison
from hf_dsd.metrics import score_labels
from hf_dsd.report import loss_landscape, write_report
from hf_dsd.report.page_sections import LANDSCAPE_SCRIPTS, page_problems
from hf_dsd.report.report_folder import FIGURE_FILES, read_report_folder
from hf_dsd.report.timeline import read_curves
from hf_dsd.runs.run import Run
from hf_dsd.runs.scores import PhaseScores, ScoredExample

ROOT = Path(__file__).parents[2]
FIGURES = ["fate.png", "landscape.png", "timeline.png", "weights.png"]


def test_a_finished_run(tmp_path):
    folder = write_dsd_run(tmp_path / "run", heard=REFERENCES)
    loss_landscape({"phase-0-dense": DENSE}, lambda weights: 1.0).write(folder)
    path = write_report(folder)
    assert path == folder / "report.html"
    assert sorted(file.name for file in (folder / "figures").iterdir()) == FIGURES
    assert {f"figures/{name}" for name in FIGURES} == set(FIGURE_FILES)  # those that the hub sends
    assert path.figures["weights"] == folder / "figures" / "weights.png"
    shown = re.fullmatch(r'<iframe srcdoc="([^"]*)" style="[^"]*"></iframe>', path._repr_html_())  # in a notebook
    assert html.unescape(shown[1]) == path.read_text()
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
    assert (
        "With seed 1 alone, of 4 test examples dsd is better than dense on 1, worse on 0 and as good on 3" in page.text
    )
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
    write_dsd_run(tmp_path / "seed-7" / "dsd", finished=2)
    page = parse(write_report(tmp_path))
    assert "The arms cannot be compared yet" in page.text
    assert "Unfinished: after phase-1-sparse" in page.text
    assert "have not been trained again yet" in page.text


def test_runs_side_by_side(tmp_path):
    write_dsd_run(tmp_path / "dsd", heard=REFERENCES)
    write_dsd_run(tmp_path / "dense-control", arm="dense", heard=["x", *REFERENCES[1:]])
    found = read_report_folder(tmp_path)
    assert [run.arm for run in found.runs] == ["dsd", "dense"]
    assert "dsd is better than dense on 1" in parse(write_report(tmp_path)).text
    for path in tmp_path.glob("*/dsd_summary.json"):
        path.write_text(path.read_text().replace('"seed": 7, ', ""))  # an old version's
    assert "Of 4 test examples dsd is better than dense on 1" in parse(write_report(tmp_path)).text


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


def start_from_trained(folder):
    """Makes a run one whose first phase has length 0: it has left no record and no model."""
    summary = json.loads((folder / "dsd_summary.json").read_text())
    summary["schedule"][0]["end"] = 0
    change_summary(folder, schedule=summary["schedule"], phases=summary["phases"][1:])
    shutil.rmtree(folder / "phase-0-dense")


def test_a_run_from_a_trained_model_has_finished_and_shows_what_it_pruned(tmp_path):
    folder = write_dsd_run(tmp_path / "run")
    start_from_trained(folder)
    assert Run.read(folder).is_finished
    path = write_report(folder)
    assert "it began from a model trained elsewhere, which is not in the folder" in section(path, "weights")
    layers = section(path, "layers")
    assert "big.weight 2 × 4 8 50.0 % 50.0 % 0.4 – –" in layers
    assert "small.weight 2 × 2 4 25.0 % 25.0 % 0.5 – –" in layers
    assert "layer 1 sparse 2 dense" in layers  # means and deviations of the models that are there


def test_a_missing_phase_is_named(tmp_path):
    folder = write_dsd_run(tmp_path / "run")
    shutil.rmtree(folder / "phase-0-dense")
    weights = section(write_report(folder), "weights")
    assert "phase-0-dense/ with its weights is neither in the folder nor in that of another arm." in weights
    shutil.rmtree(folder / "phase-1-sparse")
    assert "and phase-1-sparse/ with its weights is not in the folder." in section(write_report(folder), "weights")


def test_a_first_phase_that_another_arm_trained_is_shown(tmp_path):
    out = write_comparison(tmp_path)
    shutil.rmtree(out / "seed-1" / "dsd" / "phase-0-dense")
    path = write_report(out)
    assert "(1) at the end of phase-0-dense (trained by dense)" in section(path, "weights")
    assert "big.weight 2 × 4 8 50.0 % 50.0 % 0.4 25.0 % 66.7 %" in section(path, "layers")


def test_every_sparse_phase_has_its_table(tmp_path):
    layers = section(write_report(write_iterative_run(tmp_path)), "layers")
    first, second = layers.index("phase-1-sparse"), layers.index("phase-3-sparse")
    assert "big.weight 2 × 4 8 25.0 % 25.0 % 0.2 50.0 % 100.0 %" in layers[first:second]
    assert "big.weight 2 × 4 8 50.0 % 50.0 % 0.4 25.0 % 66.7 %" in layers[second:]
    assert "layer 0 dense 1 sparse 2 dense 3 sparse 4 dense" in layers


def test_random_masks_have_no_threshold(tmp_path):
    folder = write_dsd_run(tmp_path / "run", arm="random")
    change_summary(folder, mask_criterion="random")
    path = write_report(folder)
    weights, layers = section(path, "weights"), section(path, "layers")
    assert "masks are by chance" in weights
    assert "of 4 pruned weights moved away from zero" in weights
    assert "came back above" not in weights
    assert "pruned below this" not in weights
    assert "layer shape weights target pruned same sign" in layers
    assert "big.weight 2 × 4 8 50.0 % 50.0 % 66.7 %" in layers


def test_a_threshold_that_was_not_recorded_is_left_out(tmp_path):
    folder = write_dsd_run(tmp_path / "run")
    (folder / "dsd_summary.json").write_text(
        (folder / "dsd_summary.json").read_text().replace('"threshold": 0.4', '"threshold": null')
    )
    assert "big.weight 2 × 4 8 50.0 % 50.0 % – – 66.7 %" in section(write_report(folder), "layers")


def test_models_that_were_scored_differently_have_tables_of_their_own(tmp_path):
    out = write_comparison(tmp_path)
    scores = PhaseScores.read(out / "seed-1" / "dense", "phase-2-dense")
    for change in ({"split": "validation"}, {"split": "dev", "metric": "cer"}):
        replace(scores, **change).write(out / "seed-1" / "dense", None)
    other = {**scores.scores, "signature": "scored in another way"}
    replace(scores, phase="phase-1-dense", scores=other).write(out / "seed-2" / "dense", None)
    text = section(write_report(out), "scores")
    headings = ["wer on test", "wer on test", "cer on dev", "wer on validation"]
    assert re.findall(r"run model (\w+ on \w+) 95 %", text) == headings
    first, alike, dev, validation = text.split("run model ")[1:]
    assert (first.count(", seed"), alike.count(", seed"), dev.count(", seed"), validation.count(", seed")) == (
        4,
        1,
        1,
        1,
    )
    assert "dense, seed 2 phase-1-dense" in alike
    assert alike.strip().endswith("Signature: scored in another way")


def test_one_damaged_run_costs_a_comparison_that_run_alone(tmp_path):
    out = write_comparison(tmp_path)
    (out / "seed-2" / "dsd" / "dsd_summary.json").write_text("{")
    (out / "seed-1" / "dense" / "test_phase-2-dense.json").write_text("{}")
    path = out / "seed-1" / "dsd" / "phase-1-sparse" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-8])
    (out / "seed-1" / "dsd" / "landscape.json").write_text("{")
    page = parse(write_report(out)).text
    assert "3 of 3 runs finished" in page
    assert "dsd, seed 2 is left out: " in page
    assert "dsd_summary.json is damaged (JSONDecodeError" in page
    assert "test_phase-2-dense.json is damaged (it lacks examples" in page
    assert "dsd, seed 1: phase-1-sparse/ cannot be read (SafetensorError: " in page
    assert "landscape.json cannot be read (" in page


def test_a_folder_of_nothing_but_damaged_runs_is_refused(tmp_path):
    for seed in (1, 2):
        (tmp_path / f"seed-{seed}" / "dsd").mkdir(parents=True)
        (tmp_path / f"seed-{seed}" / "dsd" / "dsd_summary.json").write_text("{")
    with pytest.raises(ValueError, match=r"seed-1/dsd/dsd_summary.json is damaged .*seed-2/dsd/dsd_summary.json"):
        write_report(tmp_path)


def test_a_classifiers_answers_are_right_or_wrong(tmp_path):
    for arm, told in (("dsd", ["cat", "dog"]), ("dense", ["cat", "fire engine"])):
        folder = write_dsd_run(tmp_path / arm, arm=arm)
        rows = [ScoredExample(name, said, [true]) for name, said, true in zip("ab", told, ["cat", "dog"], strict=True)]
        scores = score_labels(told, ["cat", "dog"])
        PhaseScores("phase-2-dense", "test", "error", False, scores, 1.0, rows).write(folder, None)
    text = section(write_report(tmp_path), "examples")
    assert "dsd is better than dense on 1, worse on 0 and as good on 1, by top-1 error" in text
    assert "dense fire engine wrong" in text
    assert "dsd dog right" in text
    assert "the class dog" in text


def test_a_reader_meets_the_verdict_first_then_the_scores(tmp_path):
    path = write_report(write_comparison(tmp_path / "out"))
    words = parse(path).text
    verdict = words.index(Comparison.from_folder(tmp_path / "out").verdict.text)
    assert verdict < words.index("4 of 4 runs finished") < words.index("Timeline", words.index("4 of 4"))
    order = ["comparison", "scores", "timeline", "examples", "weights", "layers", "runs"]
    assert re.findall(r'<section id="(\w+)">', path.read_text(encoding="utf-8")) == order  # and no empty box
    run = write_report(write_dsd_run(tmp_path / "run", heard=REFERENCES))
    assert re.findall(r'<section id="(\w+)">', run.read_text(encoding="utf-8")) == order[1:]


def test_advice_names_a_flag_only_of_a_script_that_has_it(tmp_path):
    folder = write_dsd_run(tmp_path / "run")
    change_summary(folder, command=["examples/run_clm.py", "--sparsity", "0.5"])
    text = section(write_report(folder), "runs")
    assert "--landscape" not in text
    assert "measure_run_landscape" in text
    change_summary(folder, command=["/somewhere/run_captioning.py"])
    assert "--do_train false --landscape true" in section(write_report(folder), "runs")
    change_summary(folder, command=[])
    assert "--landscape" not in section(write_report(folder), "runs")
    have = [path.name for path in (ROOT / "examples").glob("run_*.py") if "    landscape: bool" in path.read_text()]
    assert sorted(have) == sorted(LANDSCAPE_SCRIPTS)


def test_right_and_wrong_words_are_marked(tmp_path):
    folder = write_dsd_run(tmp_path / "run", heard=[REFERENCES[0], "five sax seven eight", *REFERENCES[2:]])
    page = write_report(folder).read_text(encoding="utf-8")
    assert '<mark class="right">five</mark> <mark>sax</mark> <mark class="right">seven</mark>' in page
    assert "is better than" not in page  # a single model has no rival
    assert "Evenly spaced through the split." in page


DAMAGED_LOGS = [[{"step": "x"}], [{"step": None}], [{"step": True}], [{"step": -1}], [{"step": 1.5}], [3], "x", None]
DAMAGED_LOGS += [[{"step": 1, "loss": 10**400}]]


@pytest.mark.parametrize("log", DAMAGED_LOGS)
def test_a_log_row_of_a_wrong_type_is_named(tmp_path, log):
    folder = write_dsd_run(tmp_path / "run")
    (folder / "trainer_state.json").write_text(json.dumps({"log_history": log}))
    (problem,) = page_problems(read_report_folder(folder))
    assert problem.startswith("dsd, seed 7: trainer_state.json cannot be read (")


@pytest.mark.parametrize("value", ["x", None, [1], {"a": 1}, float("nan"), float("inf"), True])
def test_values_of_a_log_that_are_no_numbers_are_not_drawn(tmp_path, value):
    folder = write_dsd_run(tmp_path / "run")
    row = {"step": 4, "loss": value, "eval_loss": value, "learning_rate": value, "eval_wer": value}
    (folder / "trainer_state.json").write_text(json.dumps({"log_history": [row, {"step": 8, "loss": 1.0}]}))
    curves = read_curves(Run.read(folder), "eval_wer")
    assert (curves.train_loss, len(curves.eval_loss), len(curves.metric)) == ([(8, 1.0)], 3, 3)


def test_metrics_that_are_not_finite_cost_no_page(tmp_path):
    folder = write_dsd_run(tmp_path / "run")
    phases = json.loads((folder / "dsd_summary.json").read_text())["phases"]
    for phase in phases:
        phase["metrics"] = {"eval_loss": float("nan"), "eval_wer": float("inf")}
    change_summary(folder, phases=phases)
    assert "Timeline" in parse(write_report(folder)).text


@pytest.mark.parametrize(
    ("name", "value"), [("learning_rates", [[0, "x"]]), ("learning_rates", "abc"), ("learning_rates", [[1]])]
    + [("left_early", "no"), ("seconds", "x"), ("metrics", {"eval_loss": "x"}), ("layers", [{}])],
)  # fmt: skip
def test_a_phase_with_a_value_of_a_wrong_type_is_named(tmp_path, name, value):
    folder = write_dsd_run(tmp_path / "run")
    phases = json.loads((folder / "dsd_summary.json").read_text())["phases"]
    phases[1][name] = value
    change_summary(folder, phases=phases)
    with pytest.raises(ValueError, match=r"dsd_summary.json is damaged \(.*\): restore it, or train the run again"):
        write_report(folder)


def test_an_interval_of_one_number_is_named(tmp_path):
    folder = write_dsd_run(tmp_path / "run", heard=REFERENCES)
    path = folder / "test_phase-2-dense.json"
    content = json.loads(path.read_text())
    content["scores"]["wer_ci"] = [0.1]
    path.write_text(json.dumps(content))
    page = parse(write_report(folder)).text
    assert "test_phase-2-dense.json is damaged ('wer_ci' must be the two ends of an interval, got [0.1])" in page
    content["scores"] |= {"wer": 10**400, "wer_ci": [0.1, 0.2]}  # no float
    path.write_text(json.dumps(content))
    assert "is damaged (ValueError: it holds an integer of 401 digits)" in parse(write_report(folder)).text


def test_names_with_half_a_surrogate_pair_are_written(tmp_path):
    folder = write_dsd_run(tmp_path / "run")
    change_summary(folder, model="half \ud800")
    assert "half ?" in parse(write_report(folder)).text


def test_whatever_is_written_into_a_run_is_shown_as_text(tmp_path):
    """Arm, command, versions, model, optimizer, parameters and examples: nothing is markup."""
    bad = "<script>alert(1)</script>"
    folder = write_dsd_run(tmp_path / "run")
    write_scores(folder, "phase-2-dense", [bad, *REFERENCES[1:]])
    row = {"name": bad, "shape": [1], "weights": 1, "override": None, "dense_reason": bad}
    facts = {"arm": bad, "model": bad, "optimizer": bad, "command": [bad, bad], "versions": {bad: bad}}
    change_summary(folder, **facts, parameters=[row], mask_criterion=bad, lr_scheduler_type=bad)
    page = parse(write_report(folder))
    assert "script" not in page.tags
    assert page.text.count("alert(1)") > 10


def test_every_figure_is_drawn_three_times(tmp_path, monkeypatch):
    """As PNG and as SVG in two widths; the layout is made once a width, not once a file."""
    drawn = []
    draw = Figure.draw
    monkeypatch.setattr(Figure, "draw", lambda figure, renderer: [drawn.append(figure), draw(figure, renderer)][1])
    write_report(write_dsd_run(tmp_path / "run", heard=REFERENCES))
    assert len(drawn) == 3 * 3


def test_a_run_is_read_once_and_its_weights_are_opened_twice(tmp_path):
    """Once to see that they are whole, and once for all numbers and figures."""
    folder = write_iterative_run(tmp_path / "run")
    words = [sys.executable, "-c", COUNT_OPENS, str(folder)]
    opened = json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
    assert opened.pop("dsd_summary.json") == 1
    assert opened == {f"{phase}/model.safetensors": 2 for phase in Run.read(folder).finished_phases}


COUNT_OPENS = """
import json, sys
from collections import Counter
from pathlib import Path
import safetensors
folder, opened, safe_open = Path(sys.argv[1]), Counter(), safetensors.safe_open
def note(path):
    if isinstance(path, str | Path) and Path(path).is_relative_to(folder) and Path(path).suffix != ".partial":
        opened[Path(path).relative_to(folder).as_posix()] += 1
def audit(event, arguments):
    if event == "open" and str(arguments[0]).endswith("dsd_summary.json"):
        note(arguments[0])
def counted(path, *arguments, **options):  # safetensors opens files where no audit hook sees it
    note(path)
    return safe_open(path, *arguments, **options)
sys.addaudithook(audit)
safetensors.safe_open = counted
from hf_dsd.report import write_report
write_report(folder)
print(json.dumps(opened))
"""
