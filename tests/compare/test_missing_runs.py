"""Runs that failed, diverged, were killed or lie under another name: none of them vanishes from what is said."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from rich.console import Console
from run_folders import REFERENCES, heard, write_run
from typer.testing import CliRunner

from hf_dsd.cli import app
from hf_dsd.compare import Comparison
from hf_dsd.compare.runner import _last_lines
from hf_dsd.compare.table import failures, print_comparison, to_markdown
from hf_dsd.report import write_report
from hf_dsd.runs.scores import PhaseScores, ScoredExample

LAST = "phase-2-dense"
DIVERGED = "RuntimeError: training has diverged: 3 parameter(s) hold NaN or inf in phase-0-dense after step 4 (a, b, c)"


def write_failed(out: Path, seed: int, arm: str, error: str = DIVERGED) -> None:
    """A run that left no summary, and the note of how it ended."""
    (out / f"seed-{seed}" / arm).mkdir(parents=True)
    status = {"recipe": "", "status": "failed", "error": error, "seconds": 1.0}
    (out / f"seed-{seed}" / f"{arm}.json").write_text(json.dumps(status))


def write_pairs(out: Path, seeds: Sequence[int], arms: Sequence[str] = ("dense", "dsd")) -> None:
    """Seeds of a control with 8 of 12 words wrong, and arms with 4 or, of every third seed, 3 wrong."""
    for seed in seeds:
        for arm in arms:
            wrong = 8 if arm == "dense" else 4 - (seed % 3 == 0)
            write_run(out, seed, arm, {LAST: heard(wrong)}, mask_criterion="random" if arm == "random" else "magnitude")


def test_a_run_that_the_trainer_ended_as_diverged_vetoes_a_win(tmp_path: Path) -> None:
    write_pairs(tmp_path, [1, 2, 3])
    write_run(tmp_path, 4, "dense", {LAST: heard(8)})
    write_failed(tmp_path, 4, "dsd", "the run was ended")
    found = Comparison.from_folder(tmp_path)
    assert found.verdict is not None
    assert found.verdict.outcome == "better"
    (tmp_path / "seed-4" / "dsd.json").unlink()
    (tmp_path / "seed-4" / "dsd").rmdir()
    write_failed(tmp_path, 4, "dsd")
    found = Comparison.from_folder(tmp_path)
    assert [one.diverged for one in found.runs if one.status == "failed"] == [True]
    assert found.verdict is not None
    assert found.verdict.outcome == "not distinguishable"
    assert "but dsd diverged with 1 of 4 seeds; lower its learning rate" in found.verdict.text


def test_an_arm_without_any_result_is_no_win_of_another(tmp_path: Path) -> None:
    write_pairs(tmp_path, [1, 2, 3, 4], ["dense", "random"])
    for seed in (1, 2, 3, 4):
        write_failed(tmp_path, seed, "dsd")
    verdict = Comparison.from_folder(tmp_path).verdict
    assert verdict is not None
    assert (verdict.arm, verdict.to, verdict.outcome) == ("dsd", "dense", "not distinguishable")
    assert verdict.text == (
        "No verdict on dsd: of its 4 seeds 4 have no result (4 diverged), and none is left to compare with dense."
    )


def test_an_own_arm_without_any_result_is_named_behind_the_verdict(tmp_path: Path) -> None:
    write_pairs(tmp_path, [1, 2, 3, 4])
    (tmp_path / "recipe.json").write_text(json.dumps({"arms": {"dense": {}, "dsd": {}, "s90": {"sparsity": [0.9]}}}))
    write_failed(tmp_path, 1, "s90")
    write_failed(tmp_path, 2, "s90")
    verdict = Comparison.from_folder(tmp_path).verdict
    assert verdict is not None
    assert verdict.arm == "dsd"
    assert verdict.text.endswith(" 2 of 2 seeds of s90 have no result.")


def test_a_run_that_was_killed_counts_as_begun(tmp_path: Path) -> None:
    write_pairs(tmp_path, [1, 2, 3])
    write_run(tmp_path, 4, "dense", {LAST: heard(8)})
    (tmp_path / "seed-4" / "dsd").mkdir()
    found = Comparison.from_folder(tmp_path)
    assert failures(found) == ["dsd, seed 4: the run has not finished (seed-4/dsd)"]
    assert found.verdict is not None
    assert found.verdict.text.endswith(" 1 of 4 seeds of dsd has no result.")
    assert "7 of 8 runs finished" in write_report(tmp_path).read_text()


def test_pairs_that_lack_seeds_name_theirs(tmp_path: Path) -> None:
    write_pairs(tmp_path, [1, 2, 3, 4], ["dense"])
    write_pairs(tmp_path, [3, 4, 9], ["dsd"])
    found = Comparison.from_folder(tmp_path)
    console = Console(width=120, record=True)
    print_comparison(found, console)
    text = console.export_text()
    assert "dsd - dense by seed: -41.67 (seed 3), -33.33 (seed 4)" in text
    remark = (
        "The arms' means are over different seeds (dense 1, 2, 3, 4; dsd 3, 4, 9); a difference is over those of both."
    )
    assert remark in " ".join(text.split())
    assert remark in to_markdown(found)
    assert "| -41.67 (seed 3), -33.33 (seed 4) |" in to_markdown(found)


@pytest.mark.parametrize("name", ["early", "ema", "swa", "sparse"])
def test_a_run_under_the_name_of_a_model_that_is_read_off_another_is_refused(tmp_path: Path, name: str) -> None:
    write_pairs(tmp_path, [1, 2])
    write_run(tmp_path, 1, name, {LAST: heard(1)})
    with pytest.raises(ValueError, match=rf"seed-1/{name} holds a run, but {name} is what .* such as {name}-run"):
        Comparison.from_folder(tmp_path)


LAUNCHED = """\
step 1
Traceback (most recent call last):
  File "train.py", line 3, in <module>
RuntimeError: training has diverged: 1 parameter(s) hold NaN or inf
Traceback (most recent call last):
  File "accelerate/commands/launch.py", line 1, in <module>
subprocess.CalledProcessError: Command '['python', 'train.py']' returned non-zero exit status 1.
"""
ELASTIC = """\
[rank0]: Traceback (most recent call last):
[rank0]:   File "train.py", line 3, in <module>
[rank0]: ValueError: sparsity must be below 1, got 2

E1130 10:00:00.000000 1 torch/distributed/elastic/multiprocessing/api.py:900] failed (exitcode: 1) local_rank: 0
Traceback (most recent call last):
  File "torch/distributed/run.py", line 1, in run
torch.distributed.elastic.multiprocessing.errors.ChildFailedError:
============================================================
train.py FAILED
"""


@pytest.mark.parametrize(
    ("log", "last"),
    [
        (LAUNCHED, "RuntimeError: training has diverged: 1 parameter(s) hold NaN or inf"),
        (ELASTIC, "[rank0]: ValueError: sparsity must be below 1, got 2"),
        ("error data_dir is no folder\n", "error data_dir is no folder"),
        ("", ""),
    ],
    ids=["one process", "several", "a line", "nothing"],
)
def test_a_failure_is_told_in_the_scripts_own_words(tmp_path: Path, log: str, last: str) -> None:
    (tmp_path / "dsd.log").write_text(log)
    assert _last_lines(tmp_path / "dsd.log").rpartition("\n")[2] == last


def test_collecting_takes_no_options_of_training(tmp_path: Path) -> None:
    write_pairs(tmp_path, [1, 2])
    words = ["compare", "--collect", "--seeds", "3", "--force", "--first-seed", "4", "--out", str(tmp_path)]
    done = CliRunner().invoke(app, words, env={"COLUMNS": "200"})
    assert done.exit_code == 2
    assert "trains none, so it takes no --seeds, --first-seed, --force" in done.output
    assert not (tmp_path / "comparison.json").exists()


# Examples


def scored(out: Path, seed: int, arm: str, wrong: int, ids: str = "abc", swap: str = "", score: float = 0.0) -> None:
    """A run whose examples have such ids, one reference swapped, and whose headline is `score` off its examples'."""
    folder = write_run(out, seed, arm)
    references = [swap or REFERENCES[0], *REFERENCES[1:]]
    rows = zip(ids, heard(wrong), references, strict=True)
    examples = [ScoredExample(name, text, [reference]) for name, text, reference in rows]
    PhaseScores(LAST, "test", "wer", False, {"wer": wrong / 12 + score}, 1.5, examples).write(folder, None)


def test_other_references_are_other_examples(tmp_path: Path) -> None:
    for seed in (1, 2):
        scored(tmp_path, seed, "dense", 8)
        scored(tmp_path, seed, "dsd", 4 - seed, swap="one two three five" if seed == 2 else "")
    with pytest.raises(ValueError, match="other examples, by other references or in another order"):
        Comparison.from_folder(tmp_path)


def test_there_is_no_interval_over_examples_that_the_score_is_not_about(tmp_path: Path) -> None:
    for name, options in {"same": {}, "off": {"score": 0.1}}.items():
        for seed in (1, 2, 3):
            scored(tmp_path / name, seed, "dense", 8, **options)
            scored(tmp_path / name, seed, "dsd", 4 - seed, **options)
    same, off = (Comparison.from_folder(tmp_path / name).differences[0] for name in ("same", "off"))
    assert same.example_interval is not None
    assert (off.example_interval, off.mean) == (None, pytest.approx(same.mean))


def test_test_sets_that_differ_between_seeds_have_no_interval_over_both(tmp_path: Path) -> None:
    for seed, ids in ((1, "abc"), (2, "def"), (3, "abc")):
        scored(tmp_path, seed, "dense", 8, ids)
        scored(tmp_path, seed, "dsd", 4 - seed, ids)
    assert Comparison.from_folder(tmp_path).differences[0].example_interval is None
