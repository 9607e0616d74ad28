"""Pruned exactly as a sparse phase prunes, and given back bit for bit, whatever happens."""

import os
import signal
import sys

import pytest
import torch
from quadratic import Quadratic
from tiny import TinyCNN, TinyGPT2, TinyLSTM, build
from torch import nn

from hf_dsd import DSD, Schedule
from hf_dsd.sensitivity import bench, evaluate_pruned


def bits(model: nn.Module) -> dict[str, torch.Tensor]:
    """The weights as integers, so that -0.0 and NaN compare, too."""
    return {name: parameter.detach().clone().view(torch.int32) for name, parameter in model.named_parameters()}


def same(model: nn.Module, before: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(now, before[name]) for name, now in bits(model).items())


@pytest.mark.parametrize("model_class", [TinyLSTM, TinyCNN, TinyGPT2])
def test_it_is_what_a_sparse_phase_begins_with(model_class):
    model, trained = build(model_class), build(model_class)
    for network in (model, trained):
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.copy_((parameter * 200).round() / 200)  # ties and zeros, of both signs
    dsd = DSD(trained, torch.optim.SGD(trained.parameters(), lr=0.1), Schedule.from_steps([0, 1, 1], sparsity=0.3))
    dsd.begin_step(0)
    before = bits(model)
    places = [(id(parameter), parameter.data_ptr()) for parameter in model.parameters()]
    seen = evaluate_pruned(model, dict.fromkeys(model_class.pruned, 0.3), lambda: bits(model))
    assert all(torch.equal(seen[name], expected) for name, expected in bits(trained).items())
    assert any(not torch.equal(seen[name], before[name]) for name in model_class.pruned)
    assert same(model, before)
    assert places == [(id(parameter), parameter.data_ptr()) for parameter in model.parameters()]


def test_an_exception_restores():
    model = Quadratic()
    before = bits(model)

    def fail() -> None:
        assert int((model.a.weight == 0).sum()) == 5
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="^out of memory$"):
        evaluate_pruned(model, {"a.weight": 0.5, "b.weight": 0.5}, fail)
    assert same(model, before)


def test_ctrl_c_restores():
    model = Quadratic()
    before = bits(model)
    with pytest.raises(KeyboardInterrupt):
        evaluate_pruned(model, {"a.weight": 0.5}, lambda: os.kill(os.getpid(), signal.SIGINT))
    assert same(model, before)


class _Interrupt:
    """Raises KeyboardInterrupt at the n-th line that is executed in bench.py."""

    def __init__(self, line: int) -> None:
        self.left = line

    def __call__(self, frame, event, arg):
        if frame.f_code.co_filename != bench.__file__:
            return None
        if event == "line":
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt
        return self


def test_an_interrupt_at_any_line_restores():
    model = Quadratic()
    before = bits(model)
    tracer, line, raised = sys.gettrace(), 0, 0
    while True:
        line += 1
        interrupt = _Interrupt(line)
        sys.settrace(interrupt)
        try:
            evaluate_pruned(model, {"a.weight": 0.5, "b.weight": 0.3}, model.loss)
        except KeyboardInterrupt:
            raised += 1
        finally:
            sys.settrace(tracer)
        assert same(model, before), f"interrupted at line event {line}"
        if interrupt.left > 0:
            break
    assert raised == line - 1 > 20


def test_nan_is_refused_before_anything_changes():
    model = Quadratic()
    with torch.no_grad():
        model.b.weight[0, 0] = float("nan")
    before = bits(model)
    with pytest.raises(ValueError, match=r"^b\.weight cannot be pruned: magnitudes must be finite, got NaN or inf$"):
        evaluate_pruned(model, {"a.weight": 0.5, "b.weight": 0.5}, model.loss)
    assert same(model, before)


def test_stacked_matrices_lose_alike():
    """A mixture's fused experts: each is pruned as if alone, whatever the scale of the others."""
    model = torch.nn.Module()
    model.experts = torch.nn.Parameter(torch.arange(1.0, 13.0).reshape(3, 2, 2))
    zeros = lambda: (model.experts == 0).sum(dim=(1, 2)).tolist()  # noqa: E731
    assert evaluate_pruned(model, {"experts": 0.5}, zeros, matrices={"experts": 3}) == [2, 2, 2]
    assert evaluate_pruned(model, {"experts": 0.5}, zeros) == [4, 2, 0]
