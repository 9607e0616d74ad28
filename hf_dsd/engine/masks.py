"""The fixed masks of one sparse phase: build, apply in place, pack, unpack.

A mask is a bool tensor of its parameter's shape, True where the weight is kept: 1 byte per pruned-layer weight in
memory, 1 bit in a checkpoint. Masks belong to parameters, never to modules: an LSTM has one for every matrix it holds.
Where a parameter is sharded over ranks each rank holds its block of the mask; packed masks are whole.
"""

import hashlib
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .selection import prune_count, select_smallest
from .sharding import WHOLE, Layout, layout_of, local_part

CRITERIA = ("magnitude", "random")


class BuiltMask(NamedTuple):
    """A mask and what it did to its parameter.

    Attributes:
        mask: Bool, True = kept; the parameter's shape, or that of this rank's block if it is sharded.
        pruned: Number of entries that are False, in the whole parameter.
        threshold: The largest score pruned: a magnitude, or for the random criterion a uniform number in [0, 1).
    """

    mask: Tensor
    pruned: int
    threshold: float


@torch.no_grad()
def build_mask(weight: Tensor, sparsity: float, *, criterion: str = "magnitude", seed: int = 0) -> BuiltMask:
    """Masks exactly `round(sparsity * n)` entries of one weight (Algorithm 1: sort |W|, keep the top k).

    Args:
        weight: Floating tensor of any shape and strides, plain or a DTensor; of one, all ranks must call.
        sparsity: Fraction to prune, in [0, 1).
        criterion: `magnitude` prunes the smallest |w|; `random` prunes as many, anywhere (the control).
        seed: Of the random criterion; the same seed and shape give the same mask on every device and rank.

    Raises:
        ValueError: If the mask would prune anything and the weight holds NaN or inf, which times 0 is not 0; or if it
            is sharded in a way that DSD does not know.
    """
    k, layout, local = prune_count(sparsity, weight.numel()), layout_of(weight), local_part(weight)
    if criterion == "random":
        if k and int(layout.all_sum(torch.count_nonzero(~local.isfinite()))):
            raise ValueError("weights must be finite, got NaN or inf")
        generator = torch.Generator("cpu").manual_seed(seed)  # CUDA's stream of numbers is another one
        uniform = torch.rand(weight.shape, generator=generator, dtype=torch.float32, device="cpu")
        keep, threshold = select_smallest(uniform.to(local.device), k)  # the whole of it, on every rank
        return BuiltMask(layout.part_of(keep), k, threshold)
    keep, threshold = select_smallest(local, k, layout)
    return BuiltMask(keep, k, threshold)


def seed_of(*parts: object) -> int:
    """A 63-bit seed that depends on all `parts` and on nothing else (Python's `hash` differs between processes)."""
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


@torch.no_grad()
def apply_masks_(pairs: Iterable[tuple[Tensor, Tensor]]) -> None:
    """W <- W * Mask for each (weight, mask) pair, in place; of a sharded weight, its local block.

    Cost: one read-modify-write pass over the masked weights, 1 byte of mask read per weight; nothing of weight size is
    allocated, the device is not synchronised and no storage moves. The bool mask is read through a uint8 view because
    PyTorch multiplies by uint8 about twice as fast as by bool on CPU.
    """
    for weight, mask in pairs:
        local_part(weight).mul_(mask.view(torch.uint8))


def pack_mask(mask: Tensor, layout: Layout = WHOLE) -> Tensor:
    """Bit-packs a bool mask, row-major, into a uint8 CPU tensor of `ceil(n / 8)` bytes.

    Of a sharded mask every rank gives its block and gets the whole: 1 bit a weight is sent.
    """
    packed = torch.from_numpy(np.packbits(mask.cpu().numpy().reshape(-1)))
    if layout.group is None:
        return packed
    parts = zip(layout.gather(packed), layout.sizes, strict=True)  # blocks need not end with a byte
    bits = [np.unpackbits(part.numpy(), count=size) for part, size in parts]
    return torch.from_numpy(np.packbits(np.concatenate(bits)))


def unpack_mask(packed: Tensor, shape: torch.Size, device: torch.device | str = "cpu") -> Tensor:
    """The inverse of `pack_mask`.

    Raises:
        ValueError: If `packed` is not as many bytes as a mask of `shape` needs.
    """
    n = shape.numel()
    if packed.numel() != -(-n // 8) or packed.dtype != torch.uint8:
        raise ValueError(
            f"a packed mask of shape {tuple(shape)} has {-(-n // 8)} bytes, got {packed.numel()} of {packed.dtype}"
        )
    bits = np.unpackbits(packed.numpy(), count=n).view(np.bool_)
    return torch.from_numpy(bits).view(shape).to(device)


def masks_digest(packed: Mapping[str, Tensor]) -> str:
    """SHA-256 over the names and bits of packed masks: equal if and only if the masks are."""
    digest = hashlib.sha256()
    for name in sorted(packed):
        digest.update(repr((name, packed[name].numel())).encode())  # quoted: no name can look like a border
        digest.update(packed[name].numpy().tobytes())
    return digest.hexdigest()
