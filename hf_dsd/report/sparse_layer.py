"""One layer's weights around a sparse phase: the paper's Figure 2 as numbers, and what became of the pruned weights.

Pruned are the weights that are exactly zero at the sparse phase's end, so no checkpoint is needed. A kept weight that
training happened to leave at exactly 0 counts as pruned; `LayerRow.miscounted` tells of it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]

BINS = 80


@dataclass(frozen=True)
class SparseLayer:
    """One pruned layer around a sparse phase; all arrays are flat and of one length.

    Attributes:
        name: The parameter.
        recorded: How many weights the run says it pruned.
        threshold: The largest magnitude that was pruned; None for a random mask, which compares no magnitudes.
        dense: Weights before pruning.
        sparse: Weights at the sparse phase's end.
        redense: Weights at the end of the dense phase after it; None before it.
    """

    name: str
    recorded: int
    threshold: float | None
    dense: Floats
    sparse: Floats
    redense: Floats | None

    @property
    def states(self) -> list[Floats]:
        """`dense`, `sparse` and, where there is one, `redense`."""
        return [state for state in (self.dense, self.sparse, self.redense) if state is not None]

    @property
    def pruned(self) -> Mask:
        """True where the sparse phase holds a weight at zero."""
        return np.equal(self.sparse, 0)


@dataclass(frozen=True)
class Moment:
    """The histogram of one moment, the once pruned weights apart, without NaN and infinities.

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


@dataclass(frozen=True)
class Fate:
    """The pruned weights of one layer, or of several together, at the end of the re-dense phase.

    Attributes:
        pruned: How many were pruned, without those that are not finite numbers before or now.
        moved: Of these, how many are no longer exactly 0.
        returned: Of these, how many have again at least the magnitude that the layer was pruned at (its threshold);
            None for a random mask, which has no threshold.
        signs: How many have a sign to compare: not 0 before pruning nor now.
        same_sign: Of these, how many have the sign again that they had before; half of them would by chance.
        not_finite: How many more were pruned, and are NaN or infinite.
        median_pruned: Median magnitude of the pruned weights, zeros included; like the next two of one layer only.
        median_kept: Median magnitude of the kept weights at the same time.
        median_before: Median magnitude of the pruned weights before they were pruned.
    """

    pruned: int
    moved: int
    returned: int | None
    signs: int
    same_sign: int
    not_finite: int = 0
    median_pruned: float | None = None
    median_kept: float | None = None
    median_before: float | None = None

    @property
    def same_sign_fraction(self) -> float | None:
        """`same_sign / signs`; None where nothing has moved."""
        return self.same_sign / self.signs if self.signs else None


class Return(NamedTuple):
    """Where so many pruned `weights` of one range of dense values, `dense` on average, are after the re-dense phase.

    `low`, `median` and `high` are the 10th, 50th and 90th percentile of their values then.
    """

    dense: float
    low: float
    median: float
    high: float
    weights: int


def finite(weights: Floats) -> Floats:
    """Without NaN and infinities, which a model that has diverged holds."""
    return weights[np.isfinite(weights)]


def five_moments(layer: SparseLayer, bins: int = BINS) -> list[Moment]:
    """The histograms of dense, pruned, retrained sparse, restored and re-dense weights (paper, Figure 2).

    All share their bins: symmetric about 0, to the largest magnitude of all moments' 99.9th percentiles. The first
    and the last bin also count the weights beyond.
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
    magnitudes = [np.abs(finite(state)) for state in layer.states]
    return max((float(np.quantile(sizes, 0.999)) for sizes in magnitudes if sizes.size), default=0.0) or 1.0


def _moment(title: str, edges: NDArray[np.float64], kept: Floats, returned: Floats, *, absent: bool = False) -> Moment:
    kept, returned = finite(kept), finite(returned)
    at_zero = returned == 0
    counts = [np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0] for values in (kept, returned[~at_zero])]
    return Moment(title, edges, counts[0], counts[1], int(at_zero.sum()), absent)


def count_fate(layer: SparseLayer) -> Fate | None:
    """The fate of one layer's pruned weights; None before a re-dense phase or without finite ones."""
    if layer.redense is None:
        return None
    numbers = np.isfinite(layer.dense) & np.isfinite(layer.redense)
    pruned = layer.pruned & numbers
    if not pruned.any():
        return None
    before, now, kept = layer.dense[pruned], layer.redense[pruned], layer.redense[~layer.pruned & numbers]
    signed = (before != 0) & (now != 0)
    threshold = None if layer.threshold is None else np.float32(layer.threshold)
    return Fate(
        pruned=now.size,
        moved=int(np.count_nonzero(now)),
        returned=None if threshold is None else int(np.count_nonzero((np.abs(now) >= threshold) & (now != 0))),
        signs=int(np.count_nonzero(signed)),
        same_sign=int(np.count_nonzero(np.sign(before[signed]) == np.sign(now[signed]))),
        not_finite=int(np.count_nonzero(layer.pruned & ~numbers)),
        median_pruned=float(np.median(np.abs(now))),
        median_kept=float(np.median(np.abs(kept))) if kept.size else None,
        median_before=float(np.median(np.abs(before))),
    )


def add_fates(fates: Iterable[Fate | None]) -> Fate | None:
    """The counts of several layers together, each pruned at its own threshold; without medians, which do not add up."""
    known = [fate for fate in fates if fate is not None]
    if not known:
        return None
    names = ("pruned", "moved", "signs", "same_sign", "not_finite")
    returned = [fate.returned for fate in known if fate.returned is not None]
    return Fate(
        **{name: sum(getattr(fate, name) for fate in known) for name in names},
        returned=sum(returned) if len(returned) == len(known) else None,
    )


def returns_by_value(layer: SparseLayer, bins: int = 21) -> list[Return]:
    """Where the pruned weights went, by their value before pruning, in ranges of equal width; empty before re-dense."""
    if layer.redense is None:
        return []
    pruned = layer.pruned & np.isfinite(layer.dense) & np.isfinite(layer.redense)
    before, now = layer.dense[pruned], layer.redense[pruned]
    reach = float(np.abs(before).max(initial=0))
    if reach == 0:
        return []
    place = np.clip(((before / reach + 1) / 2 * bins).astype(np.int64), 0, bins - 1)
    found = []
    for index in range(bins):
        inside: Mask = place == index
        if inside.sum() >= 5:  # fewer have no 10th percentile
            low, median, high = np.quantile(now[inside], [0.1, 0.5, 0.9]).tolist()
            found.append(Return(float(before[inside].mean()), low, median, high, int(inside.sum())))
    return found
