"""What became of the pruned weights once they were trained again.

Layer: numpy on the layers next door.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .weight_moments import Floats, SparseLayer


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


@dataclass(frozen=True)
class Return:
    """Where the pruned weights of one range of dense values are after the re-dense phase.

    Attributes:
        dense: Mean value before pruning.
        low: 10th percentile after the re-dense phase.
        median: Median.
        high: 90th percentile.
        count: Number of weights.
    """

    dense: float
    low: float
    median: float
    high: float
    count: int


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
    return Fate(
        pruned=now.size,
        moved=int(np.count_nonzero(now)),
        returned=_count_returned(now, layer.threshold),
        signs=int(np.count_nonzero(signed)),
        same_sign=int(np.count_nonzero(np.sign(before[signed]) == np.sign(now[signed]))),
        not_finite=int(np.count_nonzero(layer.pruned & ~numbers)),
        median_pruned=float(np.median(np.abs(now))),
        median_kept=float(np.median(np.abs(kept))) if kept.size else None,
        median_before=float(np.median(np.abs(before))),
    )


def _count_returned(now: Floats, threshold: float | None) -> int | None:
    if threshold is None:
        return None
    return int(np.count_nonzero((np.abs(now) >= np.float32(threshold)) & (now != 0)))


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
        inside: NDArray[np.bool_] = place == index
        if inside.sum() >= 5:  # fewer have no 10th percentile
            low, median, high = np.quantile(now[inside], [0.1, 0.5, 0.9])
            found.append(Return(float(before[inside].mean()), float(low), float(median), float(high), inside.sum()))
    return found
