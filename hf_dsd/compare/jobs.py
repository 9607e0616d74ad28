"""One run of a comparison: where it lives, whether it has finished, and from which checkpoint it goes on.

Layer: files only.
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hf_dsd.engine.mask_file import STATE_FILE_NAME
from hf_dsd.files import write_json
from hf_dsd.runs.checkpoints import read_trainer_state
from hf_dsd.runs.folder import SUMMARY_FILE_NAME

from .run_files import read_status, status_file
from .run_results import ARMS

_KEPT = "phase-0-dense-checkpoint"  # what keep_phase_checkpoints=[0] leaves


@dataclass(frozen=True)
class Job:
    """One arm with one seed.

    Attributes:
        out: Folder of the comparison.
        seed: Of the run.
        arm: One that is trained.
        options: DSD fields that the arm sets.
        digest: Of everything that decides the result but the seed.
    """

    out: Path
    seed: int
    arm: str
    options: Mapping[str, Any]
    digest: str

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return self.out / f"seed-{self.seed}" / self.arm

    @property
    def log(self) -> Path:
        """Where the script's output goes."""
        return self.folder.with_name(f"{self.arm}.log")

    @property
    def is_finished(self) -> bool:
        """True if this very job has been finished before, and what it reached is still there."""
        status = self.read_status()
        is_done = status.get("status") == "finished" and status.get("recipe") == self.digest
        return is_done and (self.folder / SUMMARY_FILE_NAME).is_file()

    def read_status(self) -> dict[str, Any]:
        """How the job ended when it last ran; empty if it never did.

        Raises:
            ValueError: If the file that says it is damaged.
        """
        return read_status(self.out, self.seed, self.arm)

    def write_status(self, error: str | None, seconds: float) -> None:
        """Notes that the job has finished, or why it failed, and the seconds of this sitting."""
        status = "finished" if error is None else "failed"
        content = {"recipe": self.digest, "status": status, "error": error, "seconds": round(seconds, 3)}
        write_json(status_file(self.out, self.seed, self.arm), content)

    def forget_status(self) -> None:
        """Called as the job begins: while it runs, and after it was killed, it has no status."""
        status_file(self.out, self.seed, self.arm).unlink(missing_ok=True)

    def checkpoint(self) -> Path | None:
        """Where the run goes on: its own last whole checkpoint, else the end of the seed's first phase; None: anew."""
        own = last_checkpoint(self.folder)
        return own if own is not None else self.shared_checkpoint()

    def shared_checkpoint(self) -> Path | None:
        """The end of the first dense phase, as whichever arm of this seed trained it kept it."""
        kept = [self.folder.with_name(arm) / _KEPT for arm in ARMS]
        return next((path for path in kept if _is_whole(path)), None)


def last_checkpoint(folder: Path) -> Path | None:
    """The last checkpoint that was written to its end."""
    found = [path for path in folder.glob("checkpoint-*") if path.name.rpartition("-")[2].isdigit()]
    found.sort(key=lambda path: int(path.name.rpartition("-")[2]), reverse=True)
    return next((path for path in found if _is_whole(path)), None)


def progress(folder: Path) -> float:
    """Fraction of its optimizer steps that a run has done, by its last checkpoint; 0 without one."""
    checkpoint = last_checkpoint(folder)
    state = None if checkpoint is None else read_trainer_state(checkpoint)
    return 0.0 if state is None else float(state["global_step"]) / max(int(state["max_steps"]), 1)


def _is_whole(checkpoint: Path) -> bool:
    """The Trainer writes its state last, so a readable one means that the rest is there."""
    return (checkpoint / STATE_FILE_NAME).is_file() and read_trainer_state(checkpoint) is not None


def remove_runs(out: Path, arm: str) -> None:
    """Removes an arm's runs of every seed, logs and notes included."""
    for folder in out.glob(f"seed-*/{arm}"):
        shutil.rmtree(folder)
    for pattern in (f"seed-*/{arm}.log", f"seed-*/{arm}.json"):
        for file in out.glob(pattern):
            file.unlink()
