"""A `dsd_summary.json` that is damaged, cut off or another person's: one named error, whatever is wrong with it."""

import copy
import json
import os
from pathlib import Path
from typing import Any

import pytest
from report_runs import write_dsd_run

from hf_dsd.runs.folder import place_of, seeds_in
from hf_dsd.runs.run import Run, finished_models
from hf_dsd.runs.summary_file import read_summary


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A finished run whose summary is whole."""
    return write_dsd_run(tmp_path / "run")


def refused(folder: Path) -> str:
    with pytest.raises(ValueError, match=r"dsd_summary\.json is damaged \(.+\): restore it, or train") as caught:
        Run.read(folder)
    return str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "JSONDecodeError"),
        (b"{", "JSONDecodeError"),
        (b"42", "must hold a JSON object, got int"),
        (b"null", "must hold a JSON object, got NoneType"),
        (b"[]", "must hold a JSON object, got list"),
        (b"{}", "it has no 'schedule'"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a": ' * 100_000, "nested too deeply"),
        ('{"schedule": "größer"}'.encode("latin-1"), "UnicodeDecodeError"),
        (b"\xff\xfe{\x00}\x00", "UnicodeDecodeError"),
        (b'{"seed": ' + b"9" * 5000 + b"}", "ValueError"),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_a_file_that_is_no_summary(folder: Path, content: bytes, message: str) -> None:
    (folder / "dsd_summary.json").write_bytes(content)
    assert message in refused(folder)


def test_a_folder_or_a_dangling_link_in_its_place(folder: Path) -> None:
    path = folder / "dsd_summary.json"
    path.unlink()
    path.mkdir()
    assert "IsADirectoryError" in refused(folder)
    path.rmdir()
    path.symlink_to(folder / "gone.json")
    assert "a link to" in refused(folder)


def change(folder: Path, path: list[Any], value: Any) -> None:
    """Sets a value somewhere inside the summary; `None` in the path means the last entry of a list."""
    file = folder / "dsd_summary.json"
    content = json.loads(file.read_text())
    inner = content
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = copy.deepcopy(value)
    file.write_text(json.dumps(content))


WRONG: list[tuple[list[Any], Any]] = [
    (["early_stop"], {"step": 1.5, "metric": "loss", "value": 1.0}),
    (["early_stop"], {"step": 3, "metric": "loss"}),
    (["schedule"], 7),
    (["schedule"], []),
    (["schedule", 0], None),
    (["schedule", 0], {}),
    (["schedule", 0, "index"], 1),
    (["schedule", 0, "index"], True),
    (["schedule", 0, "kind"], "moist"),
    (["schedule", 0, "kind"], "dense/../../outside"),
    (["schedule", 1, "sparsity"], 1.5),
    (["schedule", 1, "sparsity"], float("nan")),
    (["schedule", 2, "end"], -1),
    (["schedule", 2, "end"], 0),
    (["phases"], {}),
    (["phases", 0], 7),
    (["phases", 0, "name"], "phase-0-dense/../../outside"),
    (["phases", 0, "name"], "/etc"),
    (["phases", 0, "name"], "phase-7-dense"),
    (["phases", 0, "name"], "phase-2-dense"),
    (["phases", 0, "finished"], "yes"),
    (["phases", 0, "seconds"], None),
    (["phases", 0, "seconds"], float("inf")),
    (["phases", 0, "end"], "ten"),
    (["phases", 0, "learning_rate"], "fast"),
    (["phases", 0, "metrics"], [1]),
    (["phases", 0, "metrics"], {"eval_loss": "low"}),
    (["phases", 1, "layers"], {}),
    (["phases", 1, "layers", 0], {}),
    (["phases", 1, "layers", 0, "shape"], [1.5]),
    (["phases", 1, "layers", 0, "pruned"], None),
    (["phases", 1, "layers", 0, "sparsity"], 2),
    (["phases", 1, "layers", 0, "threshold"], "low"),
    (["phases", 1, "layers", 0, "name"], 3),
    (["parameters"], "all"),
    (["parameters", 0], {}),
    (["parameters", 0, "weights"], -3),
    (["parameters", 0, "dense_reason"], 0),
    (["versions"], float("nan")),
    (["versions"], {"torch": 2}),
    (["command"], "train.py"),
    (["command"], [1]),
    (["seed"], "one"),
    (["seed"], True),
    (["arm"], 1),
    (["weight_averages"], ["../../outside"]),
    (["weight_averages"], "ema"),
    (["evaluations"], [0]),
    (["steps_per_epoch"], "many"),
    (["best_model"], 3),
    (["run"], 5),
]


@pytest.mark.parametrize(("path", "value"), WRONG, ids=lambda value: str(value)[:40])
def test_a_value_that_no_run_wrote(folder: Path, path: list[Any], value: Any) -> None:
    change(folder, path, value)
    refused(folder)


@pytest.mark.parametrize("key", ["schedule", "phases"])
def test_what_must_be_there(folder: Path, key: str) -> None:
    file = folder / "dsd_summary.json"
    content = json.loads(file.read_text())
    del content[key]
    file.write_text(json.dumps(content))
    assert f"it has no '{key}'" in refused(folder)


@pytest.mark.parametrize("key", ["index", "kind", "start", "end", "sparsity"])
def test_what_every_planned_phase_must_have(folder: Path, key: str) -> None:
    file = folder / "dsd_summary.json"
    content = json.loads(file.read_text())
    del content["schedule"][1][key]
    file.write_text(json.dumps(content))
    assert f"an entry of 'schedule' has no '{key}'" in refused(folder)


def test_a_summary_of_an_old_version_is_read(folder: Path) -> None:
    """What later versions added may be missing."""
    file = folder / "dsd_summary.json"
    content = json.loads(file.read_text())
    file.write_text(json.dumps({key: content[key] for key in ("schedule", "phases")}))
    run = Run.read(folder)
    assert (run.arm, run.seed, run.id, run.is_finished) == ("run", None, None, True)


def test_there_is_no_summary(tmp_path: Path) -> None:
    assert read_summary(tmp_path) is None
    assert finished_models(tmp_path) == []
    with pytest.raises(FileNotFoundError, match="is no run: it has neither dsd_summary.json nor a whole checkpoint-N/"):
        Run.read(tmp_path)


def test_the_place_says_which_run_it_is(tmp_path: Path) -> None:
    """A run that was copied into another's place would be counted as that one."""
    folder = write_dsd_run(tmp_path / "seed-2" / "dsd", seed=2)
    assert (Run.read(folder).arm, Run.read(folder).seed) == ("dsd", 2)
    assert place_of(folder) == (tmp_path, 2, "dsd")
    for other in ("seed-3/dsd", "seed-2/dense", "seed-2/random"):
        wrong = tmp_path / other
        wrong.parent.mkdir(exist_ok=True)
        os.rename(folder, wrong)
        seed, arm = other.removeprefix("seed-").split("/")
        expected = f"lies in the place of arm {arm}, seed {seed}, and its dsd_summary.json says arm dsd, seed 2"
        with pytest.raises(ValueError, match=expected):
            Run.read(wrong)
        os.rename(wrong, folder)


def test_an_arm_of_ones_own_calls_itself_dsd(tmp_path: Path) -> None:
    folder = write_dsd_run(tmp_path / "seed-2" / "iterative", seed=2)
    assert Run.read(folder).arm == "iterative"


def test_elsewhere_the_summary_says_it(tmp_path: Path) -> None:
    folder = write_dsd_run(tmp_path / "anything", arm="random", seed=5)
    run = Run.read(folder)
    assert (run.arm, run.seed, run.place, run.label) == ("random", 5, None, "random, seed 5")


def test_folders_of_seeds(tmp_path: Path) -> None:
    for name in ("seed-10", "seed-2", "seed-x", "seed--1", "other"):
        (tmp_path / name).mkdir()
    (tmp_path / "seed-3").write_text("a file")
    (tmp_path / "seed-02").mkdir()  # a copy of somebody's
    assert seeds_in(tmp_path) == [2, 10]
