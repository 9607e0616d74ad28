"""The states of all random number generators, noted and set back: what only tries something must not draw a number."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


def note_random_states() -> Callable[[], None]:
    """Notes the states of Python's, NumPy's and PyTorch's generators, an accelerator's where one is in use.

    Returns:
        A function that sets them back, as often as it is called.
    """
    python, numpy, cpu = random.getstate(), np.random.get_state(), torch.random.get_rng_state()
    module: Any = torch.get_device_module()
    get, put = (f"{verb}_rng_state{'_all' if hasattr(module, 'get_rng_state_all') else ''}" for verb in ("get", "set"))
    is_used = hasattr(module, get) and getattr(module, "is_initialized", lambda: True)()  # asking must not start a GPU
    devices = getattr(module, get)() if is_used else None

    def restore() -> None:
        random.setstate(python)
        np.random.set_state(numpy)
        torch.random.set_rng_state(cpu)
        if devices is not None:
            getattr(module, put)(devices)

    return restore


@contextmanager
def kept_random_states() -> Iterator[None]:
    """Sets all random states back after the block, also after an error."""
    restore = note_random_states()
    try:
        yield
    finally:
        restore()
