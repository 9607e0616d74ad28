"""HOW MUCH: the exact k smallest magnitudes of one tensor.

Exact means: `round(sparsity * n)` entries, never one more or less, whatever ties, zeros, storage or dtype the tensor
has. A threshold alone cannot promise that (a million bf16 weights share some 2,000 magnitudes), so ties at the
threshold are broken by position: of equal magnitudes the first in row-major order are pruned.

How the threshold is found:

* on CPU by `numpy.partition` in place on a copy of the magnitudes, 5 to 8 times faster than `torch.kthvalue` and 20 to
  50 times faster than a sort (`tests/benchmarks/bench_selection.py` prints the ratios for your machine);
* elsewhere by a radix select: histograms of the magnitudes' bit patterns, most significant digit first. Non-negative
  IEEE floats order like their bits, so three histograms of at most 2,048 bins settle a 32-bit threshold exactly, in
  O(n) and without the 12 bytes a weight that a sort needs. The same benchmark times it against `kthvalue` and `sort`
  on a GPU; it has not been run on one yet.
"""

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

_BITS_DTYPE = {2: torch.int16, 4: torch.int32, 8: torch.int64}
_DIGIT_BITS = 11


class Smallest(NamedTuple):
    """The outcome of a selection.

    Attributes:
        keep: Bool tensor of the scores' shape, contiguous; False at the k smallest entries.
        threshold: The k-th smallest score (the largest pruned magnitude); 0.0 if k is 0.
    """

    keep: Tensor
    threshold: float


def prune_count(sparsity: float, n: int) -> int:
    """How many of `n` weights a sparsity in [0, 1) prunes: `round(sparsity * n)`."""
    return round(sparsity * n)


def select_smallest(scores: Tensor, k: int) -> Smallest:
    """Marks the `k` smallest of `scores`, ties broken by position.

    Args:
        scores: Non-negative floating tensor of any shape and strides (magnitudes), finite.
        k: How many to mark, 0 <= k <= n.

    Returns:
        The keep mask and the threshold.

    Raises:
        ValueError: If a score is NaN or infinite.
    """
    if k == 0:
        return Smallest(torch.ones(scores.shape, dtype=torch.bool, device=scores.device), 0.0)
    if not math.isfinite(scores.amax().item()):
        raise ValueError("scores must be finite, got NaN or inf")
    flat = scores.reshape(-1)
    threshold = kth_smallest(flat, k)
    keep = flat > threshold
    missing = flat.numel() - k - int(torch.count_nonzero(keep))
    if missing:  # ties at the threshold: the last `missing` of them stay
        tied = torch.nonzero(flat == threshold).reshape(-1)
        keep[tied[tied.numel() - missing :]] = True
    return Smallest(keep.view(scores.shape), threshold)


def kth_smallest(flat: Tensor, k: int) -> float:
    """The `k`-th smallest (from 1) of a 1-D tensor of finite, non-negative floats, exactly."""
    bits = flat.view(_BITS_DTYPE[flat.element_size()])
    if flat.device.type == "cpu":
        values = bits.numpy() if flat.dtype is torch.bfloat16 else flat.numpy()  # numpy has no bfloat16
        return _float_of(np.partition(values, k - 1)[k - 1].item(), flat)
    return _float_of(radix_select(bits, k), flat)


def _float_of(value: float, like: Tensor) -> float:
    """`value` as a float; an int is the bit pattern of a float of `like`'s dtype."""
    if isinstance(value, int):
        return torch.tensor(value, dtype=_BITS_DTYPE[like.element_size()]).view(like.dtype).item()
    return value


def radix_select(bits: Tensor, k: int) -> int:
    """The `k`-th smallest (from 1) of a 1-D tensor of non-negative integers, by histograms of its digits.

    Each round keeps only the entries whose digit is the sought one's, so the first round reads all n and the others
    hardly any.
    """
    width = bits.element_size() * 8 - 1  # the sign bit of a magnitude is 0
    shift, result = width, 0
    while shift > 0:
        digit_bits = min(_DIGIT_BITS, shift)
        shift -= digit_bits
        digits = (bits >> shift) & ((1 << digit_bits) - 1)
        below = torch.bincount(digits, minlength=1 << digit_bits).cumsum(0)
        digit = int(torch.searchsorted(below, k))
        k -= int(below[digit - 1]) if digit else 0
        result |= digit << shift
        bits = bits[digits == digit]
    return result
