"""What the folder of one run holds, finished or not: its summary, its log and its scores.

Layer: files only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_utils import sort_checkpoints

from hf_dsd.engine.mask_file import STATE_FILE_NAME, read_state_file
from hf_dsd.files import read_json_object
from hf_dsd.runs.checkpoints import read_trainer_state
from hf_dsd.runs.folder import SUMMARY_FILE_NAME, has_finished, phase_name
from hf_dsd.runs.scores import PhaseScores

from .score_files import read_score_files
from .summary_file import read_summary_file


@dataclass(frozen=True)
class RunRecord:
    """One run as a report sees it.

    Attributes:
        arm: `dsd`, `dense`, `random`, ...: which arm of a comparison it is.
        seed: Of the run; None where unknown.
        folder: Where it lies.
        summary: `dsd_summary.json`; of an unfinished run, as much as its newest checkpoint knows.
        log: `log_history` of the Trainer; empty without a `trainer_state.json`.
        scored: The scores of every scored model on every split, in the order of phases, averages after their phase.
        checkpoint: The newest whole checkpoint, if there is one of this run.
        sources: Which files this was read from, relative to the folder.
        problems: What is wrong with the files that were left out, a line each.
    """

    arm: str
    seed: int | None
    folder: Path
    summary: Mapping[str, Any]
    log: Sequence[Mapping[str, Any]]
    scored: Sequence[PhaseScores]
    checkpoint: Path | None
    sources: Sequence[str]
    problems: Sequence[str]

    @property
    def label(self) -> str:
        """`dsd, seed 1`."""
        return run_label(self.arm, self.seed)

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
    def prunes(self) -> bool:
        """True if a sparse phase is planned."""
        return any(phase["kind"] == "sparse" for phase in self.schedule)

    @property
    def is_finished(self) -> bool:
        """True once the last planned phase has ended."""
        return has_finished(self.schedule, self.phases)

    def scores(self, split: str = "test") -> list[PhaseScores]:
        """The scores of every model scored on a split, in the order of phases, averages after their phase."""
        return [scores for scores in self.scored if scores.split == split]

    def phase_scores(self, split: str = "test") -> list[PhaseScores]:
        """The scores of the phases' own models, without averages; the last one is the run's result."""
        planned = [phase_name(entry) for entry in self.schedule]
        return [scores for scores in self.scores(split) if scores.phase in planned]

    def scored_split(self) -> str | None:
        """The split whose texts a report shows: `test`, else the first other one; None without scores."""
        splits = sorted({scores.split for scores in self.scored})
        return "test" if "test" in splits else splits[0] if splits else None


def run_label(arm: str, seed: int | None) -> str:
    """How a page calls a run: `dsd, seed 1`, or `dsd` where the seed is unknown."""
    return arm if seed is None else f"{arm}, seed {seed}"


def is_run(folder: Path) -> bool:
    """True if a DSD run has left something in `folder`: a summary, or a checkpoint written to its end."""
    return (folder / SUMMARY_FILE_NAME).is_file() or any(folder.glob(f"checkpoint-*/{TRAINER_STATE_NAME}"))


def read_run(folder: Path, arm: str | None = None, seed: int | None = None) -> RunRecord:
    """Reads a run's folder; of what is damaged only the summary is needed, the rest is named in `problems`.

    Args:
        folder: The run's `output_dir`.
        arm: How to call it; None asks its summary.
        seed: Likewise.

    Raises:
        FileNotFoundError: If there is neither a summary nor a whole checkpoint.
        ValueError: If the summary is damaged.
    """
    has_summary = (folder / SUMMARY_FILE_NAME).is_file()
    summary = read_summary_file(folder) if has_summary else {}
    checkpoint = _newest_checkpoint(folder, summary.get("run"))
    if not has_summary and checkpoint is None:
        raise FileNotFoundError(f"{folder} is no run: it has neither {SUMMARY_FILE_NAME} nor a whole checkpoint-N/")
    sources = [SUMMARY_FILE_NAME]
    if not has_summary and checkpoint is not None:
        summary, sources = _read_state(checkpoint)
    log, log_source, log_problems = _read_log(folder, checkpoint)
    scored, score_problems = read_score_files(folder)
    return RunRecord(
        arm=arm or str(summary.get("arm", "run")),
        seed=summary.get("seed") if seed is None else seed,
        folder=folder,
        summary=summary,
        log=log,
        scored=scored,
        checkpoint=checkpoint,
        sources=[*sources, *log_source],
        problems=[*log_problems, *score_problems],
    )


def _newest_checkpoint(folder: Path, run: str | None) -> Path | None:
    """The newest whole checkpoint that is not known to be another run's."""
    newest_first = map(Path, reversed(sort_checkpoints(output_dir=str(folder))))
    return next((path for path in newest_first if read_trainer_state(path) is not None and _is_of(path, run)), None)


def _is_of(checkpoint: Path, run: str | None) -> bool:
    """False if a checkpoint names another run, or its masks are damaged; older versions of hf_dsd name none."""
    if run is None or not (checkpoint / STATE_FILE_NAME).is_file():
        return True
    try:
        _, meta = read_state_file(checkpoint)
    except ValueError:
        return False
    return meta.get("extra", {}).get("summary", {}).get("run") in (None, run)


def _read_state(checkpoint: Path) -> tuple[dict[str, Any], list[str]]:
    """As much of a summary as a checkpoint knows, and where it says so."""
    if not (checkpoint / STATE_FILE_NAME).is_file():
        return {}, []
    _, meta = read_state_file(checkpoint)
    phases = meta.get("extra", {}).get("summary", {}).get("phases", [])
    return {"schedule": meta["schedule"], "phases": phases}, [f"{checkpoint.name}/{STATE_FILE_NAME}"]


def _read_log(folder: Path, checkpoint: Path | None) -> tuple[list[dict[str, Any]], list[str], list[str]]:
    """The log, where it lies, and what is wrong with a file that was passed over."""
    problems: list[str] = []
    for holder in (folder, checkpoint):
        path = holder / TRAINER_STATE_NAME if holder is not None else None
        if path is None or not path.is_file():
            continue
        name = path.relative_to(folder).as_posix()
        try:
            return _log_history(path), [name], problems
        except ValueError as error:
            problems.append(f"{name} cannot be read ({error}): remove it, or restore it to draw its log")
    return [], [], problems


def _log_history(path: Path) -> list[dict[str, Any]]:
    rows = read_json_object(path).get("log_history", [])
    if not isinstance(rows, list) or not all(isinstance(row, dict) and "step" in row for row in rows):
        raise ValueError("its log_history must be a list of rows with a step")
    return rows
