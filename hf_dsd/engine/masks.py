"""The masks of one sparse phase: build, apply in place, check, pack, unpack.

A mask is a bool tensor of its parameter's shape, True where the weight is kept: 1 byte per pruned-layer weight in
memory, 1 bit in a checkpoint. Masks belong to parameters, never to modules: an LSTM has one for every matrix it holds.
Where a parameter is sharded over ranks each rank holds its block of the mask; packed masks are whole.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

from .schedule import check_sparsity
from .selection import BITS_DTYPE, Selection, prune_count, select_smallest
from .sharding import WHOLE, Layout, layout_of, local_part

CRITERIA = ("magnitude", "random", "zeros")
_FLOATS = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
# Elements of a block that one operation works on, in fp32; in bytes they are as large for every dtype. PyTorch converts
# a whole uint8 operand to the other's dtype before it multiplies on a CPU, which for a block stays in the cache; a GPU
# converts on the fly.
_CPU_BLOCK, _DEVICE_BLOCK = 1 << 17, 1 << 24


@torch.no_grad()
def build_mask(
    weight: Tensor, sparsity: float, *, criterion: str = "magnitude", seed: int = 0, matrices: int = 1
) -> Selection:
    """Masks exactly `round(sparsity * n)` entries of one weight (Algorithm 1: sort |W|, keep the top k).

    Args:
        weight: Real floating tensor of 16 bits or more, of any shape and strides, plain or a DTensor; of one, all ranks
            must call.
        sparsity: Fraction to prune, in [0, 1).
        criterion: `magnitude` prunes the smallest |w|; `random` prunes as many, anywhere (the control); `zeros` prunes
            the entries that are 0, and takes no other number of them.
        seed: Decides what `random` prunes: the same seed and shape give the same mask on every device and rank.
        matrices: How many matrices are stacked along the first dimension, as the experts of a mixture are; each of them
            loses the same number of entries, see `prune_count`.

    Returns:
        The mask, of this rank's block of a sharded weight, and the largest score pruned: a magnitude, or for the random
        criterion a uniform number in [0, 1).

    Raises:
        ValueError: If an argument is out of range; if the mask would prune anything and the weight holds NaN or inf,
            which times 0 is not 0; if its zeros are not as many as `zeros` shall prune; or if it is sharded in a way
            that DSD does not know.
    """
    check_sparsity(sparsity)
    if weight.dtype not in _FLOATS:
        raise ValueError(f"weights must be real floating-point numbers of 16 bits or more, got {weight.dtype}")
    pruned, layout, scores = prune_count(sparsity, weight.numel(), matrices), layout_of(weight), local_part(weight)
    if not pruned:
        return Selection(torch.ones(scores.shape, dtype=torch.bool, device=scores.device), 0.0)
    if criterion != "random":
        built = _select(scores, pruned, matrices, layout)
        if criterion == "zeros":
            _check_zeros(scores, built.mask, pruned, layout)
        return built
    _check_finite(scores, layout)
    generator = torch.Generator("cpu").manual_seed(seed)  # CUDA's stream of numbers is another one
    uniform = torch.rand(weight.shape, generator=generator, dtype=torch.float32, device="cpu")
    mask, threshold = _select(uniform.to(scores.device), pruned, matrices, WHOLE)  # the whole of it, on every rank
    return Selection(layout.part_of(mask), threshold)


def _select(scores: Tensor, pruned: int, matrices: int, layout: Layout) -> Selection:
    """Marks the smallest scores of every matrix of a stack."""
    if matrices == 1:
        return select_smallest(scores, pruned, layout)
    size = (sum(layout.sizes) or scores.numel()) // matrices
    if any(block % size for block in layout.sizes):
        raise ValueError(
            f"a rank holds a part of one of its {matrices} matrices only: use as many ranks as divide them"
        )
    _check_finite(scores, layout)  # on all ranks: below each selects by itself
    mask = torch.empty(scores.numel() // size, size, dtype=torch.bool, device=scores.device)
    threshold = 0.0
    for row, matrix in zip(mask, scores.reshape(mask.shape), strict=True):
        kept, largest = select_smallest(matrix, pruned // matrices)
        row.copy_(kept)
        threshold = max(threshold, largest)
    return Selection(mask.view(scores.shape), layout.all_max(threshold))


def _check_zeros(scores: Tensor, mask: Tensor, pruned: int, layout: Layout) -> None:
    """Refuses a mask that is not exactly where the weight is zero."""
    zeros = scores == 0
    if int(layout.all_sum(torch.count_nonzero(zeros == mask))):
        found, n = int(layout.all_sum(torch.count_nonzero(zeros))), sum(layout.sizes) or scores.numel()
        raise ValueError(
            f"{found} of its {n} weights are zero, and {pruned} were to be: load the sparse model, and give the "
            f"sparsity and sparsity_overrides that it was trained with (here {found / n!r})"
        )


def _check_finite(scores: Tensor, layout: Layout) -> None:
    if int(layout.all_sum(torch.count_nonzero(~scores.isfinite()))):
        raise ValueError("weights must be finite, got NaN or inf")


def seed_of(*parts: object) -> int:
    """A 63-bit seed that depends on all `parts` and on nothing else (Python's `hash` differs between processes)."""
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


@torch.no_grad()
def apply_masks_(pairs: Iterable[tuple[Tensor, Tensor]]) -> None:
    """W <- W * Mask for each (weight, mask) pair, in place; of a sharded weight, its local block.

    One pass over the weights, 1 byte of mask read per weight. Nothing of weight size is allocated, the device is not
    synchronised and no storage moves.
    """
    for weight, mask in pairs:
        for part, kept in blocks_of(local_part(weight), mask):
            part.mul_(kept)


def blocks_of(tensor: Tensor, mask: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Views that together cover a tensor and its mask, a few hundred kB each on a CPU; the mask as 0 and 1 of uint8.

    PyTorch multiplies by uint8 about twice as fast as by bool on a CPU.
    """
    return list(_blocks(tensor.detach(), mask.view(torch.uint8)))


def _blocks(tensor: Tensor, mask: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    limit = (_CPU_BLOCK if tensor.device.type == "cpu" else _DEVICE_BLOCK) * 4 // tensor.element_size()
    if tensor.numel() <= limit:
        yield tensor, mask
        return
    order = sorted(range(tensor.dim()), key=tensor.stride, reverse=True)
    tensor, mask = tensor.permute(order), mask.permute(order)
    if tensor.is_contiguous() and mask.is_contiguous():
        tensor, mask = tensor.view(-1), mask.view(-1)
    row = tensor[0].numel()
    if row <= limit:
        yield from zip(torch.split(tensor, limit // row), torch.split(mask, limit // row), strict=True)
    else:
        for pair in zip(tensor, mask, strict=True):
            yield from _blocks(*pair)


@torch.no_grad()
def count_revived(weight: Tensor, mask: Tensor) -> Tensor:
    """How many masked entries of a weight (of a sharded one, its block) are not exactly 0, NaN among them.

    Returns:
        An integer tensor of no dimension on the weight's device. Nothing of weight size is allocated.
    """
    blocks = blocks_of(weight, mask)
    if weight.device.type == "cpu":
        return torch.tensor(sum(_count_revived_numpy(part, kept) for part, kept in blocks), dtype=torch.int64)
    count = torch.zeros((), dtype=torch.int64, device=weight.device)
    for part, kept in blocks:
        count += torch.count_nonzero((part != 0) > kept.view(torch.bool))
    return count


def _count_revived_numpy(part: Tensor, kept: Tensor) -> int:
    bits = part.view(BITS_DTYPE[part.element_size()]).numpy().view(f"u{part.element_size()}")
    # -0.0 is 0, too: its bits lose the sign by the shift
    return int(np.count_nonzero((bits << 1).astype(np.bool_) > kept.numpy().view(np.bool_)))


def like_memory_of(mask: Tensor, weight: Tensor) -> Tensor:
    """The mask with its entries in the order in which the weight's lie in memory, so that one pass reads both."""
    if mask.stride() == weight.stride():
        return mask
    return torch.empty_like(weight, dtype=torch.bool, requires_grad=False).copy_(mask)


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
