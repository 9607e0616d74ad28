"""What an optimizer remembers of the weights that come back at a re-dense phase.

The paper says where the weights restart (zero), not what becomes of their moments. Moments gathered while a mask held
the weight at zero describe a weight that was never there; by default they are cleared for exactly those entries, so a
restored weight with a zero gradient stays at zero.
"""

import logging
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.optim import Optimizer

logger = logging.getLogger(__name__)

RESET_MODES = ("none", "masked", "all")


@torch.no_grad()
def reset_optimizer_state_(
    optimizer: Optimizer, parameters: Mapping[str, Tensor], masks: Mapping[str, Tensor], mode: str
) -> None:
    """Clears optimizer state at the start of a re-dense phase, in place.

    Args:
        optimizer: Any torch optimizer, or accelerate's wrapper of one.
        parameters: Name -> parameter, for every name in `masks`.
        masks: Name -> bool mask of the sparse phase that just ended, True = kept.
        mode: `none` keeps everything; `masked` zeroes the entries of the pruned weights in every state tensor of the
            parameter's shape (momentum, both Adam moments; step counters stay); `all` forgets every parameter's state.
            Adafactor's factored second moments have no entry of their own per weight and are kept; a quantized state
            (8-bit optimizers) has no exact zero and is forgotten for the whole parameter.
    """
    if mode == "none" or not masks:
        return
    if mode == "all":
        for state in optimizer.state.values():
            state.clear()
        return
    for name, mask in masks.items():
        state = optimizer.state.get(parameters[name], {})
        tensors = [v for v in state.values() if isinstance(v, Tensor) and v.shape == mask.shape]
        if any(not v.is_floating_point() for v in tensors):
            logger.warning("%s: its optimizer state is quantized and is forgotten whole", name)
            state.clear()
            continue
        for tensor in tensors:
            tensor.mul_(mask.view(torch.uint8))
