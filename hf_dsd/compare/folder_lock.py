"""One comparison at a time in a folder, and none while a run that a killed one left behind still trains there."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: no lock
    fcntl = None  # type: ignore[assignment]


@contextmanager
def locked(folder: Path) -> Iterator[int | None]:
    """Locks a folder; gives the descriptor, which a child process that inherits it keeps locked while it lives.

    Raises:
        RuntimeError: If another process holds the lock.
    """
    if fcntl is None:
        yield None
        return
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RuntimeError(
                f"another comparison, or a run that a killed one left, is at work in {folder}: wait for it, or end it"
            ) from error
        yield descriptor
    finally:
        os.close(descriptor)
