"""HOW MUCH: the exact k smallest magnitudes of one tensor.

Exact means: `round(sparsity * n)` entries, never one more or less, whatever ties, zeros, storage or dtype the tensor
has. A threshold alone cannot promise that (a million bf16 weights share some 2,000 magnitudes), so ties at the
threshold are broken by position: of equal magnitudes the first in row-major order are pruned.

IEEE floats without their sign bit order like the integers of the same bits, so every dtype is selected by its bits:

* on CPU by numpy, with a bracket: a sorted sample says between which two magnitudes the k-th lies almost surely, one
  pass counts those below and copies out the few inside, and `numpy.partition` settles them. Where the bracket misses
  (a sample can be unlucky, never wrong: the count proves it) the whole tensor is partitioned;
* elsewhere by a radix select: histograms of the bits, most significant digit first. Three histograms of at most 2,048
  bins settle a 32-bit threshold, in O(n) and without the 12 bytes a weight that a sort needs.

Measured by `tests/benchmarks/bench_selection.py` on one core of an AMD EPYC (Zen 4), torch 2.13, numpy 2.4: 4 and 16
million weights at sparsity 0.3 to 0.8, CPU seconds of threshold and full mask together over those of the other's
threshold alone: TO BE MEASURED
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

_BITS_DTYPE = {2: torch.int16, 4: torch.int32, 8: torch.int64}
_DIGIT_BITS = 11
_SAMPLE_SIZE = 1 << 14

Unsigned = npt.NDArray[np.unsignedinteger[Any]]


class Smallest(NamedTuple):
    """The outcome of a selection.

    Attributes:
        keep: Bool tensor of the values' shape, contiguous; False at the k smallest magnitudes.
        threshold: The k-th smallest magnitude (the largest pruned one); 0.0 if k is 0.
    """

    keep: Tensor
    threshold: float


def prune_count(sparsity: float, n: int) -> int:
    """How many of `n` weights a sparsity in [0, 1) prunes: `round(sparsity * n)`."""
    return round(sparsity * n)


def select_smallest(values: Tensor, k: int) -> Smallest:
    """Marks the `k` smallest magnitudes of `values`, ties broken by position.

    Args:
        values: Floating tensor of 16, 32 or 64 bits, any shape and strides; the sign is ignored.
        k: How many to mark, 0 <= k <= n.

    Returns:
        The keep mask and the threshold.

    Raises:
        ValueError: If k > 0 and a value is NaN or infinite.
    """
    if k == 0:
        return Smallest(torch.ones(values.shape, dtype=torch.bool, device=values.device), 0.0)
    bits = values.detach().reshape(-1).view(_BITS_DTYPE[values.element_size()])
    select = _select_numpy if bits.device.type == "cpu" else _select_torch
    keep, threshold = select(bits, k, _bits_of(float("inf"), values.dtype))
    return Smallest(keep.view(values.shape), _float_of(threshold, values.dtype))


def _select_numpy(bits: Tensor, k: int, infinity: int) -> tuple[Tensor, int]:
    """Keep mask and threshold bits of a 1-D tensor of float bits, on CPU."""
    unsigned = bits.numpy().view(f"u{bits.element_size()}")
    magnitudes = unsigned & ((1 << (8 * bits.element_size() - 1)) - 1)
    _check_finite(int(magnitudes.max()), infinity)
    threshold = kth_smallest(magnitudes, k)
    keep = magnitudes > threshold
    missing = keep.size - k - int(np.count_nonzero(keep))
    if missing:  # ties at the threshold: the last `missing` of them stay
        keep[np.flatnonzero(magnitudes == threshold)[-missing:]] = True
    return torch.from_numpy(keep), threshold


def _select_torch(bits: Tensor, k: int, infinity: int) -> tuple[Tensor, int]:
    """Keep mask and threshold bits of a 1-D tensor of float bits, on any device."""
    magnitudes = bits & torch.iinfo(bits.dtype).max
    _check_finite(int(magnitudes.max()), infinity)
    threshold = radix_select(magnitudes, k)
    keep = magnitudes > threshold
    missing = keep.numel() - k - int(torch.count_nonzero(keep))
    if missing:
        keep[torch.nonzero(magnitudes == threshold).reshape(-1)[-missing:]] = True
    return keep, threshold


def kth_smallest(magnitudes: Unsigned, k: int) -> int:
    """The `k`-th smallest (from 1) of a 1-D array of unsigned integers."""
    n = magnitudes.size
    if n > 4 * _SAMPLE_SIZE:
        sample = np.sort(magnitudes[:: n // _SAMPLE_SIZE])
        rank, margin = int(sample.size * k / n), 2 * int(sample.size**0.5)  # 4 standard deviations of the rank
        low = sample[max(rank - margin, 0)]
        width = sample[min(rank + margin, sample.size - 1)] - low
        below = int(np.count_nonzero(magnitudes < low))
        inside = magnitudes[magnitudes - low <= width]  # one comparison: what is below `low` wraps to huge numbers
        if below < k <= below + inside.size:
            magnitudes, k = inside, k - below
    return int(np.partition(magnitudes, k - 1)[k - 1])


def radix_select(magnitudes: Tensor, k: int) -> int:
    """The `k`-th smallest (from 1) of a 1-D tensor of non-negative integers, by histograms of its digits.

    Each round keeps only the entries whose digit is the sought one's, so the first round reads all n and the others
    hardly any.
    """
    shift, result = magnitudes.element_size() * 8 - 1, 0  # the sign bit of a magnitude is 0
    while shift > 0:
        digit_bits = min(_DIGIT_BITS, shift)
        shift -= digit_bits
        digits = (magnitudes >> shift) & ((1 << digit_bits) - 1)
        below = torch.bincount(digits, minlength=1 << digit_bits).cumsum(0)
        digit = int(torch.searchsorted(below, k))
        k -= int(below[digit - 1]) if digit else 0
        result |= digit << shift
        magnitudes = magnitudes[digits == digit]
    return result


def _check_finite(largest: int, infinity: int) -> None:
    if largest >= infinity:  # NaN's bits lie above infinity's
        raise ValueError("magnitudes must be finite, got NaN or inf")


def _bits_of(value: float, dtype: torch.dtype) -> int:
    scalar = torch.tensor(value, dtype=dtype, device="cpu")
    return int(scalar.view(_BITS_DTYPE[scalar.element_size()]))


def _float_of(bits: int, dtype: torch.dtype) -> float:
    return float(torch.tensor(bits, dtype=_BITS_DTYPE[dtype.itemsize], device="cpu").view(dtype))
