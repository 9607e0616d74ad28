"""Batches of utterances of like length whose order survives a resume."""

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
import torch
from torch.utils.data import Sampler
from transformers.trainer_pt_utils import get_length_grouped_indices


class GroupableRows(Protocol):
    """What `LengthGroupedSampler` needs of a dataset; `SpeechDataset` has it."""

    @property
    def lengths(self) -> Sequence[int]:
        """Length of each row, in any unit."""


class LengthGroupedSampler(Sampler[int]):
    """Shuffled rows in which each batch has rows of like length, the batch of the longest row first.

    The order depends on the seed and the epoch only, and rows that have a `set_epoch` are told the epoch with it.
    Return this from a Trainer's `_get_train_sampler`: the Trainer tells a sampler the epoch in every run. It does not
    always tell a dataset: accelerate leaves that out after a resume within an epoch and in distributed runs.
    transformers' own class of this name reads every row to learn its length and draws the order from the global random
    state, so that a resumed run gets another order than the unbroken one.

    Args:
        rows: The dataset.
        batch_size: Rows per batch and device times gradient accumulation steps, at least 1.
        seed: At least 0.

    Raises:
        ValueError: If there is no row, or `batch_size` or `seed` is out of range.
    """

    def __init__(self, rows: GroupableRows, batch_size: int, seed: int = 0) -> None:
        for name, value, smallest in (("batch_size", batch_size, 1), ("seed", seed, 0)):
            if value < smallest:
                raise ValueError(f"{name} must be at least {smallest}, got {value}; choose a larger integer")
        self._lengths = list(rows.lengths)
        if not self._lengths:
            raise ValueError("rows must not be empty, got 0; an order needs at least one")
        self._rows, self._batch_size, self._seed, self._epoch = rows, batch_size, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Chooses the epoch whose order comes next, and tells the rows.

        Args:
            epoch: At least 0.
        """
        self._epoch = epoch
        if hasattr(self._rows, "set_epoch"):
            self._rows.set_epoch(epoch)

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        # Through a hash, because torch's generator looks at 32 bits of a seed only.
        (draw,) = np.random.SeedSequence((self._seed, self._epoch)).generate_state(1)
        generator = torch.Generator().manual_seed(int(draw))
        yield from get_length_grouped_indices(self._lengths, self._batch_size, generator=generator)
