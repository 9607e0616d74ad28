from collections.abc import Callable

import pytest
import torch
from deepspeech_reference import CELLS, both_directions
from torch import nn

from hf_dsd.models.deepspeech.recurrence import GATES, BidirectionalRecurrence, orthogonal_like

TYPES = pytest.mark.parametrize("rnn_type", ["rnn", "gru", "lstm"])
LENGTHS = (7, 4, 1)


def make(rnn_type: str, size: int = 4, clip: float = 20.0) -> BidirectionalRecurrence:
    """A recurrence with large random weights."""
    recurrence = BidirectionalRecurrence(rnn_type, size, clip)
    for parameter in recurrence.parameters():
        nn.init.normal_(parameter, std=0.7)
    return recurrence


def padded_inputs(rnn_type: str, size: int = 4) -> torch.Tensor:
    """Projected inputs of three rows, zero after their ends."""
    inputs = torch.randn(max(LENGTHS), len(LENGTHS), GATES[rnn_type] * size)
    for row, length in enumerate(LENGTHS):
        inputs[length:, row] = 0
    return inputs


@TYPES
def test_equals_a_hand_written_cell_row_by_row(rnn_type):
    recurrence, inputs = make(rnn_type, clip=1.5), padded_inputs(rnn_type)
    summed = recurrence(inputs)
    cell = (lambda x, w: CELLS["rnn"](x, w, 1.5)) if rnn_type == "rnn" else CELLS[rnn_type]
    for row, length in enumerate(LENGTHS):
        expected = both_directions(cell, inputs[:length, row], recurrence.weight_hh, recurrence.weight_hh_reverse)
        torch.testing.assert_close(summed[:length, row], expected, atol=1e-6, rtol=0)
    if rnn_type == "rnn":
        assert (summed[: LENGTHS[0], 0] > 1.5).any()  # both directions were clipped, then added


@TYPES
def test_gradients_equal_autograds_through_the_hand_written_cell(rnn_type):
    recurrence, inputs = make(rnn_type, clip=1.5), padded_inputs(rnn_type).requires_grad_()
    cell = (lambda x, w: CELLS["rnn"](x, w, 1.5)) if rnn_type == "rnn" else CELLS[rnn_type]
    weights = (recurrence.weight_hh, recurrence.weight_hh_reverse)
    factors = torch.randn(max(LENGTHS), len(LENGTHS), 4)
    summed = recurrence(inputs)
    loss = sum((summed[:n, row] * factors[:n, row]).sum() for row, n in enumerate(LENGTHS))
    by_hand = sum(
        (both_directions(cell, inputs[:n, row], *weights) * factors[:n, row]).sum() for row, n in enumerate(LENGTHS)
    )
    got = torch.autograd.grad(loss, [inputs, *weights])
    expected = torch.autograd.grad(by_hand, [inputs, *weights])
    for row, length in enumerate(LENGTHS):
        got[0][length:, row] = 0  # whoever zeroes the padding passes no gradient there
    for ours, theirs in zip(got, expected, strict=True):
        assert theirs.abs().max() > 0.1
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


@TYPES
def test_gradients_equal_finite_differences(rnn_type):
    recurrence = make(rnn_type, size=3).double()
    inputs = torch.randn(4, 2, GATES[rnn_type] * 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(recurrence, inputs)


@pytest.mark.parametrize("module", [nn.GRU, nn.LSTM], ids=["gru", "lstm"])
def test_equals_torchs_module_with_one_input_matrix_for_both_directions(module):
    rnn_type = module.__name__.lower()
    theirs = module(5, 4, bias=False, bidirectional=True)
    ours = make(rnn_type)
    order = [0, 1, 2] if rnn_type == "gru" else [0, 1, 3, 2]  # torch's LSTM has its cell gate before the output gate
    blocks = lambda weight: torch.cat([weight.chunk(len(order))[i] for i in order])  # noqa: E731
    with torch.no_grad():
        theirs.weight_ih_l0_reverse.copy_(theirs.weight_ih_l0)
        ours.weight_hh.copy_(blocks(theirs.weight_hh_l0))
        ours.weight_hh_reverse.copy_(blocks(theirs.weight_hh_l0_reverse))
    x = torch.randn(6, 3, 5)
    expected = sum(theirs(x)[0].chunk(2, dim=-1))
    torch.testing.assert_close(ours(x @ blocks(theirs.weight_ih_l0).t()), expected, atol=1e-6, rtol=0)


@TYPES
def test_one_frame(rnn_type):
    recurrence = make(rnn_type)
    inputs = torch.randn(1, 2, GATES[rnn_type] * 4, requires_grad=True)
    recurrence(inputs).sum().backward()
    assert recurrence.weight_hh.grad.abs().max() == 0
    assert inputs.grad.abs().max() > 0


@TYPES
def test_autocast_computes_in_the_inputs_type_and_returns_full_gradients(rnn_type):
    recurrence, inputs = make(rnn_type), padded_inputs(rnn_type)
    full = recurrence(inputs)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = recurrence(inputs.bfloat16())
        half.float().sum().backward()
    assert half.dtype is torch.bfloat16
    assert recurrence.weight_hh.grad.dtype is torch.float32
    torch.testing.assert_close(half.float(), full, atol=0.2, rtol=0.05)


def test_a_compiled_graph_does_not_grow_with_time():
    recurrence = make("rnn")
    sizes = []

    def count(graph: torch.fx.GraphModule, inputs: object) -> Callable[..., object]:
        parts = [part for part in graph.modules() if isinstance(part, torch.fx.GraphModule)]
        sizes.append(sum(len(part.graph.nodes) for part in parts))
        return graph.forward

    for frames in (4, 30):
        torch.compiler.reset()
        inputs = torch.randn(frames, 1, 4)
        compiled = torch.compile(lambda x: recurrence(2 * x) + 1, backend=count)
        assert torch.equal(compiled(inputs), recurrence(2 * inputs) + 1)
    assert sizes[: len(sizes) // 2] == sizes[len(sizes) // 2 :]


def test_fresh_matrices_are_orthogonal_gate_by_gate():
    for block in orthogonal_like(torch.empty(48, 16)).chunk(3):
        torch.testing.assert_close(block @ block.t(), torch.eye(16), atol=1e-5, rtol=0)
