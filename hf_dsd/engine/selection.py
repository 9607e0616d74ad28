"""HOW MUCH: the exact k smallest magnitudes of one tensor.

Exact means: `round(sparsity * n)` entries, never one more or less, whatever ties, zeros, storage or dtype the tensor
has. A threshold alone cannot promise that (a million bf16 weights share some 2,000 magnitudes), so ties at the
threshold are broken by position: of equal magnitudes the first in row-major order are pruned.

IEEE floats without their sign bit order like the integers of the same bits, so every dtype is selected by its bits:

* on CPU by numpy, with a bracket: a sorted sample says between which two magnitudes the k-th lies almost surely, one
  pass counts those below and copies out the few between, and `numpy.partition` settles them. Where the bracket misses
  (the counts prove it) the whole tensor is partitioned. Blocks fit the cache, so there is no copy of the weight;
* elsewhere by a radix select: histograms of the bits, most significant digit first. Three histograms of at most 2,048
  bins settle a 32-bit threshold, in O(n) and without the 12 bytes a weight that a sort needs;
* of a tensor that is sharded over ranks by the same radix select, its histograms summed over the ranks: they say as
  much about the whole tensor as the weights would, in 16 KB a round. Rank r takes those of the ties at the threshold
  that the ranks before it leave. So a mask is the one that a single process would choose, bit for bit, and what a rank
  sends (37 KB for fp32, in 5 messages) does not depend on the tensor's size.

`tests/benchmarks/bench_selection.py` compares it. On an AMD EPYC (Zen 4, one thread, numpy 2.4.6) threshold and full
mask took 0.3 of the CPU seconds of `numpy.partition`'s threshold alone for 10 million fp32 weights (24 ms), 0.4 for 1
million and 0.8 for 100,000. Other machines partition faster or slower: run it there.
"""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from .sharding import WHOLE, Layout

# Floating dtypes by their bytes -> the integers of the same bits.
BITS_DTYPE = {2: torch.int16, 4: torch.int32, 8: torch.int64}
_DIGIT_BITS = 11
_SAMPLE_SIZE = 1 << 14
_BLOCK_SIZE = 1 << 18
_NOT_FINITE = "magnitudes must be finite, got NaN or inf"  # NaN's bits lie above infinity's

Unsigned = npt.NDArray[np.unsignedinteger[Any]]


class Selection(NamedTuple):
    """The outcome of a selection."""

    mask: Tensor  # bool, of the values' shape, contiguous; False at the k smallest magnitudes
    threshold: float  # the k-th smallest magnitude (the largest pruned one); 0.0 if k is 0


def prune_count(sparsity: float, n: int, matrices: int = 1) -> int:
    """How many of `n` weights a sparsity in [0, 1) prunes: `round(sparsity * n)`, of each of the matrices they form."""
    return matrices * round(sparsity * (n // matrices))


def select_smallest(values: Tensor, k: int, layout: Layout = WHOLE) -> Selection:
    """Marks the `k` smallest magnitudes of a tensor, ties broken by position.

    Args:
        values: Floating tensor of 16, 32 or 64 bits, any shape and strides; the sign is ignored. Of a sharded tensor
            this rank's block; every rank of the layout's group calls with its own.
        k: How many to mark of the whole tensor, 0 <= k <= n.
        layout: How the tensor is laid out over ranks.

    Returns:
        The keep mask of `values` and the whole tensor's threshold.

    Raises:
        ValueError: If k > 0 and a value is NaN or infinite, on whichever rank.
    """
    if k == 0:
        return Selection(torch.ones(values.shape, dtype=torch.bool, device=values.device), 0.0)
    bits = values.detach().reshape(-1).view(BITS_DTYPE[values.element_size()])
    infinity = _bits_of(float("inf"), values.dtype)
    if bits.device.type == "cpu" and layout.group is None:
        keep, threshold = _select_numpy(bits, k, infinity)
    else:
        keep, threshold = _select_torch(bits, k, infinity, layout)
    return Selection(keep.view(values.shape), _float_of(threshold, values.dtype))


def _select_numpy(bits: Tensor, k: int, infinity: int) -> tuple[Tensor, int]:
    """Keep mask and threshold bits of a 1-D tensor of float bits, on CPU."""
    values = bits.numpy().view(f"u{bits.element_size()}")
    threshold, tied = kth_smallest(values, k, infinity)
    keep = np.empty(values.size, np.bool_)
    for start, block in _magnitude_blocks(values):
        kept = keep[start : start + block.size]
        np.greater_equal(block, threshold, out=kept)
        if tied:  # the first `tied` of the ties at the threshold go
            ties = np.flatnonzero(block == threshold)[:tied]
            kept[ties] = False
            tied -= ties.size
    return torch.from_numpy(keep), threshold


def _select_torch(bits: Tensor, k: int, infinity: int, layout: Layout = WHOLE) -> tuple[Tensor, int]:
    """Keep mask and threshold bits of a 1-D tensor of float bits, on any device and over any number of ranks."""
    magnitudes = bits & torch.iinfo(bits.dtype).max
    if int(layout.all_sum(torch.count_nonzero(magnitudes >= infinity))):
        raise ValueError(_NOT_FINITE)
    threshold, tied = radix_select(magnitudes, k, layout)
    keep = magnitudes >= threshold
    ties = torch.nonzero(magnitudes == threshold).reshape(-1)
    keep[ties[: max(tied - layout.sum_before(ties.numel()), 0)]] = False
    return keep, threshold


def kth_smallest(values: Unsigned, k: int, infinity: int) -> tuple[int, int]:
    """The `k`-th smallest (from 1) magnitude, and how many of the k are as large as it.

    Args:
        values: 1-D array of floats' bits; the sign bit is ignored.
        k: Rank, 1 <= k <= n.
        infinity: The bits of the dtype's infinity.

    Raises:
        ValueError: If a magnitude is NaN or infinite.
    """
    for low, high in (_bracket(values, k, infinity), (0, infinity)):
        below, lows, inside, highs = _split(values, low, high, infinity)
        if 0 < k - below <= lows:
            return low, k - below
        rank = k - below - lows
        if 0 < rank <= inside.size:
            inside.partition(rank - 1)
            threshold = inside[rank - 1]
            return int(threshold), rank - int(np.count_nonzero(inside < threshold))
        if 0 < rank - inside.size <= highs:
            return high, rank - inside.size
    raise AssertionError("every finite magnitude lies in [0, infinity)")  # pragma: no cover


def _bracket(values: Unsigned, k: int, infinity: int) -> tuple[int, int]:
    """Two magnitudes between which the `k`-th smallest lies: almost surely, as a sorted sample tells."""
    if values.size <= 4 * _SAMPLE_SIZE:
        return 0, infinity
    stride = values.size // _SAMPLE_SIZE | 1  # odd: an even one would see only some columns of most matrices
    sample = np.sort(values[::stride] & _magnitude_mask(values))
    rank, margin = sample.size * k // values.size, 2 * math.isqrt(sample.size)  # 4 standard deviations or more
    return int(sample[max(rank - margin, 0)]), int(sample[min(rank + margin, sample.size - 1)])


def _split(values: Unsigned, low: int, high: int, infinity: int) -> tuple[int, int, Unsigned, int]:
    """How many magnitudes are below `low` and at it, a copy of those between, and how many are at `high`.

    Those at the bracket's ends are counted, not copied: of a tensor of many ties `inside` would be half otherwise, and
    partitioning ties is slow.
    """
    below, lows, inside, highs = 0, 0, [], 0
    for _, block in _magnitude_blocks(values):
        if block.max() >= infinity:
            raise ValueError(_NOT_FINITE)
        below += int(np.count_nonzero(block < low))
        lows += int(np.count_nonzero(block == low))
        highs += int(np.count_nonzero(block == high)) if high > low else 0
        block -= values.dtype.type(low + 1)  # what is not above `low` wraps to huge numbers: one comparison suffices
        inside.append(block.compress(block < max(high - low - 1, 0)))
    return below, lows, np.concatenate(inside) + values.dtype.type(low + 1), highs


def _magnitude_blocks(values: Unsigned) -> Iterator[tuple[int, Unsigned]]:
    """Copies of `values` without the sign bit, each with its position, small enough for the cache."""
    mask = values.dtype.type(_magnitude_mask(values))
    for start in range(0, values.size, _BLOCK_SIZE):
        yield start, values[start : start + _BLOCK_SIZE] & mask


def _magnitude_mask(values: Unsigned) -> int:
    return (1 << (8 * values.itemsize - 1)) - 1


def radix_select(magnitudes: Tensor, k: int, layout: Layout = WHOLE) -> tuple[int, int]:
    """The `k`-th smallest (from 1) of non-negative integers, and how many of the k are as large as it.

    Histograms of the digits decide, most significant first. Each round keeps only the entries whose digit is the sought
    one's, so the first round reads all n and the others hardly any.

    Args:
        magnitudes: 1-D tensor of integers, of a sharded tensor this rank's block.
        k: Rank in the whole tensor, 1 <= k <= n.
        layout: How the tensor is laid out over ranks.
    """
    shift, result = magnitudes.element_size() * 8 - 1, 0  # the sign bit of a magnitude is 0
    while shift > 0:
        digit_bits = min(_DIGIT_BITS, shift)
        shift -= digit_bits
        digits = (magnitudes >> shift) & ((1 << digit_bits) - 1)
        below = layout.all_sum(torch.bincount(digits, minlength=1 << digit_bits)).cumsum(0)
        digit = int(torch.searchsorted(below, k))
        k -= int(below[digit - 1]) if digit else 0
        result |= digit << shift
        magnitudes = magnitudes[digits == digit]
    return result, k


def _bits_of(value: float, dtype: torch.dtype) -> int:
    scalar = torch.tensor(value, dtype=dtype, device="cpu")
    return int(scalar.view(BITS_DTYPE[scalar.element_size()]))


def _float_of(bits: int, dtype: torch.dtype) -> float:
    return float(torch.tensor(bits, dtype=BITS_DTYPE[dtype.itemsize], device="cpu").view(dtype))
