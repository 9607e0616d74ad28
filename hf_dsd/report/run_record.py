"""What the folder of one run holds, finished or not: its summary, its log and its scores.

Layer: files only.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers.trainer import TRAINER_STATE_NAME

from hf_dsd.checkpoints import last_whole_checkpoint
from hf_dsd.scores import PhaseScores
from hf_dsd.state_file import STATE_FILE_NAME, read_state_file
from hf_dsd.summary import SUMMARY_FILE_NAME, has_finished, phase_name


@dataclass(frozen=True)
class RunRecord:
    """One run as a report sees it.

    Attributes:
        arm: `dsd`, `dense`, `random`, ...: which arm of a comparison it is.
        seed: Of the run; None where unknown.
        folder: Where it lies.
        summary: `dsd_summary.json`; of an unfinished run, as much as its newest checkpoint knows.
        log: `log_history` of the Trainer; empty without a `trainer_state.json`.
        checkpoint: The newest whole checkpoint, if there is one.
        sources: Which files this was read from, relative to the folder.
    """

    arm: str
    seed: int | None
    folder: Path
    summary: Mapping[str, Any]
    log: Sequence[Mapping[str, Any]]
    checkpoint: Path | None
    sources: Sequence[str]

    @property
    def label(self) -> str:
        """`dsd, seed 1`."""
        return self.arm if self.seed is None else f"{self.arm}, seed {self.seed}"

    @property
    def schedule(self) -> Sequence[Mapping[str, Any]]:
        """The planned phases (index, kind, start, end, sparsity, learning_rate); empty where unknown."""
        schedule: Sequence[Mapping[str, Any]] = self.summary.get("schedule", ())
        return schedule

    @property
    def phases(self) -> Sequence[Mapping[str, Any]]:
        """The records of the phases that have begun."""
        phases: Sequence[Mapping[str, Any]] = self.summary.get("phases", ())
        return phases

    @property
    def is_finished(self) -> bool:
        """True once the last planned phase has ended."""
        return has_finished(self.schedule, self.phases)

    def scores(self, split: str = "test") -> list[PhaseScores]:
        """The scores of every scored model, in the order of their names: phase 0 first, averages after their phase."""
        names = sorted(path.stem.removeprefix(f"{split}_") for path in self.folder.glob(f"{split}_phase-*.json"))
        return [PhaseScores.read(self.folder, name, split) for name in names]

    def phase_scores(self, split: str = "test") -> list[PhaseScores]:
        """The scores of the phases' own models, without averages; the last one is the run's result."""
        planned = [phase_name(entry) for entry in self.schedule]
        return [scores for scores in self.scores(split) if scores.phase in planned]

    def scored_split(self) -> str | None:
        """The split whose scores a report shows: `test`, else the first other one; None without score files."""
        splits = sorted({path.name.partition("_phase-")[0] for path in self.folder.glob("*_phase-*.json")})
        return "test" if "test" in splits else splits[0] if splits else None


def is_run(folder: Path) -> bool:
    """True if a DSD run has left something in `folder`: a summary, or a checkpoint written to its end."""
    return (folder / SUMMARY_FILE_NAME).is_file() or any(folder.glob(f"checkpoint-*/{TRAINER_STATE_NAME}"))


def read_run(folder: Path, arm: str | None = None, seed: int | None = None) -> RunRecord:
    """Reads a run's folder.

    Args:
        folder: The run's `output_dir`.
        arm: How to call it; None asks its summary.
        seed: Likewise.

    Raises:
        FileNotFoundError: If there is neither a summary nor a whole checkpoint.
        ValueError: If a file is damaged.
    """
    if not is_run(folder):
        raise FileNotFoundError(f"{folder} is no run: it has neither {SUMMARY_FILE_NAME} nor a whole checkpoint-N/")
    checkpoint = _newest_checkpoint(folder)
    summary, summary_source = _read_summary(folder, checkpoint)
    log, log_source = _read_log(folder, checkpoint)
    seed = summary.get("seed") if seed is None else seed
    sources = [source for source in (summary_source, log_source) if source]
    return RunRecord(arm or str(summary.get("arm", "run")), seed, folder, summary, log, checkpoint, sources)


def _newest_checkpoint(folder: Path) -> Path | None:
    if not any(folder.glob(f"checkpoint-*/{TRAINER_STATE_NAME}")):
        return None
    return Path(last_whole_checkpoint(folder))


def _read_summary(folder: Path, checkpoint: Path | None) -> tuple[dict[str, Any], str]:
    path = folder / SUMMARY_FILE_NAME
    if path.is_file():
        return _read_json(path), SUMMARY_FILE_NAME
    if checkpoint is None or not (checkpoint / STATE_FILE_NAME).is_file():
        return {}, ""
    _, meta = read_state_file(checkpoint)
    phases = meta.get("extra", {}).get("summary", {}).get("phases", [])
    return {"schedule": meta["schedule"], "phases": phases}, f"{checkpoint.name}/{STATE_FILE_NAME}"


def _read_log(folder: Path, checkpoint: Path | None) -> tuple[list[dict[str, Any]], str]:
    for holder in (folder, checkpoint):
        path = holder / TRAINER_STATE_NAME if holder is not None else None
        if path is not None and path.is_file():
            return _read_json(path).get("log_history", []), path.relative_to(folder).as_posix()
    return [], ""


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is damaged ({error}): restore it, or remove it to report on the rest") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} must hold a JSON object, got {type(content).__name__}: restore or remove it")
    return content
