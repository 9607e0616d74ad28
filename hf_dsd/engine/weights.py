"""A parameter that a sparse phase prunes, with its mask: everything that is done to one of them."""

import hashlib
from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.optim import Optimizer

from .masks import apply_masks_, blocks_of, build_mask, count_revived, like_memory_of, pack_mask, unpack_mask
from .optimizer_state import clear_masked_state_
from .selection import prune_count
from .sharding import is_dtensor, layout_of, local_part, reshard_
from .targets import Target, canonical_name


class MaskedWeight:
    """One parameter in one sparse phase. Of a sharded parameter every rank makes the same calls.

    Attributes:
        name: The parameter's name in the plain model.
        parameter: The optimizer's own parameter.
        shape: Its whole shape.
        pruned: How many of its weights the phase prunes, in the whole parameter; the same number of each of the
            matrices that it stacks.
        threshold: The largest score pruned (see `build_mask`); 0.0 where nothing is, and after `load`.
        mask: Bool, True = kept; this rank's block of a sharded parameter. None before `build` or `load`, and for good
            where nothing is pruned.
    """

    def __init__(self, target: Target, parameter: nn.Parameter, sparsity: float) -> None:
        self.name = target.name
        self.parameter = parameter
        self.shape = torch.Size(target.shape)
        self.layout = layout_of(parameter)
        self.matrices = target.matrices
        self.pruned = prune_count(sparsity, target.numel, target.matrices)
        self.threshold = 0.0
        self.mask: Tensor | None = None
        self._sparsity = sparsity

    def weight(self) -> Tensor:
        """What is selected from and checked: the parameter, as it is sharded."""
        return self.parameter.detach()

    def build(self, criterion: str, seed: int) -> None:
        """Chooses the mask by the weights as they are now; applies nothing yet.

        Raises:
            ValueError: See `build_mask`.
        """
        if not self.pruned:
            return
        weight = self.weight()
        built = build_mask(weight, self._sparsity, criterion=criterion, seed=seed, matrices=self.matrices)
        self.mask = like_memory_of(built.mask, local_part(weight))
        self.threshold = built.threshold

    def load(self, packed: Tensor) -> None:
        """Takes a mask as `pack` gave it.

        Raises:
            ValueError: If it is of another size, or prunes another number of weights than this phase.
        """
        mask = unpack_mask(packed, self.shape, self.parameter.device)
        kept, expected = int(torch.count_nonzero(mask)), mask.numel() - self.pruned
        if kept != expected:
            raise ValueError(f"the checkpoint's mask of {self.name} keeps {kept}, not {expected} weights")
        self.mask = like_memory_of(self.layout.part_of(mask), local_part(self.weight()))

    def parts(self) -> list[tuple[Tensor, Tensor]]:
        """What this rank holds of the weight, as tensors that are trained, each with its mask."""
        return [] if self.mask is None else [(local_part(self.parameter), self.mask)]

    def mask_gradient_(self) -> None:
        """Multiplies the gradient by the mask, in place; an infinite one of a pruned weight becomes NaN."""
        if self.mask is not None and self.parameter.grad is not None:
            apply_masks_([(self.parameter.grad, self.mask)])

    def revived(self) -> int:
        """How many pruned weights are not exactly zero, NaN among them, in the whole parameter; synchronises."""
        return 0 if self.mask is None else int(self.layout.all_sum(count_revived(local_part(self.weight()), self.mask)))

    def pack(self) -> Tensor:
        """The whole mask as bits, see `pack_mask`."""
        if self.mask is None:
            raise ValueError(f"{self.name} has no mask")
        return pack_mask(self.mask, self.layout)

    def digest(self, error: ValueError | None = None) -> str:
        """A text that stands for this rank's mask, or for why there is none, see `check_agreement`."""
        if error is not None:
            return f"error: {error}"
        return "" if self.mask is None else hashlib.sha256(pack_mask(self.mask).numpy().tobytes()).hexdigest()

    def forget_(self, optimizer: Optimizer) -> None:
        """Zeroes what the optimizer remembers of the pruned weights, see `clear_masked_state_`."""
        if self.mask is not None:
            clear_masked_state_(optimizer.state.get(self.parameter, {}), self.mask, self.name)


class MaskPass:
    """W <- W * Mask in place for all weights of a phase: one pass, 1 byte of mask read per weight, nothing allocated.

    One call of PyTorch for all of them costs less than one call each. Weights of 16 bits are multiplied as integers of
    the same bits, 1.4 to 4 times as fast on an AMD EPYC (Zen 4, one thread); there a pruned NaN becomes 0, too.
    """

    def __init__(self, weights: Sequence[MaskedWeight]) -> None:
        self._weights = weights
        self._are_whole = all(
            type(one) is MaskedWeight and local_part(one.parameter) is one.parameter for one in weights
        )
        self._parts = [part for one in weights for part in one.parts()] if self._are_whole else []
        self._addresses: list[int] = []
        self._blocks: tuple[list[Tensor], list[Tensor]] = [], []

    @torch.no_grad()
    def __call__(self) -> None:
        """Makes the pass."""
        parts = self._parts if self._are_whole else [part for one in self._weights for part in one.parts()]
        addresses = [tensor.data_ptr() for tensor, _ in parts]
        if addresses != self._addresses:  # cuDNN's flattening and `.to()` move a parameter's storage
            blocks = [block for part in parts for block in blocks_of(*part)]
            views = [view.view(torch.int16) if view.element_size() == 2 else view for view, _ in blocks]
            self._addresses, self._blocks = addresses, (views, [kept for _, kept in blocks])
        if parts:
            torch._foreach_mul_(*self._blocks)


@torch.no_grad()
def not_finite(model: nn.Module, replicas: dist.ProcessGroup | None = None) -> list[str]:
    """Names of a model's parameters that hold NaN or infinity; one wait for the device.

    Args:
        model: Wrapped or not, sharded or not.
        replicas: Ranks that must agree; every one of them calls. Where weights are sharded all ranks must.
    """
    reshard_(model)
    parameters = dict(model.named_parameters())
    is_split = any(is_dtensor(p) or hasattr(p, "ds_tensor") for p in parameters.values())
    parts = {canonical_name(name): local_part(getattr(p, "ds_tensor", p)) for name, p in parameters.items()}
    floats = {name: part for name, part in parts.items() if part.is_floating_point()}
    if not floats:
        return []
    device = next(iter(floats.values())).device
    bad = torch.stack([(~torch.isfinite(part).all()).to(device, torch.int32) for part in floats.values()])
    if is_split or replicas is not None:
        dist.all_reduce(bad, group=replicas)
    return [name for name, count in zip(floats, bad.tolist(), strict=True) if count]
