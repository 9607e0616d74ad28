"""The pruned layers one by one: what was asked for, what was pruned, and how each phase left them.

Layer: numpy on the phases' weights.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hf_dsd.model_folder import open_weights

from .phase_weights import phase_models
from .pruned_fate import Fate, count_fate
from .run_record import RunRecord
from .weight_moments import SparseRound, flat_weights, read_sparse_layer


@dataclass(frozen=True)
class LayerRow:
    """One pruned layer.

    Attributes:
        name: The parameter.
        shape: Its shape.
        weights: Their number.
        target: Fraction asked for, [0, 1).
        actual: Fraction pruned.
        threshold: The largest magnitude pruned.
        moments: Phase -> (mean, standard deviation) of all its weights at the phase's end, pruned zeros included.
        fate: Of its pruned weights; None before a re-dense phase.
        miscounted: How many more or fewer zeros the sparse phase's weights have than the run recorded as pruned.
    """

    name: str
    shape: Sequence[int]
    weights: int
    target: float
    actual: float
    threshold: float
    moments: Mapping[str, tuple[float, float]]
    fate: Fate | None
    miscounted: int


@dataclass(frozen=True)
class DenseRow:
    """A parameter that stays dense, and the rule that says so."""

    name: str
    shape: Sequence[int]
    weights: int
    reason: str


def layer_rows(run: RunRecord, found: SparseRound) -> list[LayerRow]:
    """One row per layer that a sparse phase prunes."""
    overrides = {entry["name"]: entry["override"] for entry in run.summary.get("parameters", ())}
    statistics = _statistics(run, [layer["name"] for layer in found.layers])
    rows = []
    for layer in found.layers:
        name = layer["name"]
        read = read_sparse_layer(found, name)  # one at a time: all together may not fit into memory
        override = overrides.get(name)
        rows.append(
            LayerRow(
                name=name,
                shape=layer["shape"],
                weights=layer["weights"],
                target=found.phase["sparsity"] if override is None else override,
                actual=layer["sparsity"],
                threshold=layer["threshold"],
                moments=statistics[name],
                fate=count_fate(read) if read is not None else None,
                miscounted=int(read.pruned.sum()) - read.recorded if read is not None else 0,
            )
        )
    return rows


def dense_rows(run: RunRecord) -> list[DenseRow]:
    """The parameters that no phase prunes."""
    return [
        DenseRow(entry["name"], entry["shape"], entry["weights"], entry["dense_reason"])
        for entry in run.summary.get("parameters", ())
        if entry["dense_reason"]
    ]


def _statistics(run: RunRecord, names: Sequence[str]) -> dict[str, dict[str, tuple[float, float]]]:
    found: dict[str, dict[str, tuple[float, float]]] = {name: {} for name in names}
    for phase, model in phase_models(run).items():
        with open_weights(model.folder) as file:
            for name in names:
                if name in file:
                    weights = flat_weights(file, name)
                    found[name][phase] = float(weights.mean(dtype=np.float64)), float(weights.std(dtype=np.float64))
    return found
