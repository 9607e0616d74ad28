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

from hf_dsd.runs.folder import phase_name
from hf_dsd.runs.run import PhaseModel, Run
from hf_dsd.runs.weights import WeightFile, open_weights

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
        by_chance: True if the masks are random.
    """

    phase: Mapping[str, Any]
    dense: PhaseModel
    sparse: PhaseModel
    redense: PhaseModel | None
    by_chance: bool

    @property
    def layers(self) -> Sequence[Mapping[str, Any]]:
        """The pruned layers: name, shape, weights, pruned, sparsity, threshold."""
        return pruned_layers(self.phase)


@dataclass(frozen=True)
class SparseLayer:
    """One pruned layer around a sparse phase; all arrays are flat and of one length.

    Attributes:
        name: The parameter.
        recorded: How many weights the run says it pruned.
        threshold: The largest magnitude that was pruned, as the run recorded it; None without, as for a random mask,
            which compares no magnitudes.
        dense: Weights before pruning.
        sparse: At the sparse phase's end.
        redense: At the end of the dense phase after it; None before it.
    """

    name: str
    recorded: int
    threshold: float | None
    dense: Floats
    sparse: Floats
    redense: Floats | None

    @property
    def not_finite(self) -> list[int]:
        """How many weights are NaN or infinite in `dense`, `sparse` and, where there is one, `redense`."""
        states = [state for state in (self.dense, self.sparse, self.redense) if state is not None]
        return [int(np.count_nonzero(~np.isfinite(state))) for state in states]

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
        kept: (bins,) counts of the weights that the mask keeps; like the next two without NaN and infinities.
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


def pruned_layers(phase: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The layers that a phase's record says it pruned."""
    return [layer for layer in phase["layers"] if layer["pruned"]]


def pruned_by_chance(run: Run) -> bool:
    """True if a run's masks are random: the scores that they prune by, and so the threshold, are no magnitudes."""
    return run.summary.get("mask_criterion") == "random"


def sparse_rounds(run: Run) -> dict[str, SparseRound]:
    """The sparse phases of a run, by name, whose weights and those that they began from are there."""
    rounds = {}
    models = run.models
    planned = [phase_name(entry) for entry in run.schedule]
    for record in run.phases:
        index = planned.index(record["name"]) if record["name"] in planned else 0
        if index == 0 or not pruned_layers(record):
            continue
        dense, sparse = run.start_of_next(planned[index - 1]), models.get(record["name"])
        if dense is None or sparse is None:
            continue
        redense = models.get(planned[index + 1]) if index + 1 < len(planned) else None
        rounds[record["name"]] = SparseRound(record, dense, sparse, redense, pruned_by_chance(run))
    return rounds


def find_sparse_round(run: Run) -> SparseRound | None:
    """The first sparse phase of a run whose weights, and those it began from, are there; one with a re-dense first."""
    return min(sparse_rounds(run).values(), key=lambda found: found.redense is None, default=None)


def read_chosen_layer(found: SparseRound, wanted: str | None = None) -> SparseLayer | None:
    """The layer to draw: the one asked for, else the largest pruned one that the files hold, the first of several.

    A tied weight may be saved under its other name; None if the files hold none of the pruned layers.

    Raises:
        ValueError: If the sparse phase does not prune the wanted layer, or its file lacks it.
    """
    by_size = sorted(found.layers, key=lambda layer: layer["weights"], reverse=True)
    if wanted is None:
        return next((read for layer in by_size if (read := read_sparse_layer(found, layer["name"])) is not None), None)
    names = [layer["name"] for layer in found.layers]
    if wanted not in names:
        raise ValueError(f"layer must be one that {found.phase['name']} prunes, {names}, got {wanted!r}")
    read = read_sparse_layer(found, wanted)
    if read is None:
        raise ValueError(f"layer {wanted!r} is not in the weights of {found.sparse.folder}: choose another by --layer")
    return read


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
    threshold = None if found.by_chance else record["threshold"]
    return SparseLayer(name, int(record["pruned"]), threshold, before, pruned, redense)


def flat_weights(file: WeightFile, name: str) -> Floats:
    """One tensor as flat float32."""
    weights: Floats = file.read(name).float().flatten().numpy()
    return weights


def finite(weights: Floats) -> Floats:
    """Without NaN and infinities, which a model that has diverged holds."""
    return weights[np.isfinite(weights)]


def five_moments(layer: SparseLayer, bins: int = BINS) -> list[Moment]:
    """The histograms of dense, pruned, retrained sparse, restored and re-dense weights (paper, Figure 2).

    All share their bins: symmetric about 0, to the largest magnitude of all moments' 99.9th percentiles. What lies
    beyond counts in the outermost bins.
    """
    pruned = layer.pruned
    edges = np.linspace(-1, 1, bins + 1) * _reach(layer)
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


def _reach(layer: SparseLayer) -> float:
    states = [layer.dense, layer.sparse, *([layer.redense] if layer.redense is not None else [])]
    magnitudes = [np.abs(finite(state)) for state in states]
    return max((float(np.quantile(sizes, 0.999)) for sizes in magnitudes if sizes.size), default=0.0) or 1.0


def _moment(title: str, edges: NDArray[np.float64], kept: Floats, returned: Floats, *, absent: bool = False) -> Moment:
    kept, returned = finite(kept), finite(returned)
    at_zero = returned == 0
    counts = [np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0] for values in (kept, returned[~at_zero])]
    return Moment(title, edges, counts[0], counts[1], int(at_zero.sum()), absent)
