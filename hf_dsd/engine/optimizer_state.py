"""What an optimizer remembers of the weights that come back at a re-dense phase.

The paper says where the weights restart (zero), not what becomes of their moments. Moments gathered while a mask held
the weight at zero describe a weight that was never there; by default they are cleared for exactly those entries, so a
restored weight with a zero gradient stays at zero.
"""

import logging
from collections.abc import MutableMapping
from typing import Any

import torch
from torch import Tensor
from torch.optim import Adagrad, Optimizer
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

from .sharding import local_part

logger = logging.getLogger(__name__)

RESET_MODES = ("none", "masked", "all")
"""What a re-dense phase forgets: nothing, the entries of the pruned weights, or every parameter's state."""


@torch.no_grad()
def clear_masked_state_(state: MutableMapping[str, Any], mask: Tensor, name: str) -> None:
    """Zeroes the entries of pruned weights in one parameter's optimizer state, in place.

    Every state tensor of the parameter's shape counts (momentum, both Adam moments); step counters stay. Adafactor's
    factored second moments have no entry of their own per weight and are kept; a quantized state (8-bit optimizers) has
    no exact zero and is forgotten for the whole parameter. Of a sharded parameter the mask is this rank's block; the
    name is for the log.
    """
    local = [local_part(value) for value in state.values() if isinstance(value, Tensor)]
    tensors = [tensor for tensor in local if tensor.shape == mask.shape]
    if any(_is_quantized(tensor) for tensor in tensors):
        logger.warning("%s: its optimizer state is quantized and is forgotten whole", name)
        state.clear()
        return
    for tensor in tensors:
        tensor.masked_fill_(~mask, 0)  # not a product: 0 times an overflowed moment is NaN


@torch.no_grad()
def forget_optimizer_state_(optimizer: Optimizer) -> None:
    """Makes an optimizer forget all it knows of every parameter, step counters included, as if it were new.

    Optimizers build a parameter's state anew where it is empty, except that older torch's Adagrad builds it in its
    constructor only.
    """
    inner: Any = getattr(optimizer, "optimizer", optimizer)  # accelerate's wrapper
    if not isinstance(inner, Adagrad):
        for state in optimizer.state.values():
            state.clear()
        return
    for group in inner.param_groups:
        for state in (inner.state[parameter] for parameter in group["params"]):
            state["step"].zero_()
            state["sum"].fill_(group["initial_accumulator_value"])


def _is_quantized(tensor: Tensor) -> bool:
    """True for bitsandbytes' integers and for torchao's tensors inside a tensor."""
    return is_traceable_wrapper_subclass(tensor) or not tensor.is_floating_point()
