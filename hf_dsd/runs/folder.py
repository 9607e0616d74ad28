"""The names in a run's folder, and the place of a run within a comparison: `OUT/seed-S/ARM`."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

SUMMARY_FILE_NAME = "dsd_summary.json"
# The Trainer's own two names: to import them from transformers costs two seconds, in commands that only read.
TRAINER_STATE_NAME = "trainer_state.json"
CHECKPOINT_PREFIX = "checkpoint"
AVERAGES = ("ema", "swa")
"""Averages of the last phase's weights, saved as `phase-2-dense-ema`: `ema` is exponential, `swa` counts all alike."""
EARLY = "early"
"""The model of the run's best evaluation, saved as `phase-2-dense-early`: where early stopping would have ended."""
DIVERGED = "training has diverged"
"""How the error begins of a run whose weights hold NaN or infinity."""
EARLY_FOLDER = "early-stop"
"""Where that model is kept while the run trains, in its folder and in each checkpoint."""

SCORE_FILE = re.compile(r"(?P<split>[^/\\]+?)_(?P<phase>phase-(?P<index>\d+)-[a-z]+(?:-[a-z]+)?)\.json")
_CHECKPOINT_FOLDER = re.compile(rf"{CHECKPOINT_PREFIX}-\d+")
_PHASE_FOLDER = re.compile(r"phase-\d+-(dense|sparse)(-[a-z]+)?(-\d+)?")
_SEED_FOLDER = re.compile(r"seed-(0|[1-9][0-9]*)")  # `seed-01` would be the same seed once more


class Place(NamedTuple):
    """Where a run lies in a comparison: in its folder `out`, in `seed-S`, in a folder called like the arm."""

    out: Path
    seed: int
    arm: str


def place_of(folder: Path) -> Place | None:
    """The place of a run's folder `OUT/seed-S/ARM`; None of one that lies elsewhere."""
    folder = Path(os.path.abspath(folder))  # not resolved: an arm may be a link to a run elsewhere
    found = _SEED_FOLDER.fullmatch(folder.parent.name)
    return None if found is None else Place(folder.parent.parent, int(found[1]), folder.name)


def seeds_in(out: Path) -> list[int]:
    """Seeds of the folders `seed-S` of a comparison, in order."""
    names = [_SEED_FOLDER.fullmatch(path.name) for path in out.glob("seed-*") if path.is_dir()]
    return sorted(int(found[1]) for found in names if found is not None)


def phase_name(planned: Mapping[str, Any]) -> str:
    """`phase-1-sparse` of an entry of a summary's schedule."""
    return f"phase-{planned['index']}-{planned['kind']}"


def score_file(folder: Path, phase: str, split: str) -> Path:
    """Where the scores of a phase's model on a split are: `test_phase-2-dense.json`."""
    return folder / f"{split}_{phase}.json"


def best_folder(folder: Path, phase: str, step: int) -> Path:
    """Where the weights of a phase's best evaluation are, with `phase_start="best"`."""
    return folder / f"{phase}-best-{step}"


def best_steps(folder: Path, phase: str) -> list[int]:
    """Steps of the best evaluations that lie in a run's folder, of this run or of an earlier one, in order."""
    steps = [path.name.rpartition("-")[2] for path in folder.glob(f"{phase}-best-*")]
    return sorted(int(step) for step in steps if step.isdigit())


def checkpoints_in(folder: Path) -> list[Path]:
    """The checkpoints of a run, newest first, whole or not."""
    found = (path for path in folder.glob(f"{CHECKPOINT_PREFIX}-*") if _CHECKPOINT_FOLDER.fullmatch(path.name))
    return sorted((path for path in found if path.is_dir()), key=step_of, reverse=True)


def step_of(checkpoint: Path) -> int:
    """The optimizer step that a checkpoint is named after."""
    return int(checkpoint.name.rpartition("-")[2])


def kept_checkpoint(folder: Path, phase: str) -> Path:
    """Where `keep_phase_checkpoints` keeps the full checkpoint of a phase's end."""
    return folder / f"{phase}-checkpoint"


def check_links(folder: Path) -> None:
    """Sees that what a run's folder holds lies in it: a link could have any file read, written over or published.

    The folder itself may be a link, and a checkpoint, which is only resumed from, may be one. A summary, scores,
    figures, a phase's folder or a file in it that is a link to somewhere else is a ValueError, and so is a phase's
    folder that must not be read, or a file in its place.
    """
    root = folder.resolve()
    for path in folder.glob("phase-*"):
        if path.is_symlink():  # where it leads to is looked at below, and not before
            continue
        if not path.is_dir():
            if _PHASE_FOLDER.fullmatch(path.name):
                raise ValueError(
                    f"{path} is no folder, and a phase's model belongs there: restore it, or remove the file"
                )
            continue
        try:
            os.scandir(path).close()
            os.stat(f"{path}/.")  # the right to list a folder is not the one to enter it
        except PermissionError as error:
            raise ValueError(f"{path} cannot be read ({error}): give yourself the right to") from error
    for pattern in (SUMMARY_FILE_NAME, "*_phase-*.json", "phase-*", "phase-*/**/*", "figures", "figures/*"):
        for path in folder.glob(pattern):  # a folder is looked at before what is in it
            if path.is_symlink() and path.exists() and not path.resolve().is_relative_to(root):
                raise ValueError(
                    f"{path} is a link out of the run's folder, to {path.resolve()}: put the file itself there, if it "
                    "belongs to the run"
                )


def has_finished(schedule: Sequence[Mapping[str, Any]], phases: Sequence[Mapping[str, Any]]) -> bool:
    """True if a run has trained its last phase to its end, by its plan, which may be empty, and its phases' records.

    Records are not counted: a first phase of length 0, which starts from a trained model, has none.
    """
    return bool(schedule) and any(
        record["finished"] and record["name"] == phase_name(schedule[-1]) for record in phases
    )
