"""WHERE: how a parameter is laid out over the ranks of a distributed run.

Three layouts exist, and the rest of the package sees them through one class:

* whole: this rank holds all of the parameter (one process, or a DDP replica);
* sharded: FSDP2 (`fully_shard`) gives every rank of a group a block of rows, `Shard(0)`. Blocks follow one another in
  row-major order, so a position in the whole tensor is the rank first and the position in its block second. Uneven and
  empty blocks are normal: 7 rows on 2 ranks are 4 and 3, 1 row is 1 and 0;
* sharded and replicated (HSDP): several groups, each with a copy of the whole in blocks.

A rank acts on what the optimizer updates: the local block of the sharded parameter. The whole parameters that a forward
pass gathers are copies, and what is written to them is lost.

Replicas must mask alike. Selection reads nothing but a weight's bits and their order, in integers, so equal weights
give equal masks on every rank, device and host, and nothing is broadcast. Masks can differ only where the weights
already do: replicas have drifted apart, which a broadcast of the masks would hide. `check_agreement` then stops them.
"""

from __future__ import annotations

import hashlib
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeGuard

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh
    from torch.distributed.tensor import DTensor

_FSDP = "torch.distributed.fsdp"


@dataclass(frozen=True)
class Layout:
    """Where the weights of one parameter are; `WHOLE`, the default, is all of them on this rank.

    Every method whose name says `all` or `before`, and `gather`, is a collective of `group`: each of its ranks must
    call it, in the same order. On a whole parameter they cost nothing.
    """

    group: dist.ProcessGroup | None = None  # the ranks that hold one copy together; None where this one holds it all
    rank: int = 0  # this rank's place in the group
    sizes: tuple[int, ...] = ()  # number of weights on each rank of the group, in order
    rows: slice = field(default_factory=lambda: slice(None))  # of the first dimension, that this rank holds
    replicas: tuple[dist.ProcessGroup, ...] = ()  # groups of ranks that hold the same weights as this one
    device: torch.device = torch.device("cpu")  # where messages between these ranks have to be

    def all_sum(self, counts: Tensor) -> Tensor:
        """The sum of an integer tensor over the group."""
        if self.group is None:
            return counts
        total = counts.to(self.device, copy=True)
        dist.all_reduce(total, group=self.group)
        return total.to(counts.device)

    def all_max(self, value: float) -> float:
        """The largest of the group's values."""
        if self.group is None:
            return value
        largest = torch.tensor(value, dtype=torch.float64, device=self.device)
        dist.all_reduce(largest, op=dist.ReduceOp.MAX, group=self.group)
        return float(largest)

    def sum_before(self, count: int) -> int:
        """The sum of `count` over the ranks whose blocks precede this rank's."""
        if self.group is None:
            return 0
        own = torch.tensor([count], device=self.device)
        return sum(int(other) for other in _all_gather(own, self.group)[: self.rank])

    def gather(self, packed: Tensor) -> list[Tensor]:
        """The packed bits (uint8, `ceil(size / 8)` bytes) of every rank of the group, in order, on the CPU."""
        if self.group is None:
            return [packed]
        lengths = [-(-size // 8) for size in self.sizes]
        padded = torch.zeros(max(lengths), dtype=torch.uint8, device=self.device)
        padded[: packed.numel()] = packed
        parts = _all_gather(padded, self.group)
        return [part[:length].cpu() for part, length in zip(parts, lengths, strict=True)]

    def part_of(self, whole: Tensor) -> Tensor:
        """This rank's block of a tensor of the whole parameter's shape, with a storage of its own."""
        return whole if self.group is None else whole[self.rows].clone()


WHOLE = Layout()


def is_dtensor(tensor: object) -> TypeGuard[DTensor]:
    """True for a DTensor."""
    return isinstance(tensor, _loaded("torch.distributed.tensor", "DTensor"))


def own_class(module: nn.Module) -> type:
    """A module's class, without the one that `fully_shard` derives from it."""
    return next(cls for cls in type(module).__mro__ if not issubclass(cls, _loaded(_FSDP, "FSDPModule")))


def _loaded(module: str, name: str) -> Any:
    """A class for `isinstance`; `()` while its module, half a second to load, is not: it has no objects then."""
    return getattr(sys.modules.get(module), name, ())


def layout_of(parameter: Tensor) -> Layout:
    """How a parameter is laid out; as `WHOLE` if it is a plain tensor.

    Raises:
        ValueError: If it is laid out in another way than by `fully_shard` over its first dimension, with or without
            replicas.
    """
    if not is_dtensor(parameter):
        return Layout(device=parameter.device)
    from torch.distributed.tensor import Replicate, Shard

    mesh, replicas = parameter.device_mesh, []
    shard_dims: list[int] = []
    for dim, placement in enumerate(parameter.placements):
        if mesh.size(dim) == 1:
            continue
        if type(placement) is Shard and placement.dim == 0 and not shard_dims:  # a subclass may be strided
            shard_dims.append(dim)
        elif isinstance(placement, Replicate):
            replicas.append(mesh.get_group(dim))
        else:
            raise ValueError(
                f"it is laid out over the ranks as {parameter.placements}, and DSD knows Shard(0) over one dimension "
                "of the mesh, and Replicate: shard with fully_shard alone, without tensor parallelism or a "
                "shard_placement_fn, or list it in dense_modules"
            )
    device = torch.device(mesh.device_type)
    if not shard_dims:
        return Layout(replicas=tuple(replicas), device=device)
    return _sharded(parameter, mesh, shard_dims[0], tuple(replicas), device)


def _sharded(
    parameter: DTensor, mesh: DeviceMesh, dim: int, replicas: tuple[dist.ProcessGroup, ...], device: torch.device
) -> Layout:
    """The layout of blocks of `ceil(rows / ranks)` rows, as `torch.chunk` cuts them."""
    rank, rows, row = mesh.get_local_rank(dim), parameter.shape[0], parameter.shape[1:].numel()
    block = -(-rows // mesh.size(dim))
    starts = [min(i * block, rows) for i in range(mesh.size(dim) + 1)]
    sizes = tuple((stop - start) * row for start, stop in zip(starts, starts[1:], strict=False))
    if parameter.to_local().numel() != sizes[rank]:
        raise ValueError(
            f"this rank holds {parameter.to_local().numel()} of its weights, and blocks of equal rows would give it "
            f"{sizes[rank]}: shard with fully_shard"
        )
    return Layout(mesh.get_group(dim), rank, sizes, slice(starts[rank], starts[rank + 1]), replicas, device)


def local_part(tensor: Tensor) -> Tensor:
    """What this rank holds of a tensor, as a view: writing to it in place changes the tensor."""
    return tensor.to_local() if is_dtensor(tensor) else tensor


def reshard_(model: nn.Module) -> None:
    """Makes `model.named_parameters()` the sharded parameters again, those that the optimizer updates.

    FSDP2 leaves the root's parameters gathered after a forward pass without a backward (an evaluation), and its
    modules then show the gathered copies. Does nothing to a model that is not sharded.
    """
    for module in model.modules():
        if isinstance(module, _loaded(_FSDP, "FSDPModule")):
            module.reshard()


def replicas_of(model: nn.Module) -> dist.ProcessGroup | None:
    """The ranks that train copies of a model under `DistributedDataParallel`; None without it, or on one rank."""
    for module in model.modules():
        if isinstance(module, DistributedDataParallel):
            group: dist.ProcessGroup = module.process_group
            return group if dist.get_world_size(group) > 1 else None
    return None


def is_flattened(model: nn.Module) -> bool:
    """True for FSDP1, which flattens weights into vectors that no layer's mask fits."""
    return any(isinstance(module, _loaded(_FSDP, "FullyShardedDataParallel")) for module in model.modules())


def check_agreement(
    digests: Mapping[str, str], group: dist.ProcessGroup, device: torch.device, blocks: dist.ProcessGroup | None = None
) -> None:
    """Compares what the ranks of a group have made of each parameter: 32 bytes a rank, twice where weights are sharded.

    Only where that differs a further collective finds out whose. All ranks of the groups must call it.

    Args:
        digests: Parameter name -> a text that stands for its mask, or `error: ` and why there is none.
        group: The ranks that hold the same weights.
        device: Where the groups' messages have to be.
        blocks: Of sharded weights, the ranks that hold one copy together: they tell each other first, so that a
            difference in one block stops the ranks of all blocks.

    Raises:
        RuntimeError: On every rank, if any two replicas differ; it names the parameters and the ranks.
    """
    digest = hashlib.sha256(repr(sorted(digests.items())).encode()).digest()
    if blocks is not None:
        digest = hashlib.sha256(b"".join(_digests(digest, blocks, device))).digest()
    if len(set(_digests(digest, group, device))) == 1:
        return
    tables: list[Mapping[str, str]] = [{} for _ in range(dist.get_world_size(group))]
    dist.all_gather_object(tables, dict(digests), group=group)
    raise RuntimeError(_difference(tables, dist.get_process_group_ranks(group)))


def _digests(digest: bytes, group: dist.ProcessGroup, device: torch.device) -> list[bytes]:
    own = torch.frombuffer(bytearray(digest), dtype=torch.uint8).to(device)
    return [bytes(other.tolist()) for other in _all_gather(own, group)]


def _all_gather(own: Tensor, group: dist.ProcessGroup) -> list[Tensor]:
    """The tensors of every rank of a group, in order; all of one shape."""
    gathered = [torch.empty_like(own) for _ in range(dist.get_world_size(group))]
    dist.all_gather(gathered, own, group=group)
    return gathered


def _difference(tables: list[Mapping[str, str]], ranks: list[int]) -> str:
    """Which parameters differ, and on which ranks they are not as most ranks have them."""
    names = {name: None for table in tables for name in table}
    differing = [name for name in names if len({table.get(name) for table in tables}) > 1]
    if not differing:
        return f"the ranks' masks differ in a block that ranks {ranks} do not hold: see the other ranks' errors"
    first = [table.get(differing[0]) for table in tables]
    usual = Counter(first).most_common(1)[0][0]
    odd = [rank for rank, value in zip(ranks, first, strict=True) if value != usual]
    errors = sorted({f" ({value})" for value in first if value is not None and value.startswith("error: ")})
    return (
        f"the ranks' masks of {differing[0]} differ ({len(differing)} parameter(s) in all): rank(s) {odd} disagree "
        f"with the other {len(ranks) - len(odd)}{''.join(errors)}. Their weights have drifted apart: resume from the "
        "last checkpoint, and look for what changes weights on one rank only (a callback, a random layer without a "
        "common seed)"
    )
