"""The weights that a run's phases ended with, one tensor at a time.

Layer: safetensors and the run record next door.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from safetensors import safe_open
from torch import Tensor
from transformers.utils import SAFE_WEIGHTS_INDEX_NAME, SAFE_WEIGHTS_NAME

from hf_dsd.summary import phase_name

from .run_record import RunRecord


class WeightFile:
    """The tensors of a model's folder, read when asked for; `model.safetensors` or its shards.

    Args:
        tensors: Name -> how to read it.
    """

    def __init__(self, tensors: Mapping[str, Any]) -> None:
        self._tensors = tensors

    def names(self) -> list[str]:
        """Names of the tensors, in the order of the file."""
        return list(self._tensors)

    def __contains__(self, name: str) -> bool:
        return name in self._tensors

    def read(self, name: str) -> Tensor:
        """One tensor, in the file's type."""
        tensor: Tensor = self._tensors[name]()
        return tensor


@contextmanager
def open_weights(folder: Path) -> Iterator[WeightFile]:
    """Opens the weights of a model's folder.

    Raises:
        FileNotFoundError: If there are none.
    """
    index = folder / SAFE_WEIGHTS_INDEX_NAME
    if index.is_file():
        files = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    else:
        files = [SAFE_WEIGHTS_NAME]
    if not all((folder / file).is_file() for file in files):
        raise FileNotFoundError(f"{folder} has no {SAFE_WEIGHTS_NAME}: save the model as safetensors")
    with ExitStack() as stack:
        tensors: dict[str, Any] = {}
        for file in files:
            opened = stack.enter_context(safe_open(folder / file, framework="pt"))
            tensors |= {name: partial(opened.get_tensor, name) for name in opened.keys()}  # noqa: SIM118 (no mapping)
        yield WeightFile(tensors)


def read_weights(folder: Path) -> dict[str, Tensor]:
    """All tensors of a model's folder.

    Raises:
        FileNotFoundError: If there are none.
    """
    with open_weights(folder) as file:
        return {name: file.read(name) for name in file.names()}


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
        if _has_weights(folder):
            models[name] = PhaseModel(name, folder)
        elif run.checkpoint is not None and _has_weights(run.checkpoint):
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


def _has_weights(folder: Path) -> bool:
    return any((folder / name).is_file() for name in (SAFE_WEIGHTS_NAME, SAFE_WEIGHTS_INDEX_NAME))
