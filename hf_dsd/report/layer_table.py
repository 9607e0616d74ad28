"""The pruned layers one by one: what was asked for, what was pruned, and how each phase left them.

Layer: numpy on the phases' weights.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hf_dsd.runs.run import Run
from hf_dsd.runs.weights import open_weights

from .pruned_fate import Fate, count_fate
from .weight_moments import (
    SparseRound,
    finite,
    flat_weights,
    pruned_by_chance,
    pruned_layers,
    read_sparse_layer,
    sparse_rounds,
)


@dataclass(frozen=True)
class LayerRow:
    """One layer that a sparse phase prunes.

    Attributes:
        name: The parameter.
        shape: Its shape.
        weights: Their number.
        target: Fraction asked for, [0, 1).
        actual: Fraction pruned.
        threshold: The largest magnitude pruned; None for a random mask, or where the run recorded none.
        fate: Of its pruned weights; None before a re-dense phase, or where a file with its weights is missing.
        miscounted: How many more or fewer zeros the sparse phase's weights have than the run recorded as pruned.
    """

    name: str
    shape: Sequence[int]
    weights: int
    target: float
    actual: float
    threshold: float | None
    fate: Fate | None
    miscounted: int


@dataclass(frozen=True)
class PrunedPhase:
    """A sparse phase and the layers that it prunes.

    Attributes:
        name: `phase-1-sparse`.
        rows: One per layer.
        by_chance: True if its masks are random.
    """

    name: str
    rows: Sequence[LayerRow]
    by_chance: bool


@dataclass(frozen=True)
class LayerStatistics:
    """Weights of layers at the phases' ends, pruned zeros included.

    Attributes:
        moments: Layer -> phase -> (mean, standard deviation) of its finite weights; no phase without any.
        not_finite: Phase -> how many weights of these layers are NaN or infinite; only phases with such.
    """

    moments: Mapping[str, Mapping[str, tuple[float, float]]]
    not_finite: Mapping[str, int]


@dataclass(frozen=True)
class DenseRow:
    """A parameter that stays dense, and the rule that says so."""

    name: str
    shape: Sequence[int]
    weights: int
    reason: str


def pruned_phases(run: Run) -> list[PrunedPhase]:
    """The sparse phases that have begun, in order; the fates in their rows are known where their weights are there."""
    by_chance, rounds = pruned_by_chance(run), sparse_rounds(run)
    return [
        PrunedPhase(record["name"], _rows(run, record, rounds.get(record["name"])), by_chance)
        for record in run.phases
        if pruned_layers(record)
    ]


def _rows(run: Run, record: Mapping[str, Any], found: SparseRound | None) -> list[LayerRow]:
    overrides = {entry["name"]: entry["override"] for entry in run.summary.get("parameters", ())}
    rows = []
    for layer in pruned_layers(record):
        name = layer["name"]
        # One at a time: all together may not fit into memory.
        read = read_sparse_layer(found, name) if found is not None else None
        override = overrides.get(name)
        rows.append(
            LayerRow(
                name=name,
                shape=layer["shape"],
                weights=layer["weights"],
                target=record["sparsity"] if override is None else override,
                actual=layer["sparsity"],
                threshold=None if pruned_by_chance(run) else layer["threshold"],
                fate=count_fate(read) if read is not None else None,
                miscounted=int(read.pruned.sum()) - read.recorded if read is not None else 0,
            )
        )
    return rows


def dense_rows(run: Run) -> list[DenseRow]:
    """The parameters that no phase prunes."""
    return [
        DenseRow(entry["name"], entry["shape"], entry["weights"], entry["dense_reason"])
        for entry in run.summary.get("parameters", ())
        if entry["dense_reason"]
    ]


def layer_statistics(run: Run, names: Sequence[str]) -> LayerStatistics:
    """Means and standard deviations of some layers after every phase whose model is there."""
    moments: dict[str, dict[str, tuple[float, float]]] = {name: {} for name in names}
    not_finite: dict[str, int] = {}
    for phase, model in run.models.items():
        with open_weights(model.folder) as file:
            for name in names:
                if name not in file:
                    continue
                weights = flat_weights(file, name)
                numbers = finite(weights)
                if numbers.size:
                    moments[name][phase] = float(numbers.mean(dtype=np.float64)), float(numbers.std(dtype=np.float64))
                if numbers.size < weights.size:
                    not_finite[phase] = not_finite.get(phase, 0) + weights.size - numbers.size
    return LayerStatistics(moments, not_finite)
