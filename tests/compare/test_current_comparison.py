"""The comparison of the runs that are there, whatever comparison.json says."""

import json
import shutil
from pathlib import Path

import pytest
from run_folders import heard, write_run

from hf_dsd.compare import Comparison

LAST = "phase-2-dense"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Two seeds of two arms, and their comparison.json."""
    for seed in (1, 2):
        for arm, errors in (("dense", 3), ("dsd", seed)):
            write_run(tmp_path / "my runs", seed, arm, {LAST: heard(errors)})
    Comparison.from_folder(tmp_path / "my runs").write(tmp_path / "my runs")
    return tmp_path / "my runs"


def test_runs_made_anew_are_compared_anew(out: Path) -> None:
    """As after `compare --force` of another recipe that was killed before it wrote its comparison."""
    before = Comparison.read(out)
    for seed in (1, 2):
        shutil.rmtree(out / f"seed-{seed}" / "dsd")
        write_run(out, seed, "dsd", {LAST: heard(12)})
    now, note = Comparison.current(out)
    assert (before.arms["dsd"].mean, now.arms["dsd"].mean) == (pytest.approx(1.5 / 12), 1.0)
    assert note.startswith("comparison.json does not say what dsd, seed 1; dsd, seed 2 reached: the table is computed")
    assert Comparison.read(out) == before  # reading changes nothing


def test_a_run_more_is_counted_and_the_command_names_the_folder_as_it_was_given(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(out.parent)
    for arm in ("dsd", "dense"):
        write_run(out, 3, arm, {LAST: heard(0)})
    found, note = Comparison.current("my runs")
    assert found.seeds == [1, 2, 3]
    assert "what dense, seed 3; dsd, seed 3 reached" in note
    assert "hf-dsd compare --collect --out 'my runs' --split test --metric wer writes the file anew" in note


def test_the_stored_split_metric_and_direction_are_kept(out: Path) -> None:
    Comparison.from_folder(out, metric="cer", greater_is_better=True).write(out)
    shutil.rmtree(out / "seed-1" / "dsd")
    write_run(out, 1, "dsd", {LAST: heard(12)})
    found, note = Comparison.current(out)
    assert (found.metric, found.greater_is_better) == ("cer", True)
    assert "does not say what dsd, seed 1 reached" in note


def test_a_comparison_of_these_runs_is_taken_as_it_is(out: Path) -> None:
    stored = json.loads((out / "comparison.json").read_text())
    (out / "comparison.json").write_text(json.dumps(stored | {"signature": "as it was stored"}))
    found, note = Comparison.current(out)
    assert (found.signature, note) == ("as it was stored", "")
    for seed in (1, 2):
        shutil.rmtree(out / f"seed-{seed}")
    assert Comparison.current(out) == (found, "")  # the file alone was kept


CHANGES = {
    "an interval of another type": (("runs", 0, "scores", "cer_ci"), {"x": 1}, "cannot be read ("),
    "a mean of another type": (("arms", "dsd", "mean"), "x", "cannot be read ("),
    "seeds of another type": (("seeds",), [None], "cannot be read ("),
    "another score": (("runs", 0, "scores", "cer"), 3, "does not say what dense, seed 1 reached"),
    "another mean": (("arms", "dsd", "mean"), 3, "does not say what dsd reached"),
    "another p": (("differences", 0, "p_holm"), None, "does not say what dsd reached"),
    "another verdict": (("verdict", "outcome"), "worse", "does not say what "),
}


@pytest.mark.parametrize("name", CHANGES)
def test_changed_numbers_are_not_taken_while_the_runs_are_there(out: Path, name: str) -> None:
    whole, (keys, value, said) = Comparison.read(out), CHANGES[name]
    content = json.loads((out / "comparison.json").read_text())
    place = content
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    (out / "comparison.json").write_text(json.dumps(content))
    found, note = Comparison.current(out)
    assert note.startswith(f"comparison.json {said}")
    assert (found.arms, found.differences, found.verdict) == (whole.arms, whole.differences, whole.verdict)


@pytest.mark.parametrize("content", ["{", "{}", "[]", '{"version": 1}', '{"version": 5}'])
def test_a_damaged_file_costs_no_table(out: Path, content: str) -> None:
    (out / "comparison.json").write_text(content)
    found, note = Comparison.current(out)
    assert found.arms["dsd"].n == 2
    assert note.startswith("comparison.json cannot be read (")
    assert note.endswith(f"hf-dsd compare --collect --out '{out}' writes the file anew")
    for seed in (1, 2):
        shutil.rmtree(out / f"seed-{seed}")
    with pytest.raises(ValueError, match=r"comparison\.json "):
        Comparison.current(out)


def test_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="holds no finished run"):
        Comparison.current(tmp_path)
