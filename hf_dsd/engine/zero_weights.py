"""A masked weight under DeepSpeed ZeRO, whose optimizer trains fp32 copies of the weights, each rank its own part.

DeepSpeed steps inside `engine.backward()`, and what it writes into the model comes from those copies: a mask on the
model's parameters alone would be undone by the next step. So both are masked, the copy's part that this rank holds and
the parameter. Masks are chosen over the whole fp32 weight, gathered one parameter at a time; every rank chooses the
same one, and keeps it whole.

Needs `deepspeed`; the parts are found through DeepSpeed's own API and the marks that it leaves on parameters.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from .targets import Target
from .weights import MaskedWeight


def is_partitioned(parameter: nn.Parameter) -> bool:
    """True for a parameter that ZeRO's optimizer, stage 1, 2 or 3, trains."""
    return parameter.requires_grad and (hasattr(parameter, "ds_id") or hasattr(parameter, "_hp_mapping"))


class ZeroWeight(MaskedWeight):
    """`MaskedWeight` for ZeRO stages 1, 2 and 3: every rank makes the same calls, in the same order.

    Parameter and optimizer are those that `deepspeed.initialize` returned, or accelerate's wrapper of the latter.
    """

    def __init__(self, target: Target, parameter: nn.Parameter, sparsity: float, optimizer: Optimizer) -> None:
        super().__init__(target, parameter, sparsity)
        self._optimizer = optimizer

    def weight(self) -> Tensor:
        """The whole fp32 weight."""
        return whole_weight(self.parameter)

    def parts(self) -> list[tuple[Tensor, Tensor]]:
        """What this rank holds of the fp32 copy, and of the parameter where it is whole at the moment."""
        if self.mask is None:
            return []
        part = self._part()
        parts = [(copy, part.cut(self.mask)) for copy in part.copies]
        if not hasattr(self.parameter, "ds_id") or _is_gathered(self.parameter):  # ZeRO 3 keeps small ones whole, too
            parts.append((self.parameter.data, self.mask))
        return parts

    def mask_gradient_(self) -> None:
        """Refuses: ZeRO clips gradients where a mask cannot reach them.

        Raises:
            ValueError: Always.
        """
        raise ValueError("mask_gradients does not work under DeepSpeed ZeRO, which clips inside its own step: drop it")

    def forget_(self, optimizer: Optimizer) -> None:
        """Zeroes the moments of the pruned weights in this rank's part."""
        if self.mask is not None:
            part = self._part()
            for state in part.states:
                state.masked_fill_(~part.cut(self.mask), 0)

    def _part(self) -> "Part":
        """What this rank trains of the parameter."""
        if hasattr(self.parameter, "ds_id"):
            return _part_of_partition(self.parameter)
        zero: Any = self._optimizer
        while not hasattr(zero, "single_partition_of_fp32_groups"):  # accelerate wraps it
            zero = zero.optimizer
        return _part_of_fragment(self.parameter, zero)


class Part(NamedTuple):
    """What this rank holds of one parameter's fp32 copy, as flat views."""

    start: int  # where the part begins in the flattened parameter
    numel: int  # 0 on a rank without any
    copies: list[Tensor]  # the fp32 part and, in ZeRO 3, the part of the parameter itself
    states: list[Tensor]  # the optimizer's moments of it

    def cut(self, mask: Tensor) -> Tensor:
        """The part's share of a whole mask, flat."""
        return mask.reshape(-1)[self.start : self.start + self.numel]


def whole_weight(parameter: nn.Parameter) -> Tensor:
    """The fp32 weight that ZeRO trains, whole, on every rank; all of them must call."""
    from deepspeed.utils import safe_get_full_fp32_param

    shape: torch.Size = getattr(parameter, "ds_shape", parameter.shape)
    full: Tensor = safe_get_full_fp32_param(parameter)
    return full.view(shape)


def _part_of_fragment(parameter: Any, zero: Any) -> Part:
    """ZeRO 1 and 2: whole parameters, and a fragment of the fp32 copy on the ranks in whose shares it lies."""
    fragment = parameter._hp_mapping
    if fragment is None:
        return Part(0, 0, [], [])
    flat = zero.single_partition_of_fp32_groups[fragment.param_group_index]
    # The fragment's own list of moments is empty between a resume and the first step after it.
    moments = _tensors_like(flat, zero.optimizer.state.get(flat, {})).values()
    at, start = fragment.hp_fragment_address, fragment.lp_fragment_address.start
    return Part(start, at.numel, [fragment.hp_fragment], [moment.narrow(0, at.start, at.numel) for moment in moments])


def _part_of_partition(parameter: Any) -> Part:
    """ZeRO 3: parameter and fp32 copy in equal parts, the last ranks' padded."""
    from deepspeed.utils import safe_get_local_fp32_param, safe_get_local_optimizer_state

    zero = parameter._z3_optimizer
    local = safe_get_local_fp32_param(parameter)
    start = local.numel() * zero._get_param_partition_rank(parameter)
    numel = max(0, min(local.numel(), parameter.ds_numel - start))
    if not numel:
        return Part(0, 0, [], [])
    flat = zero.fp32_partitioned_groups_flat[zero.grad_position[zero.get_param_id(parameter)][0]]
    keys = _tensors_like(flat, zero.optimizer.state.get(flat, {}))
    states = [safe_get_local_optimizer_state(parameter, key)[:numel] for key in keys]
    return Part(start, numel, [local[:numel], parameter.ds_tensor.reshape(-1)[:numel]], states)


def _tensors_like(flat: Tensor, state: Mapping[str, Any]) -> dict[str, Tensor]:
    """The moments in an optimizer's state of one flat partition: tensors of its shape, no step counters."""
    return {key: value for key, value in state.items() if isinstance(value, Tensor) and value.shape == flat.shape}


def _is_gathered(parameter: Any) -> bool:
    """True for a ZeRO 3 parameter that is whole on this rank at the moment."""
    return hasattr(parameter, "ds_id") and parameter.data.numel() == parameter.ds_numel
