"""The engine under DeepSpeed ZeRO, whose optimizer trains fp32 copies of the weights, each rank its own part of them.

DeepSpeed steps inside `engine.backward()`, and what it writes into the model comes from those copies: a mask on the
model's parameters alone would be undone by the next step. So both are masked, the copy's part that this rank holds and
the parameter. Masks are chosen over the whole fp32 weight, gathered one parameter at a time; every rank chooses the
same one, and keeps it whole.

Needs `deepspeed`; the parts are found through DeepSpeed's own API and the marks that it leaves on parameters.
"""

import logging
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from .dsd import DSD
from .masks import apply_masks_, build_mask, seed_of
from .schedule import Phase
from .targets import canonical_name

logger = logging.getLogger(__name__)


class ZeroDSD(DSD):
    """`DSD` for ZeRO stages 1, 2 and 3. Every rank makes the same calls, in the same order.

    Args:
        *args: As for `DSD`; `model` and `optimizer` as `deepspeed.initialize` returned them, or accelerate's wrappers.
        **kwargs: As for `DSD`.

    Raises:
        ValueError: As `DSD`, and for `reset_optimizer_state="all"`: ZeRO's state cannot be forgotten, only zeroed.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.reset_optimizer_state == "all":
            raise ValueError('reset_optimizer_state="all" does not work under DeepSpeed ZeRO: use "masked" or "none"')

    def optimizer_step(self) -> None:
        """Re-applies the masks after DeepSpeed's step, in place."""
        super().optimizer_step()
        for name, parameter in self._bind(self.masks).items():
            if _is_gathered(parameter):  # ZeRO 3 keeps small parameters whole, too, in storage that moves
                apply_masks_([(parameter.data, self.masks[name])])

    def mask_gradients(self) -> None:
        """Refuses: ZeRO clips gradients where a mask cannot reach them.

        Raises:
            ValueError: Always.
        """
        raise ValueError("mask_gradients does not work under DeepSpeed ZeRO, which clips inside its own step: drop it")

    @torch.no_grad()
    def revived_weights(self) -> dict[str, int]:
        """As in `DSD`; gathers every masked parameter, so all ranks must call it."""
        counts = {}
        for name, parameter in self._bind(self.masks).items():
            count = int(torch.count_nonzero(whole_weight(parameter).masked_fill(self.masks[name], 0)))
            if count:
                counts[name] = count
        return counts

    def state_dict(self) -> dict[str, Any]:
        """As in `DSD`; the same on every rank."""
        state = super().state_dict()
        state["meta"]["shapes"] = {name: list(mask.shape) for name, mask in self.masks.items()}
        return state

    def _begin_sparse(self, phase: Phase) -> None:
        sparsities, built = self._sparsities(phase), {}
        for name, parameter in self._bind(sparsities).items():
            seed = seed_of(self.seed, phase.index, name)
            try:
                built[name] = build_mask(
                    whole_weight(parameter), sparsities[name], criterion=self.mask_criterion, seed=seed
                )
            except ValueError as error:
                raise ValueError(f"{name} holds NaN or inf at optimizer step {phase.start}; {error}") from error
        self.built = built
        self._set_masks({name: mask.mask for name, mask in built.items() if mask.pruned})
        self.optimizer_step()
        logger.info("%s: pruned %d of %d weights under ZeRO", phase.name, self._pruned, self.target_weights)

    @torch.no_grad()
    def _begin_dense(self) -> None:
        if self.reset_optimizer_state == "masked":
            for name, parameter in self._bind(self.masks).items():
                part = self._part_of(parameter)
                for state in part.states:
                    state.mul_(part.cut(self.masks[name]))
        self.built = {}
        self._set_masks({})

    def _set_masks(self, masks: dict[str, Tensor]) -> None:
        self.masks = masks
        self._pairs = []
        for name, parameter in self._bind(masks).items():
            part = self._part_of(parameter)
            self._pairs += [(copy, part.cut(masks[name])) for copy in part.copies]
            if not hasattr(parameter, "ds_id"):
                self._pairs.append((parameter, masks[name]))
        self._pruned = sum(mask.numel() - int(torch.count_nonzero(mask)) for mask in masks.values())

    def _part_of(self, parameter: Any) -> "Part":
        """What this rank trains of a parameter."""
        if hasattr(parameter, "ds_id"):
            return _part_of_partition(parameter)
        zero: Any = self.optimizer
        while not hasattr(zero, "single_partition_of_fp32_groups"):  # accelerate wraps it
            zero = zero.optimizer
        return _part_of_fragment(parameter, zero)

    def _bind(self, names: Mapping[str, Any]) -> dict[str, nn.Parameter]:
        """The model's parameters by name; ZeRO's optimizer holds flat copies of those that it marked."""
        if not names:
            return {}
        found = {canonical_name(name): p for name, p in self.model.named_parameters()}
        untrained = [name for name in names if name not in found or not _is_trained(found[name])]
        if untrained:
            raise ValueError(
                f"DeepSpeed's optimizer does not train {untrained[:5]}, so the weights could never come back: give "
                "these parameters to the optimizer, freeze them, or list them in dense_modules"
            )
        return {name: found[name] for name in names}


class Part(NamedTuple):
    """What this rank holds of one parameter's fp32 copy, as flat views.

    Attributes:
        start: Where the part begins in the flattened parameter.
        numel: Entries of it, 0 on a rank without any.
        copies: The fp32 part and, in ZeRO 3, the part of the parameter itself.
        states: The optimizer's moments of it.
    """

    start: int
    numel: int
    copies: list[Tensor]
    states: list[Tensor]

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


def _is_trained(parameter: nn.Parameter) -> bool:
    return parameter.requires_grad and (hasattr(parameter, "ds_id") or hasattr(parameter, "_hp_mapping"))
