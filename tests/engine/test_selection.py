"""HOW MUCH: exactly k entries, whatever the tensor; every path against a plain sort."""

import math
import time

import numpy as np
import pytest
import torch
from torch import Tensor

from hf_dsd.engine import selection
from hf_dsd.engine.selection import kth_smallest, prune_count, radix_select, select_smallest

DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
INTEGERS = {2: torch.int16, 4: torch.int32, 8: torch.int64}


def sorted_selection(values: Tensor, k: int) -> tuple[Tensor, float]:
    """The definition: sort the magnitudes, the earlier of equal ones first, and prune the first k."""
    magnitudes = values.double().abs().reshape(-1)
    order = torch.sort(magnitudes, stable=True).indices
    keep = torch.ones(magnitudes.numel(), dtype=torch.bool)
    keep[order[:k]] = False
    return keep.view(values.shape), magnitudes[order[k - 1]].item() if k else 0.0


def torch_path(values: Tensor, k: int) -> tuple[Tensor, int]:
    """What runs on other devices than the CPU, on the CPU."""
    integers = INTEGERS[values.element_size()]
    infinity = int(torch.tensor(torch.inf, dtype=values.dtype).view(integers))
    keep, threshold = selection._select_torch(values.reshape(-1).view(integers), k, infinity)
    return keep.view(values.shape), threshold


def check(values: Tensor, k: int) -> None:
    """Both paths equal the definition."""
    before = values.clone()
    keep, threshold = select_smallest(values, k)
    expected, largest_pruned = sorted_selection(values, k)
    assert keep.dtype == torch.bool
    assert keep.is_contiguous()
    assert torch.equal(keep, expected)
    assert int((~keep).sum()) == k
    assert threshold == largest_pruned
    assert torch.equal(values, before)
    if k:
        assert torch.equal(torch_path(values, k)[0], expected)


# The count


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("n", [1, 2, 3, 7, 8, 64, 1000], ids=lambda n: f"n={n}")
def test_every_count_of_random_values(n, dtype):
    values = torch.randn(n).to(dtype)
    for k in {0, 1, n // 3, n // 2, n - 1, n}:
        check(values, k)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9], ids=lambda s: f"{s:.0%}-zeros")
def test_repeated_zeros_of_either_sign(share, dtype):
    values = torch.randn(40, 5).to(dtype)
    values[torch.rand(40, 5) < share] = 0.0
    values[torch.rand(40, 5) < share / 2] = -0.0
    for k in (1, 60, 100, 140, 199, 200):
        check(values, k)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("value", [0.0, -0.0, 0.25, -3.0], ids=str)
def test_constant_tensors_lose_their_first_entries(value, dtype):
    values = torch.full((5, 4), value, dtype=dtype)
    keep, threshold = select_smallest(values, 10)
    assert threshold == abs(value)
    assert keep.reshape(-1).tolist() == [False] * 10 + [True] * 10
    check(values, 10)


@pytest.mark.parametrize("k", range(8), ids=lambda k: f"k={k}")
def test_ties_fall_by_position_in_row_major_order(k):
    values = torch.tensor([[2.0, -1.0, 1.0], [-2.0, 1.0, 0.5]])
    order = [5, 1, 2, 4, 0, 3]  # 0.5, then the ones from the left, then the twos
    expected = torch.ones(6, dtype=torch.bool)
    expected[order[:k]] = False
    keep, threshold = select_smallest(values, min(k, 6))
    assert torch.equal(keep.reshape(-1), expected)
    assert threshold == [0.0, 0.5, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0][k]


def test_ties_in_a_transposed_tensor_fall_by_its_own_rows():
    stored = torch.tensor([[1.0, 2.0], [1.0, 2.0], [1.0, 1.0]])  # 3 x 2; the tensor is its transpose
    keep = select_smallest(stored.t(), 2).mask
    assert keep.tolist() == [[False, False, True], [True, True, True]]


@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.randn(8, 6).t(),
        lambda: torch.randn(4, 3, 5, 5).to(memory_format=torch.channels_last),
        lambda: torch.randn(6, 1).expand(6, 9),
        lambda: torch.randn(9).expand(4, 9),
        lambda: torch.randn(()).expand(3, 5),
        lambda: torch.randn(10, 12)[::2, 1::3],
        lambda: torch.randn(3, 4, 5).permute(2, 0, 1),
        lambda: torch.randn(20)[::2],
        lambda: torch.randn(()),
        lambda: torch.randn(6, 4).bfloat16().t(),
        lambda: torch.randn(7, 5).requires_grad_(),
    ],
    ids=[
        "transposed",
        "channels_last",
        "expanded",
        "rows",
        "one",
        "sliced",
        "permuted",
        "strided",
        "0-d",
        "bf16-transposed",
        "grad",
    ],
)
def test_any_strides(make):
    values = make()
    for k in {0, 1, values.numel() // 2, values.numel()}:
        check(values, k)


def test_nothing_to_select_from():
    keep, threshold = select_smallest(torch.empty(0, 4), 0)
    assert (keep.shape, keep.dtype, threshold) == ((0, 4), torch.bool, 0.0)


@pytest.mark.parametrize(
    ("sparsity", "n", "k"),
    [
        (0.0, 5, 0),
        (0.3, 10, 3),
        (0.5, 3, 2),
        (0.5, 5, 2),
        (0.5, 1, 0),
        (0.99, 3, 3),
        (0.1, 4, 0),
        (0.8, 2**24 + 5, 13421777),
    ],
    ids=str,
)
def test_prune_count_rounds_to_the_nearest_and_halves_to_even(sparsity, n, k):
    assert prune_count(sparsity, n) == k


# Large tensors: the bracket, and where it misses


def structured(n: int) -> dict[str, Tensor]:
    """Tensors that a sample describes well, badly, or not at all."""
    ramp = torch.arange(n, dtype=torch.float32)
    stride = n // selection._SAMPLE_SIZE | 1
    periodic = torch.where(torch.arange(n) % stride == 0, 1e-6, 1.0) * torch.rand(n)
    return {
        "normal": torch.randn(n),
        "sorted": ramp,
        "reversed": ramp.flip(0),
        "sampled-are-small": periodic,
        "sampled-are-large": 1 / (periodic + 1e-9),
        "two-values": (torch.rand(n) < 0.5).float(),
        "constant": torch.ones(n),
        "half-zeros": torch.relu(torch.randn(n)),
        "huge-range": torch.exp(40 * torch.randn(n).clamp(-2, 2)),
    }


@pytest.mark.parametrize("name", structured(1 << 17))
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_large_tensors_of_every_make(name, dtype):
    values = structured(100_003)[name].to(dtype)
    assert values.numel() > 4 * selection._SAMPLE_SIZE
    for k in (1, 17, 30_001, 50_001, 80_002, 100_002, 100_003):
        check(values, k)


@pytest.mark.parametrize(
    ("zeros", "kth"),
    [(80_255, 10_744), (80_256, 10_743), (80_257, 10_742), (79_742, 11_257), (79_743, 11_256), (79_744, 11_255)],
    ids=["at-low", "just-below-low", "below-low", "just-above-high", "at-high", "below-high"],
)
def test_bracket_holds_at_its_edges(zeros, kth):
    k = 90_000  # the sample's entry number 10,000; the bracket is 256 entries wide on either side
    values = np.full(9 * selection._SAMPLE_SIZE, 1_000_000, np.uint32)
    values[::9] = 1000 + np.arange(selection._SAMPLE_SIZE)
    others = np.flatnonzero(values == 1_000_000)
    values[others[:zeros]] = 0
    assert selection._bracket(values, k, 0x7F800000) == (1000 + 10_000 - 256, 1000 + 10_000 + 256)
    assert np.sort(values)[k - 1] == kth
    assert kth_smallest(values, k, 0x7F800000) == (kth, 1)


def test_bracket_sees_every_column_of_a_matrix():
    weight = torch.rand(512, 512) * torch.logspace(0, 3, 512)  # inputs of very different scales
    values = weight.reshape(-1).numpy().view(np.uint32)
    for k in (80_000, 130_000, 210_000):
        low, high = selection._bracket(values, k, 0x7F800000)
        assert low < np.sort(values)[k - 1] < high
        assert np.count_nonzero((values >= low) & (values <= high)) < 0.05 * values.size


def test_blocks_leave_no_seam():
    n = 2 * selection._BLOCK_SIZE + 3
    values = torch.ones(n)
    values[-3:] = 2.0
    for k in (selection._BLOCK_SIZE - 1, selection._BLOCK_SIZE, selection._BLOCK_SIZE + 1, n - 4, n - 3, n - 2, n - 1):
        keep = select_smallest(values, k).mask
        assert not bool(keep[:k].any())
        assert bool(keep[k:].all())


def test_more_than_2_to_the_24_entries():
    n = 2**24 + 5  # beyond torch.quantile's limit and float32's integers
    values = torch.randn(n, dtype=torch.bfloat16)
    k = prune_count(0.3, n)
    keep, threshold = select_smallest(values, k)
    assert int(torch.count_nonzero(keep)) == n - k
    magnitudes = values.abs_()
    threshold = torch.tensor(threshold, dtype=torch.bfloat16)
    assert bool(magnitudes[~keep].max() == threshold)
    assert bool(magnitudes[keep].min() == threshold)  # some of its many ties stay
    tied = keep[magnitudes == threshold]
    assert torch.equal(tied, tied.sort(stable=True).values)  # first False, then True: the later ones


def test_two_million_ties_take_less_than_a_second():
    values = torch.ones(2_000_000)
    start = time.process_time()
    keep = select_smallest(values, 999_999).mask
    seconds = time.process_time() - start
    print(f"2,000,000 ties: {1e3 * seconds:.1f} ms")
    assert int(torch.count_nonzero(keep)) == 1_000_001
    assert bool(keep[999_999:].all())


# The threshold, against numpy and Python


@pytest.mark.parametrize("bits", [16, 32, 64], ids=lambda bits: f"int{bits}")
@pytest.mark.parametrize("spread", ["full", "few", "low", "high"])
def test_radix_select_equals_numpy_partition(bits, spread):
    top = 2 ** (bits - 1)
    low, high = {"full": (0, top), "few": (0, 5), "low": (0, 3000), "high": (top - 70, top)}[spread]
    generator = np.random.default_rng(bits)
    for n in (1, 2, 3, 100, 5001):
        integers = generator.integers(low, high, size=n, dtype=np.int64).astype(f"int{bits}")
        for k in {1, -(-n // 3), n // 2 + 1, n}:
            threshold = np.partition(integers, k - 1)[k - 1]
            tied = k - np.count_nonzero(integers < threshold)
            assert radix_select(torch.from_numpy(integers), k) == (threshold, tied)


def random_bits(dtype: torch.dtype, n: int) -> Tensor:
    """Floats of uniformly random bits, finite ones only: denormals, both zeros and the largest are among them."""
    itemsize = torch.tensor([], dtype=dtype).element_size()
    integers = np.random.default_rng(0).integers(0, 256, size=n * itemsize, dtype=np.uint8)
    values = torch.from_numpy(integers).view(dtype)
    extremes = torch.tensor([0.0, -0.0, torch.finfo(dtype).max, torch.finfo(dtype).tiny], dtype=dtype)
    denormals = torch.arange(-5, 6).to(INTEGERS[itemsize]).abs().view(dtype)
    return torch.cat([values[values.isfinite()], extremes, denormals])


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_floats_of_any_bits(dtype):
    values = random_bits(dtype, 4000)
    assert int(((values != 0) & (values.abs() < torch.finfo(dtype).tiny)).sum()) >= 10
    for k in (1, 2, 12, 1000, values.numel() // 2, values.numel()):
        check(values, k)


def test_denormals_are_told_apart():
    smallest = torch.tensor([3, 1, 2, 0], dtype=torch.int32).view(torch.float32)  # 3, 1, 2 and 0 times 2**-149
    keep, threshold = select_smallest(smallest, 2)
    assert keep.tolist() == [True, False, True, False]
    assert threshold == 2.0**-149


def test_kth_smallest_counts_the_ties_that_go():
    values = np.array([3, 1, 2, 2, 2, 0x80000002, 5], dtype=np.uint32)  # the last two carries the sign bit
    assert [kth_smallest(values, k, 0x7F800000) for k in range(1, 8)] == [
        (1, 1),
        (2, 1),
        (2, 2),
        (2, 3),
        (2, 4),
        (3, 1),
        (5, 1),
    ]


# Refusals


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("bad", [math.nan, -math.nan, math.inf, -math.inf], ids=["nan", "-nan", "inf", "-inf"])
@pytest.mark.parametrize("n", [1, 5, 70_000], ids=lambda n: f"n={n}")
def test_nan_and_infinity_are_refused(n, bad, dtype):
    values = torch.ones(n, dtype=dtype)
    values[n // 2] = bad
    with pytest.raises(ValueError, match=r"^magnitudes must be finite, got NaN or inf$"):
        select_smallest(values, 1)
    with pytest.raises(ValueError, match=r"^magnitudes must be finite, got NaN or inf$"):
        torch_path(values, 1)
    assert bool(select_smallest(values, 0).mask.all())


def test_largest_finite_value_is_no_infinity():
    for dtype in DTYPES:
        largest = torch.finfo(dtype).max
        assert select_smallest(torch.full((3,), largest, dtype=dtype), 2).threshold == largest


def test_defaults_of_torch_do_not_matter():
    values = torch.randn(50)
    expected = select_smallest(values, 20)
    torch.set_default_dtype(torch.float64)
    try:
        with torch.device("meta"):
            keep, threshold = select_smallest(values, 20)
    finally:
        torch.set_default_dtype(torch.float32)
    assert threshold == expected.threshold
    assert torch.equal(keep, expected.mask)
