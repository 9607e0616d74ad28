"""The models that a run's phases ended with, or have got to.

Layer: the run record next door.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from hf_dsd.runs.folder import SUMMARY_FILE_NAME, phase_name
from hf_dsd.runs.weights import has_weights, open_weights

from .run_record import RunRecord
from .summary_file import read_summary_file


@dataclass(frozen=True)
class PhaseModel:
    """A model that a phase left, or has got to.

    Attributes:
        phase: `phase-1-sparse`.
        folder: With its weights.
        note: How far an unfinished phase had got, or which other arm trained a shared one, or "".
    """

    phase: str
    folder: Path
    note: str = ""


def phase_models(run: RunRecord) -> dict[str, PhaseModel]:
    """The models of a run's phases, in order; of an unfinished one its newest checkpoint.

    A phase's folder counts once the run has finished the phase: before, it is what an earlier run left there.
    """
    return {model.phase: model for model in _models(run) if not _damage(model)}


def unreadable_models(run: RunRecord) -> list[str]:
    """A line for every model of a run whose weight files are damaged; `phase_models` leaves these out."""
    return [
        f"{model.folder.name}/ cannot be read ({damage}): restore its weights, or train that phase anew"
        for model in _models(run)
        if (damage := _damage(model))
    ]


def start_of_next(run: RunRecord, phase: str) -> PhaseModel | None:
    """The weights that the phase after `phase` began from: its last ones, or its best with `phase_start="best"`."""
    record = next((record for record in run.phases if record["name"] == phase and record["finished"]), None)
    if record is None:
        return None
    steps = [path.name.rpartition("-")[2] for path in run.folder.glob(f"{phase}-best-*")]
    inside = [int(step) for step in steps if step.isdigit() and record["start"] < int(step) <= record["end"]]
    if inside:
        model = PhaseModel(phase, run.folder / f"{phase}-best-{max(inside)}", f"best evaluation, step {max(inside)}")
        return None if _damage(model) else model
    return phase_models(run).get(phase)


def _models(run: RunRecord) -> Iterator[PhaseModel]:
    finished = {record["name"] for record in run.phases if record["finished"]}
    for planned in run.schedule:
        name = phase_name(planned)
        if name in finished and has_weights(run.folder / name):
            yield PhaseModel(name, run.folder / name)
        elif run.checkpoint is not None and has_weights(run.checkpoint) and _lies_in(run.checkpoint, planned):
            step = _step(run.checkpoint)
            note = "" if step == planned["end"] else f"step {step}, before the phase's end"
            yield PhaseModel(name, run.checkpoint, note)
        elif name in finished and (shared := _shared_model(run, name)) is not None:
            yield shared


def _lies_in(checkpoint: Path, planned: Mapping[str, Any]) -> bool:
    return bool(planned["start"] < _step(checkpoint) <= planned["end"])


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name.rpartition("-")[2])


def _shared_model(run: RunRecord, name: str) -> PhaseModel | None:
    """The model of a phase that another arm of the seed trained: both have the same record of it, to the second."""
    record = next(record for record in run.phases if record["name"] == name)
    for sibling in sorted(path.parent for path in run.folder.parent.glob(f"*/{SUMMARY_FILE_NAME}")):
        if sibling.name != run.folder.name and has_weights(sibling / name) and record in _records(sibling):
            return PhaseModel(name, sibling / name, f"trained by {sibling.name}")
    return None


def _records(folder: Path) -> Sequence[Mapping[str, Any]]:
    try:
        phases: Sequence[Mapping[str, Any]] = read_summary_file(folder)["phases"]
    except ValueError:  # the report on that run says so
        return []
    return phases


def _damage(model: PhaseModel) -> str:
    """What is wrong with a model's weight files, or ""; safetensors checks their length as it opens them."""
    try:
        with open_weights(model.folder):
            return ""
    except (SafetensorError, FileNotFoundError, ValueError, KeyError) as error:
        return f"{type(error).__name__}: {error}"
