"""The paper's Figure 2 as numbers: one layer's weights at the five moments of dense, sparse, dense.

Layer: numpy on the phases' weights. The mask is read off the sparse phase's own weights: pruned are those that are
exactly zero there, so no checkpoint is needed. A kept weight that training happened to leave at exactly 0 would count
as pruned; `SparseLayer.recorded` tells whether any did.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_dsd.model_folder import WeightFile, open_weights
from hf_dsd.summary import phase_name

from .phase_weights import PhaseModel, phase_models, start_of_next
from .run_record import RunRecord

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]

BINS = 80


@dataclass(frozen=True)
class SparseRound:
    """A sparse phase with the models around it.

    Attributes:
        phase: Its record in the summary, with `layers`.
        dense: What it began from.
        sparse: What it ended with.
        redense: What the dense phase after it ended with; None before it.
    """

    phase: Mapping[str, Any]
    dense: PhaseModel
    sparse: PhaseModel
    redense: PhaseModel | None

    @property
    def layers(self) -> Sequence[Mapping[str, Any]]:
        """The pruned layers: name, shape, weights, pruned, sparsity, threshold."""
        return [layer for layer in self.phase["layers"] if layer["pruned"]]


@dataclass(frozen=True)
class SparseLayer:
    """One pruned layer around a sparse phase; all arrays are flat and of one length.

    Attributes:
        name: The parameter.
        recorded: How many weights the run says it pruned.
        threshold: The largest magnitude that was pruned, as the run recorded it.
        dense: Weights before pruning.
        sparse: At the sparse phase's end.
        redense: At the end of the dense phase after it; None before it.
    """

    name: str
    recorded: int
    threshold: float
    dense: Floats
    sparse: Floats
    redense: Floats | None

    @property
    def pruned(self) -> Mask:
        """True where the sparse phase holds a weight at zero."""
        return np.equal(self.sparse, 0)


@dataclass(frozen=True)
class Moment:
    """The histogram of one moment, the once pruned weights apart.

    Attributes:
        title: `dense`, `pruned`, `retrained sparse`, `restored` or `re-dense`.
        edges: (bins + 1,) bin edges, the same for all moments.
        kept: (bins,) counts of the weights that the mask keeps.
        returned: (bins,) counts of the pruned ones; zeros where they are not part of the model (`absent`).
        at_zero: Number of pruned weights that sit at exactly 0 and are left out of `returned`.
        absent: True while the mask holds them: there is no weight to draw.
    """

    title: str
    edges: NDArray[np.float64]
    kept: NDArray[np.int64]
    returned: NDArray[np.int64]
    at_zero: int
    absent: bool


def find_sparse_round(run: RunRecord) -> SparseRound | None:
    """The first sparse phase of a run whose weights, and those it began from, are there; one with a re-dense first."""
    rounds = []
    models = phase_models(run)
    planned = [phase_name(entry) for entry in run.schedule]
    for record in run.phases:
        index = planned.index(record["name"])
        if index == 0 or not any(layer["pruned"] for layer in record["layers"]):
            continue
        dense, sparse = start_of_next(run, planned[index - 1]), models.get(record["name"])
        if dense is None or sparse is None:
            continue
        redense = models.get(planned[index + 1]) if index + 1 < len(planned) else None
        rounds.append(SparseRound(record, dense, sparse, redense))
    return min(rounds, key=lambda found: found.redense is None, default=None)


def choose_layer(found: SparseRound, wanted: str | None = None) -> str:
    """The layer to draw: the one asked for, else the largest pruned one, the first of several as large.

    Raises:
        ValueError: If the sparse phase does not prune such a layer.
    """
    names = [layer["name"] for layer in found.layers]
    if wanted is not None:
        if wanted not in names:
            raise ValueError(f"layer must be one that {found.phase['name']} prunes, {names}, got {wanted!r}")
        return wanted
    return str(max(found.layers, key=lambda layer: layer["weights"])["name"])


def read_sparse_layer(found: SparseRound, name: str) -> SparseLayer | None:
    """One pruned layer's weights around a sparse phase; None if a file lacks it, as it may tied weights."""
    record = next(layer for layer in found.layers if layer["name"] == name)
    with open_weights(found.dense.folder) as dense, open_weights(found.sparse.folder) as sparse:
        if name not in dense or name not in sparse:
            return None
        before, pruned = flat_weights(dense, name), flat_weights(sparse, name)
    redense = None
    if found.redense is not None:
        with open_weights(found.redense.folder) as file:
            redense = flat_weights(file, name) if name in file else None
    return SparseLayer(name, int(record["pruned"]), float(record["threshold"]), before, pruned, redense)


def flat_weights(file: WeightFile, name: str) -> Floats:
    """One tensor as flat float32."""
    weights: Floats = file.read(name).float().flatten().numpy()
    return weights


def five_moments(layer: SparseLayer, bins: int = BINS) -> list[Moment]:
    """The histograms of dense, pruned, retrained sparse, restored and re-dense weights (paper, Figure 2).

    All share their bins: symmetric about 0, to the largest magnitude of all moments' 99.9th percentiles. What lies
    beyond counts in the outermost bins.
    """
    pruned = layer.pruned
    states = [layer.dense, layer.sparse, *([layer.redense] if layer.redense is not None else [])]
    reach = max(float(np.quantile(np.abs(state), 0.999)) for state in states) or 1.0
    edges = np.linspace(-reach, reach, bins + 1)
    none = np.zeros(0, np.float32)
    zeros = np.zeros(int(pruned.sum()), np.float32)
    moments = [
        _moment("dense", edges, layer.dense[~pruned], layer.dense[pruned]),
        _moment("pruned", edges, layer.dense[~pruned], none, absent=True),
        _moment("retrained sparse", edges, layer.sparse[~pruned], none, absent=True),
        _moment("restored", edges, layer.sparse[~pruned], zeros),
    ]
    if layer.redense is not None:
        moments.append(_moment("re-dense", edges, layer.redense[~pruned], layer.redense[pruned]))
    return moments


def _moment(title: str, edges: NDArray[np.float64], kept: Floats, returned: Floats, *, absent: bool = False) -> Moment:
    at_zero = returned == 0
    counts = [np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0] for values in (kept, returned[~at_zero])]
    return Moment(title, edges, counts[0], counts[1], int(at_zero.sum()), absent)
