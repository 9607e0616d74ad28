"""The states of random number generators, noted and set back."""

import random

import numpy as np
import pytest
import torch

from hf_dsd.engine.random_states import kept_random_states, note_random_states


def draw() -> tuple[float, float, float]:
    """One number of each generator."""
    return random.random(), float(np.random.rand()), float(torch.rand(()))


def test_all_generators_go_back_as_often_as_asked() -> None:
    restore = note_random_states()
    first = draw()
    assert draw() != first
    for _ in range(2):
        restore()
        assert draw() == first


def test_they_go_back_after_an_error() -> None:
    restore = note_random_states()
    first = draw()
    restore()
    with pytest.raises(ZeroDivisionError), kept_random_states():
        draw()[0] / 0
    assert draw() == first


@pytest.mark.gpu
def test_an_accelerator_in_use_goes_back() -> None:
    torch.rand((), device="cuda")
    with kept_random_states():
        first = float(torch.rand((), device="cuda"))
    assert float(torch.rand((), device="cuda")) == first
