"""Where a run began, to begin there again: `auto_find_batch_size` trains anew when a batch did not fit."""

from copy import deepcopy
from typing import Any

from torch import nn

from hf_dsd.engine.random_states import note_random_states

from .loading import copy_weights_, tensors_of
from .sharding import is_sharded


class Start:
    """The weights, optimizer state and random state before a run's first step.

    The Trainer alone would go on from the weights of the failed attempt, which a sparse phase may have pruned. The
    model is not yet sharded, and copied to the CPU; the optimizer is None if it is not yet built.
    """

    def __init__(self, model: nn.Module, optimizer: Any, batch_size: int) -> None:
        self.batch_size = batch_size
        self._weights = {name: tensor.detach().to("cpu", copy=True) for name, tensor in tensors_of(model).items()}
        self._optimizer = None if optimizer is None else deepcopy(optimizer.state_dict())
        self._restore_random_states = note_random_states()

    def restore(self, model: nn.Module, optimizer: Any) -> Any:
        """Puts everything back, the weights in place; returns the optimizer, None where it is to be built anew."""
        copy_weights_(model, self._weights)
        self._restore_random_states()
        if self._optimizer is None:
            return None
        optimizer.load_state_dict(deepcopy(self._optimizer))
        return optimizer


def begin_anew(trainer: Any, start: Start | None) -> Start:
    """Notes where a training begins, or goes back there where the Trainer tries again with a smaller batch.

    Raises:
        RuntimeError: If the weights are sharded, which no copy of the whole ones can be put back into.
    """
    size = trainer._train_batch_size
    if start is None:
        return Start(trainer.model, trainer.optimizer, size)
    if size != start.batch_size:
        if is_sharded(trainer.model) or trainer.is_deepspeed_enabled:
            raise RuntimeError(
                f"a batch of {start.batch_size} did not fit, and sharded weights cannot go back to where the run "
                f"began: leave auto_find_batch_size out and set per_device_train_batch_size={size}"
            )
        trainer.optimizer = start.restore(trainer.model, trainer.optimizer)
    return start
