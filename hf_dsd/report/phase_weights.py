"""The models that a run's phases ended with, or have got to.

Layer: the run record next door.
"""

from dataclasses import dataclass
from pathlib import Path

from hf_dsd.model_folder import has_weights
from hf_dsd.summary import phase_name

from .run_record import RunRecord


@dataclass(frozen=True)
class PhaseModel:
    """A model that a phase left, or has got to.

    Attributes:
        phase: `phase-1-sparse`.
        folder: With its weights.
        note: How far an unfinished phase had got, or "".
    """

    phase: str
    folder: Path
    note: str = ""


def phase_models(run: RunRecord) -> dict[str, PhaseModel]:
    """The models of a run's phases, in order; of an unfinished one its newest checkpoint."""
    models = {}
    for planned in run.schedule:
        name = phase_name(planned)
        folder = run.folder / name
        if has_weights(folder):
            models[name] = PhaseModel(name, folder)
        elif run.checkpoint is not None and has_weights(run.checkpoint):
            step = int(run.checkpoint.name.rpartition("-")[2])
            if planned["start"] < step <= planned["end"]:
                models[name] = PhaseModel(name, run.checkpoint, f"step {step}, before the phase's end")
    return models


def start_of_next(run: RunRecord, phase: str) -> PhaseModel | None:
    """The weights that the phase after `phase` began from: its last ones, or its best with `phase_start="best"`."""
    best = [path for path in run.folder.glob(f"{phase}-best-*") if path.name.rpartition("-")[2].isdigit()]
    if best:
        newest = max(best, key=lambda path: int(path.name.rpartition("-")[2]))
        return PhaseModel(phase, newest, f"best evaluation, step {newest.name.rpartition('-')[2]}")
    return phase_models(run).get(phase)
