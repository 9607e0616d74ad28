"""Evaluates a model as a sparse phase would begin with it, and gives back its weights bit for bit."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

from hf_dsd.engine.masks import apply_masks_, build_mask
from hf_dsd.engine.targets import canonical_name

Result = TypeVar("Result")


def evaluate_pruned(
    model: nn.Module,
    sparsities: Mapping[str, float],
    evaluate: Callable[[], Result],
    *,
    matrices: Mapping[str, int] | None = None,
) -> Result:
    """Calls `evaluate` while some parameters are pruned by DSD's own masks, and restores them whatever happens.

    Args:
        model: The model; it is changed in place, and holds the same bits afterwards, also after an exception or an
            interrupt. Meanwhile there is a second copy of the parameters that are pruned.
        sparsities: Parameter name, as `plan_targets` gives it -> fraction pruned, in [0, 1).
        evaluate: What to do with the pruned model.
        matrices: Parameter name -> number of matrices that it stacks, such as a mixture's experts; 1 where not named.

    Returns:
        What `evaluate` returned.

    Raises:
        ValueError: If a parameter to prune holds NaN or inf; nothing is changed then.
    """
    parameters = {canonical_name(name): parameter for name, parameter in model.named_parameters()}
    stacked = matrices or {}
    pairs = [
        (parameters[name], _build_mask(name, parameters[name], value, stacked.get(name, 1)))
        for name, value in sparsities.items()
    ]
    originals: list[tuple[Tensor, Tensor]] = []
    try:
        for parameter, mask in pairs:
            originals.append((parameter, parameter.detach().clone()))
            apply_masks_([(parameter, mask)])
        result = evaluate()
        _restore_(originals)
    except BaseException:  # an interrupt may also come while the weights are on their way back
        _restore_(originals)
        raise
    return result


def _build_mask(name: str, weight: Tensor, sparsity: float, matrices: int) -> Tensor:
    try:
        return build_mask(weight, sparsity, matrices=matrices).mask
    except ValueError as error:
        raise ValueError(f"{name} cannot be pruned: {error}") from error


@torch.no_grad()
def _restore_(originals: Sequence[tuple[Tensor, Tensor]]) -> None:
    for parameter, original in originals:
        parameter.copy_(original)
