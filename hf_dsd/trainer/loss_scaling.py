"""Whether a loss is divided by the number of items it is told, found by experiment.

The Trainer tells a model whose `forward` takes `**kwargs` how many labels the whole optimizer step has
(`num_items_in_batch`), and then neither averages the loss over the micro-batches of the step nor over the ranks,
because the model has done so. But many models take `**kwargs` and drop the number: theirs is a mean over the
micro-batch, and the Trainer's sum of these is as many times too large as there are micro-batches and ranks, and the
gradient with it. Names and signatures do not tell, so the first batch does.
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import Trainer

from hf_dsd.engine.random_states import kept_random_states

logger = logging.getLogger(__name__)

_TOLERANCE = 0.01
"""Relative difference of two losses below which they are the same: kernels that add in any order are not exact."""


class LossScaling:
    """What a trainer has found out about its loss.

    Attributes:
        divides: True if the loss moves with the number of items; None before that is known.
        is_sum: True if it does not, and is a sum over the batch's rows, which is right to add up.
    """

    def __init__(self) -> None:
        self.divides: bool | None = None
        self.is_sum = False
        self._is_trying = False

    def items(self, trainer: Trainer, batches: list[Any], count: Any) -> Any:
        """The number of items that `compute_loss` is to be told; None makes the Trainer average.

        Args:
            trainer: Its `compute_loss` is tried on the first batch if a step has several micro-batches or ranks.
            batches: The micro-batches of an optimizer step, or one of an evaluation; every rank must call.
            count: What the Trainer counted: labels of all micro-batches and ranks, or None.
        """
        args = trainer.args
        if count is None or (args.gradient_accumulation_steps == 1 and args.world_size == 1 and args.n_gpu <= 1):
            return count  # nothing is added up, so there is nothing to get wrong
        if self._is_trying or (self.divides is None and trainer.loss_is_scaled_for_ga is not None):
            return count  # of the trial itself, or the user has said it
        if self.divides is None:
            self._is_trying = True
            try:
                self._try(trainer, batches[0], count)
            finally:
                self._is_trying = False
        evaluates = not torch.is_grad_enabled()  # the model's mode does not tell: a step sets it after counting
        return count if self.divides is not False or (self.is_sum and not evaluates) else None

    def _try(self, trainer: Trainer, batch: Any, count: Any) -> None:
        # Every rank takes every forward: those of shards wait for each other.
        doubled = _every_row_twice(batch) or batch
        told, told_twice, rows_twice = (
            _loss(trainer, *given) for given in ((batch, count), (batch, count * 2), (doubled, count))
        )
        known = told != 0 and bool(np.isfinite([told, told_twice]).all())  # no label, or a model that has diverged
        moves = known and abs(told - told_twice) > _TOLERANCE * abs(told)
        adds = known and rows_twice / told > 1.5
        # Ranks must agree, and one's batch may have no label.
        mine = torch.tensor([[known, moves, adds]], dtype=torch.uint8, device=trainer.args.device)
        known, moves, adds = trainer.accelerator.gather(mine).amax(dim=0).tolist()
        if not known:
            return
        self.divides, self.is_sum = bool(moves), bool(adds and not moves)
        if not moves and not adds:
            self._average(trainer)

    def _average(self, trainer: Trainer) -> None:
        trainer.model_accepts_loss_kwargs = False
        if trainer.compute_loss_func is not None:
            trainer.loss_is_scaled_for_ga = False
        logger.warning(
            "the loss of %s does not depend on num_items_in_batch: it is averaged over micro-batches and ranks",
            type(trainer.accelerator.unwrap_model(trainer.model)).__name__,
        )


def _every_row_twice(batch: Mapping[str, Any]) -> dict[str, Any] | None:
    """A batch with its rows doubled; None if some of its entries are not per row."""
    rows = len(batch["labels"])
    if not all(isinstance(entry, Tensor) and entry.ndim and len(entry) == rows for entry in batch.values()):
        return None
    return {name: torch.cat([entry, entry]) for name, entry in batch.items()}


def _loss(trainer: Trainer, batch: Any, count: Any) -> float:
    """The loss that a step would take, without taking it: model, random states and the batch are as before."""
    model, evaluates = trainer.model, not torch.is_grad_enabled()
    with torch.no_grad(), kept_random_states(), kept_state(model):
        if not evaluates:
            model.train()
        inputs = trainer._prepare_inputs(dict(batch))
        with trainer.compute_loss_context_manager():
            # DeepSpeed's engine casts inputs and gathers parameters; other wrappers would compile, or wait for ranks.
            called = trainer.model_wrapped if trainer.is_deepspeed_enabled else model
            loss: Tensor = trainer.compute_loss(called, inputs, num_items_in_batch=count)
    return float(loss.detach().float().mean())


@contextmanager
def kept_state(model: nn.Module) -> Iterator[None]:
    """Keeps every module's mode, and the buffers: batch norm's statistics move in training mode."""
    modes = [(module, module.training) for module in model.modules()]
    kept = [(buffer, buffer.detach().clone()) for buffer in model.buffers()]
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
        with torch.no_grad():
            for buffer, values in kept:
                buffer.copy_(values)
