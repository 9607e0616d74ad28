"""The masks of one sparse phase: hand-written tensors, in-place application, packing, digest."""

import re
import tracemalloc

import pytest
import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

from hf_dsd.engine.masks import (
    _CPU_BLOCK,
    apply_masks_,
    build_mask,
    count_revived,
    like_memory_of,
    masks_digest,
    pack_mask,
    seed_of,
    unpack_mask,
)
from hf_dsd.engine.targets import Target
from hf_dsd.engine.weights import MaskedWeight, MaskPass

WEIGHT = [[0.5, -3.0, 0.0], [-0.25, 2.0, 1.0]]


@pytest.mark.parametrize(
    ("sparsity", "mask", "threshold"),
    [
        (0.0, [[1, 1, 1], [1, 1, 1]], 0.0),
        (0.05, [[1, 1, 1], [1, 1, 1]], 0.0),
        (0.2, [[1, 1, 0], [1, 1, 1]], 0.0),
        (1 / 3, [[1, 1, 0], [0, 1, 1]], 0.25),
        (0.5, [[0, 1, 0], [0, 1, 1]], 0.5),
        (0.7, [[0, 1, 0], [0, 1, 0]], 1.0),
        (0.8, [[0, 1, 0], [0, 0, 0]], 2.0),
        (0.99, [[0, 0, 0], [0, 0, 0]], 3.0),
    ],
    ids=lambda value: str(value) if isinstance(value, float) else "",
)
def test_smallest_magnitudes_are_pruned(sparsity, mask, threshold):
    built = build_mask(torch.tensor(WEIGHT), sparsity)
    assert built.mask.tolist() == [[bool(x) for x in row] for row in mask]
    assert int((~built.mask).sum()) == 6 - sum(map(sum, mask))
    assert built.threshold == threshold


def test_masking_a_masked_weight_again_prunes_no_more():
    weight = torch.randn(30, 10)
    first = build_mask(weight, 0.5).mask
    apply_masks_([(weight, first)])
    second = build_mask(weight, 0.5).mask
    assert torch.equal(first, second)
    assert int((~second).sum()) == 150


def test_lower_sparsity_keeps_zeros_pruned_first():
    weight = torch.randn(30, 10)
    apply_masks_([(weight, build_mask(weight, 0.5).mask)])
    mask = build_mask(weight, 0.4).mask
    assert int((~mask).sum()) == 120
    assert bool((weight[~mask] == 0).all())


def test_building_leaves_weight_and_gradient_alone():
    weight = nn.Parameter(torch.randn(4, 5))
    before, version = weight.detach().clone(), weight._version
    for criterion in ("magnitude", "random"):
        assert not build_mask(weight, 0.5, criterion=criterion).mask.requires_grad
    assert torch.equal(weight, before)
    assert weight._version == version
    assert weight.grad is None


@pytest.mark.parametrize("criterion", ["magnitude", "random"])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")], ids=str)
def test_nan_and_infinity_are_refused_by_every_criterion(bad, criterion):
    weight = torch.ones(2, 3)
    weight[1, 1] = bad
    with pytest.raises(ValueError, match=r"^(magnitudes|weights) must be finite, got NaN or inf$"):
        build_mask(weight, 0.5, criterion=criterion)
    assert bool(build_mask(weight, 0.0, criterion=criterion).mask.all())  # what prunes nothing asks nothing


@pytest.mark.parametrize("sparsity", [1.0, 1.5, -0.1, float("nan"), "0.5"], ids=str)
def test_a_sparsity_out_of_range_is_refused(sparsity):
    with pytest.raises(ValueError, match=r"^sparsity must be a fraction in \[0, 1\), got "):
        build_mask(torch.ones(2, 3), sparsity)


@pytest.mark.parametrize("dtype", [torch.complex64, torch.int32, torch.float8_e4m3fn, torch.bool], ids=str)
def test_weights_that_are_no_real_floats_are_refused(dtype):
    with pytest.raises(
        ValueError, match=rf"^weights must be real floating-point numbers of 16 bits or more, got {dtype}"
    ):
        build_mask(torch.ones(2, 3).to(dtype), 0.5)


@pytest.mark.parametrize("criterion", ["magnitude", "random"])
@pytest.mark.parametrize("memory", ["contiguous", "transposed"])
def test_stacked_matrices_are_masked_each_as_if_alone(criterion, memory):
    stack = torch.randn(4, 3, 5) * torch.tensor([1e-3, 1.0, 1e3, 1.0]).view(4, 1, 1)
    if memory == "transposed":
        stack = stack.transpose(1, 2).contiguous().transpose(1, 2)
    built = build_mask(stack, 0.3, criterion=criterion, seed=2, matrices=4)
    assert (~built.mask).sum(dim=(1, 2)).tolist() == [4] * 4
    if criterion == "magnitude":
        alone = [build_mask(matrix, 0.3) for matrix in stack]
        assert torch.equal(built.mask, torch.stack([one.mask for one in alone]))
        assert built.threshold == max(one.threshold for one in alone)
    stack[2, 0, 0] = float("nan")
    with pytest.raises(ValueError, match="must be finite, got NaN or inf$"):
        build_mask(stack, 0.3, criterion=criterion, matrices=4)


# The random control


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64], ids=str)
def test_random_mask_is_pinned(dtype):
    weight = torch.tensor(WEIGHT, dtype=dtype)
    mask = build_mask(weight, 0.5, criterion="random", seed=3).mask
    # torch.rand with seed 3: 0.0043, 0.1056, 0.2858, 0.0270, 0.4716, 0.0601
    assert mask.tolist() == [[False, True, True], [False, True, False]]


def test_random_mask_depends_on_seed_and_shape_alone():
    weight = torch.randn(20, 30)
    expected = build_mask(weight, 0.3, criterion="random", seed=1).mask
    assert int((~expected).sum()) == 180
    torch.manual_seed(99)
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device("meta"):
            again = build_mask(weight * 2 + 1, 0.3, criterion="random", seed=1)
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(again.mask, expected)
    assert 0 < again.threshold < 1
    assert not torch.equal(build_mask(weight, 0.3, criterion="random", seed=2).mask, expected)
    assert int((~build_mask(torch.zeros(20, 30), 0.3, criterion="random").mask).sum()) == 180


@pytest.mark.parametrize("criterion", ["magnitude", "random"])
def test_building_draws_nothing_from_the_global_generator(criterion):
    state = torch.get_rng_state()
    build_mask(torch.ones(20, 30), 0.5, criterion=criterion, seed=5)
    assert torch.equal(torch.get_rng_state(), state)


def test_seed_depends_on_its_parts_and_on_nothing_else():
    assert seed_of(42, 1, "lstm.weight_hh_l0") == 4880759815966435796  # whatever this process's hash seed is
    seeds = {seed_of(*parts) for parts in [(42, 1, "a"), (42, 1, "b"), (42, 3, "a"), (43, 1, "a"), (421, "a"), ()]}
    assert len(seeds) == 6
    assert all(0 <= seed < 2**63 for seed in seeds)


# In place


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64], ids=str)
def test_apply_zeroes_what_the_mask_drops_and_nothing_else(dtype):
    weight = torch.tensor(WEIGHT, dtype=dtype)
    apply_masks_([(weight, torch.tensor([[True, False, True], [False, True, True]]))])
    assert weight.dtype == dtype
    assert weight.tolist() == [[0.5, 0.0, 0.0], [0.0, 2.0, 1.0]]


@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.randn(6, 8),
        lambda: torch.randn(8, 6).t(),
        lambda: torch.randn(6, 2, 3, 3).to(memory_format=torch.channels_last),
        lambda: torch.randn(12, 16)[::2, ::2],
    ],
    ids=["contiguous", "transposed", "channels_last", "strided"],
)
def test_apply_moves_no_storage(make):
    weight = nn.Parameter(make())
    mask = build_mask(weight, 0.5).mask
    expected = weight.detach() * mask
    before = (id(weight), weight.data_ptr(), weight.stride(), weight.storage_offset())
    for _ in range(3):
        apply_masks_([(weight, mask)])
        assert (id(weight), weight.data_ptr(), weight.stride(), weight.storage_offset()) == before
    assert torch.equal(weight, expected)
    assert weight.is_leaf
    assert weight.requires_grad


MEMORY = {
    "contiguous": lambda: torch.randn(700, 600),
    "transposed": lambda: torch.randn(600, 700).t(),
    "channels_last": lambda: torch.randn(70, 60, 10, 10).to(memory_format=torch.channels_last),
    "strided": lambda: torch.randn(1400, 1200)[::2, ::2],
    "row": lambda: torch.randn(2, 400_000)[:, ::2],
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64], ids=str)
@pytest.mark.parametrize("memory", MEMORY)
def test_blocks_are_exact_whatever_the_memory(memory, dtype):
    """Weights of several blocks: the product, and the count of what is not zero."""
    weight = MEMORY[memory]().to(dtype)
    assert weight.numel() > 2 * _CPU_BLOCK
    mask = torch.rand(weight.shape) < 0.5
    for one in (mask, like_memory_of(mask, weight)):
        assert torch.equal(one, mask)
        masked = weight.clone(memory_format=torch.preserve_format) if memory not in ("strided", "row") else weight
        expected = weight * mask
        assert int(count_revived(masked, one)) == int(torch.count_nonzero(masked[~mask]))
        apply_masks_([(masked, one)])
        assert torch.equal(masked, expected)
        assert int(count_revived(masked, one)) == 0
        masked[~mask] = -0.0
        assert int(count_revived(masked, one)) == 0
        masked[tuple((~mask).nonzero()[-1])] = 5e-324 if dtype is torch.float64 else 1e-7
        masked[tuple((~mask).nonzero()[0])] = float("nan")
        assert int(count_revived(masked, one)) == 2
        weight = MEMORY[memory]().to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("memory", MEMORY)
def test_nothing_of_weight_size_is_allocated(memory, dtype):
    """Neither by the mask pass nor by the check of the zeros, in PyTorch's memory or numpy's."""
    weight = MEMORY[memory]().repeat(*[4, 2, 1, 1][: MEMORY[memory]().dim()]).to(dtype)
    weight = torch.cat([weight, weight]) if dtype is torch.bfloat16 else weight  # as many bytes
    mask = like_memory_of(torch.rand(weight.shape) < 0.5, weight)
    target = Target("w", tuple(weight.shape))
    masked = MaskedWeight(target, nn.Parameter(weight), 0.5)
    masked.mask = mask
    bound = 10 * _CPU_BLOCK  # bytes: a block as fp32, another as bits, and flags
    assert weight.numel() * weight.element_size() > 6 * bound
    for run in (lambda: apply_masks_([(weight, mask)]), MaskPass([masked]), lambda: count_revived(weight, mask)):
        with profile(activities=[ProfilerActivity.CPU]):  # its first use imports much
            run()
        tracemalloc.start()
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
            run()
        largest_by_numpy = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        largest = max((event.cpu_memory_usage for event in profiled.events() if event.name == "[memory]"), default=0)
        allocated = max([largest, *(event.self_cpu_memory_usage for event in profiled.events())])
        assert allocated < bound
        assert largest_by_numpy < 4 * bound  # the profiler's own records are among it


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64], ids=str)
@pytest.mark.parametrize("memory", MEMORY)
def test_the_pass_over_all_weights_equals_the_products(memory, dtype):
    """Also where the weights have moved since, and where one is small."""
    tensors = [MEMORY[memory]().to(dtype), torch.randn(3, 4).to(dtype), torch.randn(3, 4).double()]
    weights = [MaskedWeight(Target("w", tuple(t.shape)), nn.Parameter(t), 0.5) for t in tensors]
    for weight in weights:
        weight.mask = like_memory_of(torch.rand(weight.shape) < 0.5, weight.parameter)
    run = MaskPass(weights)
    for _ in range(2):
        expected = [weight.parameter.detach() * weight.mask for weight in weights]
        run()
        assert all(torch.equal(weight.parameter, want) for weight, want in zip(weights, expected, strict=True))
        for weight in weights:
            weight.parameter.data = torch.randn(weight.shape).to(weight.parameter.dtype)


def test_apply_takes_every_pair_once():
    lstm = nn.LSTM(3, 4, num_layers=2, bidirectional=True)
    pairs = [(w, build_mask(w, 0.5).mask) for name, w in lstm.named_parameters() if "weight" in name]
    apply_masks_(iter(pairs))
    assert [int((w == 0).sum()) for w, _ in pairs] == [w.numel() // 2 for w, _ in pairs]
    assert all(a.data_ptr() == b.data_ptr() for a, b in zip(lstm._flat_weights, lstm.parameters(), strict=True))


# Packing


@pytest.mark.parametrize(
    "shape", [(0,), (1,), (7,), (8,), (9,), (), (3, 5), (2, 3, 4, 5), (5, 1), (0, 3), (64, 1025)], ids=str
)
def test_pack_and_unpack(shape):
    mask = torch.rand(shape) < 0.5
    packed = pack_mask(mask)
    assert packed.dtype == torch.uint8
    assert packed.numel() == -(-mask.numel() // 8)
    unpacked = unpack_mask(packed, mask.shape)
    assert unpacked.dtype == torch.bool
    assert torch.equal(unpacked, mask)
    unpacked &= False  # it is writable and owns its memory
    assert torch.equal(unpack_mask(packed, mask.shape), mask)


def test_pack_is_row_major_whatever_the_strides():
    mask = torch.tensor([[1, 0, 0, 1, 1], [0, 1, 0, 0, 1]]).bool()
    assert pack_mask(mask).tolist() == [0b10011010, 0b01000000]
    assert pack_mask(mask.t().contiguous().t()).tolist() == [0b10011010, 0b01000000]


@pytest.mark.parametrize(
    ("packed", "message"),
    [
        (torch.zeros(1, dtype=torch.uint8), "a packed mask of shape (3, 5) has 2 bytes, got 1 of torch.uint8"),
        (torch.zeros(3, dtype=torch.uint8), "a packed mask of shape (3, 5) has 2 bytes, got 3 of torch.uint8"),
        (torch.zeros(2, dtype=torch.int8), "a packed mask of shape (3, 5) has 2 bytes, got 2 of torch.int8"),
        (torch.zeros(2), "a packed mask of shape (3, 5) has 2 bytes, got 2 of torch.float32"),
    ],
    ids=["short", "long", "int8", "float"],
)
def test_unpack_refuses_what_is_no_packed_mask(packed, message):
    with pytest.raises(ValueError, match="^" + re.escape(message) + "$"):
        unpack_mask(packed, torch.Size([3, 5]))


def test_digest_is_pinned():
    packed = {"b": torch.tensor([1, 2], dtype=torch.uint8), "a": torch.tensor([3], dtype=torch.uint8)}
    assert masks_digest(packed) == "635dd34de2dc646d29cfac86f2eb9c04ede68433ddd294a6fd8097855c3bbf51"
    assert masks_digest(dict(reversed(packed.items()))) == masks_digest(packed)


def test_digest_tells_masks_apart():
    def bytes_of(text: str) -> torch.Tensor:
        return torch.tensor(list(text.encode()), dtype=torch.uint8)

    different = [
        {},
        {"a": bytes_of("x")},
        {"a": bytes_of("y")},
        {"b": bytes_of("x")},
        {"a": bytes_of("xx")},
        {"a": bytes_of("x"), "b": bytes_of("")},
        {"a": bytes_of("x"), "b": bytes_of("x")},
        {"a:1:xb": bytes_of("x")},  # a name may hold what looks like a border
        {"a": bytes_of("xb:1:x")},
    ]
    assert len({masks_digest(packed) for packed in different}) == len(different)


# The own mask of a sparse model


@pytest.mark.parametrize("matrices", [1, 4])
def test_the_zeros_of_a_sparse_weight_are_its_mask(matrices):
    weight = torch.randn(4, 3, 5)
    weight[build_mask(weight, 0.4, criterion="random", matrices=matrices).mask.logical_not()] = -0.0
    built = build_mask(weight, 0.4, criterion="zeros", matrices=matrices)
    assert torch.equal(built.mask, weight != 0)
    assert built.threshold == 0.0
    with pytest.raises(ValueError, match=r"^24 of its 60 weights are zero, and (18|16) were to be: .* \(here 0\.4\)$"):
        build_mask(weight, 0.3, criterion="zeros", matrices=matrices)
    weight[0, 0, 0] = 0.0 if weight[0, 0, 0] else 1.0
    with pytest.raises(ValueError, match=r"^2[35] of its 60 weights are zero, and 24 were to be"):
        build_mask(weight, 0.4, criterion="zeros", matrices=matrices)
