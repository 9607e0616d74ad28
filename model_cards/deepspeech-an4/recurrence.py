"""Bidirectional recurrences over inputs that are already projected, with one projection for both directions.

Shape legend: T time, B batch, D the two directions, H width, G gates per unit (1 rnn, 3 gru, 4 lstm).

`nn.RNN` and its kind hold an input matrix per direction and cannot share one. Left to autograd, a loop over time would
make and add up an (H, H) gradient of the recurrent matrix at every step. So each cell has its own pass back through
time here: it keeps the gradients of all steps and multiplies once at the end. That takes half the operations per frame,
and at the paper's width of 1760 half the time (tests/benchmarks/bench_deepspeech.py).

A step has no bias, and all three cells map a zero input and a zero state to a zero state. An input that is zero on
padding therefore keeps the backward direction at exactly zero until it reaches a row's last valid frame: rows of
different lengths need neither packing nor reversing.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from transformers.modeling_layers import GradientCheckpointingLayer

GATES = {"rnn": 1, "gru": 3, "lstm": 4}
_sigmoid_backward = torch.ops.aten.sigmoid_backward.grad_input
_tanh_backward = torch.ops.aten.tanh_backward.grad_input


class BidirectionalRecurrence(GradientCheckpointingLayer):
    """Runs a recurrence over time in both directions and adds the two.

    It is what `gradient_checkpointing` runs a second time: the gates of all frames are most of a layer's memory, and
    the batch norm before it must see each batch once.

    With projected inputs x_t the states are: rnn: h_t = min(max(x_t + W h_{t-1}, 0), clip). gru and lstm: torch's
    equations without biases, with gates in the order reset, update, new; and input, forget, output, cell.
    """

    def __init__(self, rnn_type: str, hidden_size: int, relu_clip: float) -> None:
        super().__init__()
        shape = (GATES[rnn_type] * hidden_size, hidden_size)
        self.weight_hh = nn.Parameter(torch.empty(shape))
        self.weight_hh_reverse = nn.Parameter(torch.empty(shape))
        self._cell: _Cell = _VanillaCell(relu_clip) if rnn_type == "rnn" else _CELLS[rnn_type]()

    # Traced, the loop would be unrolled into one graph node per frame.
    @torch.compiler.disable
    def forward(self, projected: Tensor) -> Tensor:
        """Returns the sum of both directions' states, `(T, B, H)`, of inputs `(T, B, G * H)`.

        Padding must come after the valid frames and be exactly zero; the states on it mean nothing.
        """
        inputs = torch.stack([projected, projected.flip(0)], dim=1)  # (T, D, B, G * H)
        weight = torch.stack([self.weight_hh.t(), self.weight_hh_reverse.t()])  # (D, H, G * H)
        with torch.autocast(projected.device.type, enabled=False):
            # mypy knows no signature of `apply`.
            states: Tensor = _Recurrence.apply(  # type: ignore[no-untyped-call]
                inputs, weight.to(projected.dtype), self._cell
            )  # (T, D, B, H)
        forward, backward = states.unbind(1)
        return forward + backward.flip(0)


class _Recurrence(torch.autograd.Function):
    """Steps a cell through time; the cell knows its own derivative."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, cell: "_Cell") -> Tensor:
        states, *saved = cell.run(inputs, weight)
        ctx.cell = cell
        ctx.save_for_backward(weight, states, *saved)
        return states

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        weight, states, *saved = ctx.saved_tensors
        with torch.autocast(grad.device.type, enabled=False):
            grad_inputs, grad_products = ctx.cell.run_back(grad, weight.transpose(1, 2).contiguous(), states, *saved)
            before = states[:-1].permute(1, 3, 0, 2).flatten(2)  # (D, H, (T - 1) * B)
            after = grad_products[1:].transpose(0, 1).flatten(1, 2)  # (D, (T - 1) * B, G * H)
            return grad_inputs, torch.bmm(before, after), None


class _Cell:
    """One kind of recurrent unit.

    `run(inputs (T, D, B, G * H), weight (D, H, G * H))` returns the states `(T, D, B, H)` and what `run_back` needs.
    `run_back(grad, weight transposed (D, G * H, H), states, *saved)` returns the gradients of the inputs and of the
    products state @ weight, both `(T, D, B, G * H)`.
    """

    def run(self, inputs: Tensor, weight: Tensor) -> tuple[Tensor, ...]:
        raise NotImplementedError

    def run_back(self, grad: Tensor, weight: Tensor, states: Tensor, *saved: Tensor) -> tuple[Tensor, Tensor]:
        raise NotImplementedError


class _VanillaCell(_Cell):
    """h' = min(max(x + h W, 0), clip)."""

    def __init__(self, relu_clip: float) -> None:
        self.relu_clip = relu_clip

    def run(self, inputs: Tensor, weight: Tensor) -> tuple[Tensor, ...]:
        states = torch.empty_like(inputs)
        state = torch.zeros_like(inputs[0])
        for t in range(len(inputs)):
            state = torch.baddbmm(inputs[t], state, weight, out=states[t]).clamp_(0, self.relu_clip)
        return (states,)

    def run_back(self, grad: Tensor, weight: Tensor, states: Tensor, *saved: Tensor) -> tuple[Tensor, Tensor]:
        passes = ((states > 0) & (states < self.relu_clip)).to(grad.dtype)
        grad_inputs = torch.empty_like(states)
        after = torch.mul(grad[-1], passes[-1], out=grad_inputs[-1])
        for t in range(len(states) - 2, -1, -1):
            after = torch.baddbmm(grad[t], after, weight, out=grad_inputs[t]).mul_(passes[t])
        return grad_inputs, grad_inputs


class _GRUCell(_Cell):
    """r, z = sigmoid(x + h W); n = tanh(x_n + r * (h W)_n); h' = n + z * (h - n)."""

    def run(self, inputs: Tensor, weight: Tensor) -> tuple[Tensor, ...]:
        size = inputs.shape[-1] // 3
        gates = torch.empty_like(inputs[..., : 2 * size])
        states, new, products = (torch.empty_like(inputs[..., :size]) for _ in range(3))
        state = torch.zeros_like(states[0])
        for t in range(len(inputs)):
            product = torch.bmm(state, weight)
            torch.add(inputs[t, ..., : 2 * size], product[..., : 2 * size], out=gates[t]).sigmoid_()
            reset, update = gates[t].chunk(2, dim=-1)
            products[t] = product[..., 2 * size :]
            torch.addcmul(inputs[t, ..., 2 * size :], reset, products[t], out=new[t]).tanh_()
            state = torch.lerp(new[t], state, update, out=states[t])
        return states, gates, new, products

    def run_back(self, grad: Tensor, weight: Tensor, states: Tensor, *saved: Tensor) -> tuple[Tensor, Tensor]:
        gates, new, products = saved
        size = states.shape[-1]
        reset, update = gates.chunk(2, dim=-1)
        # First what each gate's input does to its own step's state, for all steps at once; the loop multiplies by the
        # state's gradient. That leaves six small kernels per step.
        grad_inputs = torch.empty((*states.shape[:-1], 3 * size), dtype=states.dtype, device=states.device)
        d_reset, d_update, d_new = grad_inputs.chunk(3, dim=-1)
        _tanh_backward(1 - update, new, grad_input=d_new)
        _sigmoid_backward(_states_before(states) - new, update, grad_input=d_update)
        _sigmoid_backward(d_new * products, reset, grad_input=d_reset)
        grad_products = torch.empty_like(grad_inputs)
        d_state = torch.zeros_like(states[0])
        for t in range(len(states) - 1, -1, -1):
            d_state.add_(grad[t])
            grad_inputs[t].view(*d_state.shape[:-1], 3, size).mul_(d_state.unsqueeze(-2))
            grad_products[t] = grad_inputs[t]
            grad_products[t, ..., 2 * size :].mul_(reset[t])
            d_state.mul_(update[t]).baddbmm_(grad_products[t], weight)
        return grad_inputs, grad_products


class _LSTMCell(_Cell):
    """i, f, o = sigmoid(x + h W); g = tanh(x_g + (h W)_g); c' = f * c + i * g; h' = o * tanh(c')."""

    def run(self, inputs: Tensor, weight: Tensor) -> tuple[Tensor, ...]:
        size = inputs.shape[-1] // 4
        gates = torch.empty_like(inputs)
        states, cells = (torch.empty_like(inputs[..., :size]) for _ in range(2))
        state = cell = torch.zeros_like(states[0])
        for t in range(len(inputs)):
            torch.baddbmm(inputs[t], state, weight, out=gates[t])
            gates[t, ..., : 3 * size].sigmoid_()
            gates[t, ..., 3 * size :].tanh_()
            input_gate, forget, output_gate, new = gates[t].chunk(4, dim=-1)
            cell = torch.mul(input_gate, new, out=cells[t]).addcmul_(forget, cell)
            state = torch.mul(output_gate, cell.tanh(), out=states[t])
        return states, gates, cells

    def run_back(self, grad: Tensor, weight: Tensor, states: Tensor, *saved: Tensor) -> tuple[Tensor, Tensor]:
        gates, cells = saved
        size = states.shape[-1]
        input_gate, forget, output_gate, new = gates.chunk(4, dim=-1)
        squashed = cells.tanh()
        # As in the GRU: first the derivatives within each step, for all steps at once.
        grad_inputs = torch.empty_like(gates)
        d_input, d_forget, d_output, d_new = grad_inputs.chunk(4, dim=-1)
        _sigmoid_backward(new, input_gate, grad_input=d_input)
        _sigmoid_backward(_states_before(cells), forget, grad_input=d_forget)
        _sigmoid_backward(squashed, output_gate, grad_input=d_output)
        _tanh_backward(input_gate, new, grad_input=d_new)
        cell_by_state = torch.empty_like(states)
        _tanh_backward(output_gate, squashed, grad_input=cell_by_state)
        d_state = torch.zeros_like(states[0])
        d_cell = torch.zeros_like(d_state)
        for t in range(len(states) - 1, -1, -1):
            d_state.add_(grad[t])
            d_cell.addcmul_(d_state, cell_by_state[t])
            d_output[t].mul_(d_state)
            grad_inputs[t, ..., : 2 * size].view(*d_cell.shape[:-1], 2, size).mul_(d_cell.unsqueeze(-2))
            d_new[t].mul_(d_cell)
            d_cell.mul_(forget[t])
            d_state = torch.bmm(grad_inputs[t], weight)
        return grad_inputs, grad_inputs


def orthogonal_like(weight: Tensor) -> Tensor:
    """Returns a fresh recurrent matrix like `weight` `(G * H, H)`, with an orthogonal block per gate."""
    rows, columns = weight.shape
    blocks = [torch.empty(columns, columns, device=weight.device) for _ in range(rows // columns)]
    return torch.cat([nn.init.orthogonal_(block) for block in blocks]).to(weight.dtype)


_CELLS: dict[str, type[_Cell]] = {"gru": _GRUCell, "lstm": _LSTMCell}


def _states_before(states: Tensor) -> Tensor:
    """Returns each step's previous state: `(T, D, B, H)`, zero first."""
    return torch.cat([torch.zeros_like(states[:1]), states[:-1]])
