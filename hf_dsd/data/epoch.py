"""The epoch that augmentation depends on, where worker processes see it change."""

from typing import Any

import torch


class SharedEpoch:
    """A number in shared memory.

    Worker processes get a copy of a dataset when they start, and persistent ones start once: an attribute that the
    parent sets later stays what it was in the copy. Shared memory is not copied, by fork or by spawn.
    """

    def __init__(self) -> None:
        self._number = torch.zeros((), dtype=torch.int64)
        self._number.share_memory_()  # type: ignore[no-untyped-call]

    def __setstate__(self, state: dict[str, Any]) -> None:
        # copy.deepcopy and plain pickle leave shared memory; what comes from the parent of a worker is shared already.
        self.__dict__.update(state)
        self._number.share_memory_()  # type: ignore[no-untyped-call]

    @property
    def number(self) -> int:
        """The epoch, from 0."""
        return int(self._number)

    @number.setter
    def number(self, epoch: int) -> None:
        """Chooses the epoch, in this process and in its workers."""
        self._number.fill_(epoch)
