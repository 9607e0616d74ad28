"""Masks of sharded weights are those of the whole weight, bit for bit: 2 and 3 real ranks against one process."""

import pytest
import torch
from ranks import error_of, run_on_ranks
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor

from hf_dsd.engine.masks import build_mask, pack_mask, unpack_mask
from hf_dsd.engine.sharding import layout_of, local_part

SHAPES = [(8, 8), (7, 8), (3, 5), (1, 9), (2, 3), (5, 4, 3), (64, 1)]
SPARSITIES = (0.0, 0.1, 0.5, 0.99)
KINDS = ("normal", "tied", "zeros", "constant", "bfloat16", "float16", "float64", "denormal")
CASES = [(shape, "tied") for shape in SHAPES] + [((129, 65), kind) for kind in KINDS]

STACKS = [((6, 3, 5), 6), ((4, 3, 5), 4), ((12, 5), 6)]  # a mixture's experts; on 3 ranks 4 are 2, 2 and 0


def make_weight(shape: tuple[int, ...], kind: str) -> Tensor:
    """The same weight on every rank."""
    normal = torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))
    dtypes = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float64": torch.float64}
    if kind in dtypes:
        return normal.to(dtypes[kind])
    return {
        "normal": normal,
        "tied": (normal * 2).round() / 2,  # some ten magnitudes, ties in every rank
        "zeros": torch.where(normal > 0, normal, torch.zeros(())),
        "constant": torch.full(shape, -0.25),
        "denormal": normal * 1e-39,
    }[kind]


def make_stack(shape: tuple[int, ...]) -> Tensor:
    """A stack whose matrices differ in scale, so that one selection over all would empty the first of them."""
    weight = make_weight(shape, "tied")
    return weight * torch.logspace(-3, 3, shape[0]).reshape(-1, *[1] * (weight.dim() - 1))


def masks_of(weight: Tensor, matrices: int = 1) -> dict[str, object]:
    """Masks (whole, packed) and thresholds of a weight at all sparsities and by both criteria."""
    layout, found = layout_of(weight), {}
    for criterion in ("magnitude", "random"):
        for sparsity in SPARSITIES:
            built = build_mask(weight, sparsity, criterion=criterion, seed=5, matrices=matrices)
            assert built.mask.shape == local_part(weight).shape
            found[f"{criterion} {sparsity}"] = (pack_mask(built.mask, layout), built.threshold)
    return found


def shard_like_fully_shard(weight: Tensor, world_size: int) -> Tensor:
    """The DTensor that `fully_shard` makes of a weight."""
    module = nn.Module()
    module.weight = nn.Parameter(weight.clone())
    fully_shard(module, mesh=init_device_mesh("cpu", (world_size,)))
    assert isinstance(module.weight, DTensor)
    return module.weight


def build_on_ranks(rank: int, world_size: int) -> dict[str, object]:
    """Every case on this rank."""
    found: dict[str, object] = {"sizes": {}}
    for shape, kind in CASES:
        weight = shard_like_fully_shard(make_weight(shape, kind), world_size)
        found[f"{shape} {kind}"] = masks_of(weight)
        found["sizes"][shape] = local_part(weight).numel()
    for shape, matrices in STACKS:
        weight = shard_like_fully_shard(make_stack(shape), world_size)
        found[f"stack {shape}"] = masks_of(weight, matrices)
        found["sizes"][shape] = local_part(weight).numel()
    split = shard_like_fully_shard(make_weight((12, 5), "normal"), world_size)
    found["split"] = error_of(lambda: build_mask(split, 0.5, matrices=2))
    broken = make_weight((7, 8), "normal")
    broken[0, 3] = float("nan")  # on the first rank only
    sharded = shard_like_fully_shard(broken, world_size)
    for criterion in ("magnitude", "random"):
        found[f"nan {criterion}"] = error_of(lambda criterion=criterion: build_mask(sharded, 0.5, criterion=criterion))
    return found


def build_on_four_ranks(rank: int) -> dict[str, object]:
    """Two replicas of two shards each, and the layouts that DSD does not know."""
    mesh, weight = init_device_mesh("cpu", (2, 2), mesh_dim_names=("replicate", "shard")), make_weight((7, 8), "tied")
    module = nn.Module()
    module.weight = nn.Parameter(weight.clone())
    fully_shard(module, mesh=mesh)
    layout = layout_of(module.weight)
    return {
        "hsdp": masks_of(module.weight),
        "sizes": layout.sizes,
        "replicas": [torch.distributed.get_process_group_ranks(group) for group in layout.replicas],
        "replicated": masks_of(distribute_tensor(weight, mesh, (Replicate(), Replicate()))),
        "columns": error_of(lambda: layout_of(distribute_tensor(weight, mesh, (Replicate(), Shard(1))))),
        "twice": error_of(lambda: layout_of(distribute_tensor(weight, mesh, (Shard(0), Shard(0))))),
    }


@pytest.fixture(scope="module", params=[2, 3], ids=["2 ranks", "3 ranks"])
def ranks(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, object]]:
    return run_on_ranks(request.param, build_on_ranks, tmp_path_factory.mktemp("ranks"), request.param)


@pytest.fixture(scope="module")
def four_ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, object]]:
    return run_on_ranks(4, build_on_four_ranks, tmp_path_factory.mktemp("four"))


def assert_same_masks(found: dict[str, object], weight: Tensor, matrices: int = 1) -> None:
    for case, (packed, threshold) in masks_of(weight, matrices).items():
        got_packed, got_threshold = found[case]
        assert torch.equal(got_packed, packed), case
        assert got_threshold == threshold, case


@pytest.mark.parametrize(("shape", "kind"), CASES, ids=lambda value: str(value))
def test_masks_of_shards_equal_the_wholes(ranks, shape, kind):
    for found in ranks:
        assert_same_masks(found[f"{shape} {kind}"], make_weight(shape, kind))


@pytest.mark.parametrize(("shape", "matrices"), STACKS, ids=str)
def test_stacked_matrices_over_ranks_are_those_of_one_process(ranks, shape, matrices):
    """Experts over ranks: each loses as many weights as any other, and the threshold is the largest of all ranks'."""
    for found in ranks:
        assert_same_masks(found[f"stack {shape}"], make_stack(shape), matrices)
    packed, _ = ranks[0][f"stack {shape}"]["magnitude 0.5"]
    mask = unpack_mask(packed, torch.Size(shape)).reshape(matrices, -1)
    assert (~mask).sum(dim=1).tolist() == [round(0.5 * mask.shape[1])] * matrices


def test_a_matrix_over_two_ranks_is_refused(ranks):
    """Three ranks hold 4 of 12 rows each, and two matrices have 6; two ranks hold whole ones."""
    (error,) = {found["split"] for found in ranks}
    assert error == (
        ""
        if len(ranks) == 2
        else "ValueError: a rank holds a part of one of its 2 matrices only: use as many ranks as divide them"
    )


def test_uneven_and_empty_blocks_are_among_them(ranks):
    sizes = {shape: [found["sizes"][shape] for found in ranks] for shape in ranks[0]["sizes"]}
    if len(ranks) == 2:
        assert sizes[7, 8] == [32, 24]
        assert sizes[1, 9] == [9, 0]
    else:
        assert sizes[7, 8] == [24, 24, 8]
        assert sizes[5, 4, 3] == [24, 24, 12]
        assert sizes[2, 3] == [3, 3, 0]
        assert sizes[4, 3, 5] == [30, 30, 0]


@pytest.mark.parametrize("criterion", ["magnitude", "random"])
def test_nan_in_one_block_is_an_error_on_every_rank(ranks, criterion):
    errors = {found[f"nan {criterion}"] for found in ranks}
    assert len(errors) == 1
    assert errors.pop().endswith("must be finite, got NaN or inf")


def test_replicated_shards(four_ranks):
    for rank, found in enumerate(four_ranks):
        assert_same_masks(found["hsdp"], make_weight((7, 8), "tied"))
        assert_same_masks(found["replicated"], make_weight((7, 8), "tied"))
        assert found["sizes"] == (32, 24)
        assert found["replicas"] == [[rank % 2, rank % 2 + 2]]


@pytest.mark.parametrize("case", ["columns", "twice"])
def test_other_layouts_are_refused(four_ranks, case):
    for found in four_ranks:
        assert "DSD knows Shard(0) over one dimension of the mesh, and Replicate: shard with fully_shard" in found[case]
