"""A control is called one of the same budget only where it has trained for as long as what it controls."""

import json
from pathlib import Path

import pytest
from run_folders import heard, write_run

from hf_dsd.compare import Comparison
from hf_dsd.compare.table import print_comparison, to_markdown
from hf_dsd.report import write_report

SHORT, SAME = "dense control", "dense control (same budget)"


def arm(out: Path, name: str, *steps: float, last: str = "phase-2-dense", **summary) -> None:
    """An arm of two seeds, 40 steps times `steps` (one for each seed) long."""
    for seed, factor in enumerate(steps, start=1):
        run = write_run(out, seed, name, {last: heard(seed + (name == "dense"))}, **summary)
        content = json.loads((run / "dsd_summary.json").read_text())
        for phase in (*content["schedule"], *content["phases"]):
            phase["start"], phase["end"] = round(factor * phase["start"]), round(factor * phase["end"])
        (run / "dsd_summary.json").write_text(json.dumps(content))


def test_a_control_of_a_tenth_of_the_steps_is_none_of_the_same_budget(tmp_path, capsys):
    arm(tmp_path, "dense", 0.1, 0.1)
    arm(tmp_path, "dsd", 1, 1)
    comparison = Comparison.from_folder(tmp_path)
    assert [one.label for one in comparison.arms.values()] == [SHORT, "DSD"]
    said = "dense trained for 4 steps, dsd for 40: no equal budget."
    assert comparison.verdict.text.endswith(f". {said}")
    print_comparison(comparison)
    assert " ".join(capsys.readouterr().out.split()).endswith(said)
    assert f"{said}**\n" in to_markdown(comparison)
    assert "| 1,000 % |\n" in to_markdown(comparison)
    page = write_report(tmp_path).read_text()
    assert said in page
    assert "same budget" not in page


@pytest.mark.parametrize(
    ("factors", "label"),
    [((10, 10), SAME), ((10.1, 9.9), SAME), ((10, 10.15), SHORT), ((9.85, 10), SHORT)],
    ids=["equal", "one percent", "longer", "shorter"],
)
def test_one_percent_is_the_same_budget(tmp_path, factors, label):
    arm(tmp_path, "dense", *factors)
    arm(tmp_path, "dsd", 10, 10)
    comparison = Comparison.from_folder(tmp_path)
    assert comparison.arms["dense"].label == label
    assert ("no equal budget" in comparison.verdict.text) == (label == SHORT)


def test_every_arm_that_prunes_is_looked_at(tmp_path):
    arm(tmp_path, "dense", 1, 1.5)
    arm(tmp_path, "dropout", 3, 3)  # prunes nothing: a rival, as long as it likes
    arm(tmp_path, "dsd", 1, 1.5)
    for name, factor in (("random", 1), ("s80", 2), ("s90", 2), ("long", 100)):
        arm(tmp_path, name, factor, factor, mask_criterion="random" if name == "random" else "magnitude")
    text = "dense trained for 40 to 60 steps, random for 40; long for 4,000; s80, s90 for 80: no equal budget."
    comparison = Comparison.from_folder(tmp_path)
    assert comparison.verdict.text.endswith(f" {text}")
    assert comparison.arms["dense"].label == SHORT
    without = Comparison.from_folder(tmp_path, arms=["dense", "dropout", "dsd"])
    assert without.arms["dense"].label == SAME
    assert "no equal budget" not in without.verdict.text


def test_a_baseline_of_the_users_own_is_a_control_too(tmp_path):
    arm(tmp_path, "dropout", 0.5, 0.5)
    arm(tmp_path, "dsd", 1, 1)
    comparison = Comparison.from_folder(tmp_path, baseline="dropout")
    assert comparison.verdict.text.endswith(" dropout trained for 20 steps, dsd for 40: no equal budget.")


def test_sparse_training_is_of_the_same_budget_only_if_it_is(tmp_path):
    for factor, label in ((1, "sparse training (same budget)"), (2, "sparse training")):
        out = tmp_path / str(factor)
        arm(out, "dense", factor, factor)
        arm(out, "dsd", 1, 1)
        for seed in (1, 2):
            run = out / f"seed-{seed}" / "dsd"
            content = json.loads((run / "dsd_summary.json").read_text())
            for key in ("schedule", "phases"):
                content[key][2] |= {"kind": "sparse", "sparsity": 0.5}
            content["phases"][2]["name"] = "phase-2-sparse"
            (run / "dsd_summary.json").write_text(json.dumps(content))
            (run / "test_phase-2-dense.json").rename(run / "test_phase-2-sparse.json")
            scores = json.loads((run / "test_phase-2-sparse.json").read_text())
            (run / "test_phase-2-sparse.json").write_text(json.dumps(scores | {"phase": "phase-2-sparse"}))
        assert Comparison.from_folder(out).arms["dsd"].label == label
