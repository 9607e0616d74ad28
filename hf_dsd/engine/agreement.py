"""Replicas must mask alike: a check at run time.

Selection reads nothing but a weight's bits and their order, in integers, so equal weights give equal masks on every
rank, device and host, and nothing is broadcast. Masks can differ only where the weights already do: replicas have
drifted apart, which a broadcast of the masks would hide. The run then stops on all of them.
"""

import hashlib
from collections import Counter
from collections.abc import Mapping

import torch
import torch.distributed as dist


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
        digest = hashlib.sha256(b"".join(_all_gather(digest, blocks, device))).digest()
    if len(set(_all_gather(digest, group, device))) == 1:
        return
    tables: list[Mapping[str, str]] = [{} for _ in range(dist.get_world_size(group))]
    dist.all_gather_object(tables, dict(digests), group=group)
    raise RuntimeError(_difference(tables, dist.get_process_group_ranks(group)))


def _all_gather(digest: bytes, group: dist.ProcessGroup, device: torch.device) -> list[bytes]:
    own = torch.frombuffer(bytearray(digest), dtype=torch.uint8).to(device)
    gathered = [torch.empty_like(own) for _ in range(dist.get_world_size(group))]
    dist.all_gather(gathered, own, group=group)
    return [bytes(other.tolist()) for other in gathered]


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
