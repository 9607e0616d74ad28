"""Runs of a comparison whose checkpoints were damaged while it stood still: they go on from what is whole."""

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from tiny import TinyLSTM, build, make_trainer
from transformers import TrainerCallback

from hf_dsd import DSDTrainer
from hf_dsd.compare import compare

QUIET = Console(quiet=True)
begun: list[DSDTrainer] = []
FAILS: list[int] = []
"""The step at whose begin a run fails, while there is one."""
MODELS = ["phase-0-dense", "phase-1-sparse", "phase-2-dense"]


class Fail(TrainerCallback):
    def on_step_begin(self, args, state, control, **kwargs):
        if state.global_step in FAILS:
            raise RuntimeError("the power is gone")


def tiny(arm_options: dict[str, Any], output_dir: str, seed: int) -> DSDTrainer:
    saving = {"save_strategy": "steps", "save_steps": 2, "save_total_limit": 2}
    options = {"phase_steps": [3, 4, 5], "sparsity": 0.5, **saving, **arm_options}
    trainer = make_trainer(output_dir, build(TinyLSTM, seed=seed, dropout=0.3), seed=seed, **options)
    trainer.add_callback(Fail())
    begun.append(trainer)
    return trainer


def weights(run: Path) -> dict[str, bytes]:
    return {name: (run / name / "model.safetensors").read_bytes() for name in MODELS}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The weights of the run that nothing happened to."""
    folder = tmp_path_factory.mktemp("whole")
    compare(tiny, ["dsd"], [1], folder, console=QUIET)
    return weights(folder / "seed-1" / "dsd")


@pytest.fixture(scope="module")
def broken_off(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A comparison whose run failed before step 10, with the checkpoints of steps 6 and 8."""
    folder = tmp_path_factory.mktemp("broken-off")
    FAILS.append(9)
    with pytest.raises(FileNotFoundError, match="the power is gone"):
        compare(tiny, ["dsd"], [1], folder, console=QUIET)
    FAILS.clear()
    return folder


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-9] ^= 1
    file.write_bytes(content)


DAMAGES: dict[str, tuple[str, Callable[[Path], object]]] = {
    "a truncated model": ("model.safetensors", lambda file: os.truncate(file, 1000)),
    "no optimizer": ("optimizer.pt", Path.unlink),
    "a flipped byte": ("model.safetensors", flip),
    "flipped masks": ("dsd_masks.safetensors", flip),
}


def go_on(out: Path) -> DSDTrainer:
    """Runs the same comparison again; returns the trainer of the only run."""
    begun.clear()
    found = compare(tiny, ["dsd"], [1], out, console=QUIET)
    assert {run.status for run in found.runs} == {"finished"}
    assert not list(out.rglob("damaged-*"))
    return begun.pop()


@pytest.mark.parametrize("name", list(DAMAGES))
def test_a_damaged_newest_checkpoint_is_passed_over(tmp_path: Path, whole, broken_off, caplog, name: str) -> None:
    out, (file, damage) = Path(shutil.copytree(broken_off, tmp_path / "out")), DAMAGES[name]
    damage(out / "seed-1" / "dsd" / "checkpoint-8" / file)
    assert go_on(out).resumed_from == out / "seed-1" / "dsd" / "checkpoint-6"
    assert re.search(rf"dsd/checkpoint-8 is passed over: {file} ", caplog.text)
    assert weights(out / "seed-1" / "dsd") == whole


@pytest.mark.parametrize(
    ("kept", "start", "said"),
    [
        ("whole", "phase-0-dense-checkpoint", r"dsd has no whole checkpoint: begins again from \S+/phase-0-dense-ch"),
        ("damaged", None, "dsd has no whole checkpoint: begins again from its first step"),
    ],
)
def test_a_run_without_a_whole_checkpoint_begins_again(
    tmp_path: Path, whole, broken_off, caplog, kept: str, start: str | None, said: str
) -> None:
    out = Path(shutil.copytree(broken_off, tmp_path / "out"))
    run = out / "seed-1" / "dsd"
    for checkpoint in [*run.glob("checkpoint-*"), *([run / "phase-0-dense-checkpoint"] if kept == "damaged" else [])]:
        (checkpoint / "scheduler.pt").unlink()
    assert go_on(out).resumed_from == (start and run / start)
    assert re.search(said, caplog.text)
    assert weights(run) == whole


def test_a_run_that_begins_again_keeps_its_new_checkpoints(tmp_path: Path, broken_off) -> None:
    """The Trainer keeps those of the highest numbers, and would remove each new one for the damaged ones."""
    out = Path(shutil.copytree(broken_off, tmp_path / "out"))
    run = out / "seed-1" / "dsd"
    for checkpoint in run.glob("*checkpoint*"):
        (checkpoint / "scheduler.pt").unlink()
    FAILS.append(5)
    with pytest.raises(FileNotFoundError, match="the power is gone"):
        compare(tiny, ["dsd"], [1], out, console=QUIET)
    FAILS.clear()
    assert sorted(path.name for path in run.glob("*checkpoint-*")) == ["checkpoint-3", "checkpoint-4"]
    assert go_on(out).resumed_from == run / "checkpoint-4"


def test_damaged_checkpoints_are_set_aside_until_a_whole_one_is_there(tmp_path: Path, broken_off) -> None:
    out = Path(shutil.copytree(broken_off, tmp_path / "out"))
    run = out / "seed-1" / "dsd"
    for checkpoint in run.glob("*checkpoint*"):
        (checkpoint / "scheduler.pt").unlink()
    FAILS.append(1)
    with pytest.raises(FileNotFoundError, match="the power is gone"):
        compare(tiny, ["dsd"], [1], out, console=QUIET)
    FAILS.clear()
    assert (run / "damaged-checkpoint-8" / "model.safetensors").is_file()
    assert go_on(out).resumed_from is None
