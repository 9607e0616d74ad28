"""The speech models written out frame by frame in plain tensor operations, and CTC summed over every path."""

import itertools
import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from hf_dsd.models import DeepSpeech2ForCTC, DeepSpeechForCTC

Cell = Callable[[Tensor, Tensor], list[Tensor]]


def vanilla_states(inputs: Tensor, weight: Tensor, clip: float = 20.0) -> list[Tensor]:
    """The states of a clipped rectifier recurrence over `(T, H)` inputs of one row."""
    h, states = torch.zeros(weight.shape[1]), []
    for x in inputs:
        h = torch.minimum(torch.relu(x + weight @ h), torch.tensor(clip))
        states.append(h)
    return states


def gru_states(inputs: Tensor, weight: Tensor) -> list[Tensor]:
    """The states of a GRU without biases over `(T, 3 * H)` projected inputs of one row."""
    h, states = torch.zeros(weight.shape[1]), []
    for x in inputs:
        (xr, xz, xn), (hr, hz, hn) = x.chunk(3), (weight @ h).chunk(3)
        z = torch.sigmoid(xz + hz)
        h = (1 - z) * torch.tanh(xn + torch.sigmoid(xr + hr) * hn) + z * h
        states.append(h)
    return states


def lstm_states(inputs: Tensor, weight: Tensor) -> list[Tensor]:
    """The states of an LSTM without biases over `(T, 4 * H)` projected inputs of one row."""
    h = c = torch.zeros(weight.shape[1])
    states = []
    for x in inputs:
        i, f, o, g = (x + weight @ h).chunk(4)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        states.append(h)
    return states


CELLS: dict[str, Cell] = {"rnn": vanilla_states, "gru": gru_states, "lstm": lstm_states}


def both_directions(cell: Cell, inputs: Tensor, weight: Tensor, weight_reverse: Tensor) -> Tensor:
    """The sum `(T, H)` of the states forwards and backwards in time."""
    forward, backward = cell(inputs, weight), cell(inputs.flip(0), weight_reverse)
    return torch.stack([f + b for f, b in zip(forward, reversed(backward), strict=True)])


def score_deepspeech(model: DeepSpeechForCTC, features: Tensor) -> Tensor:
    """The logits `(T', V)` of one utterance `(T, F)`: the first layer is a dense layer on each window."""
    config, side = model.config, model.config.context_frames
    clip = lambda x: x.clamp(0, config.relu_clip)  # noqa: E731
    padded = F.pad(features, (0, 0, side, side))
    dense = model.context.weight.transpose(1, 2).flatten(1)  # (H, frames * F)
    starts = range(0, len(features), config.context_stride)
    x = clip(torch.stack([dense @ padded[t : t + 2 * side + 1].flatten() + model.context.bias for t in starts]))
    for layer in model.dense:
        x = clip(x @ layer.weight.t() + layer.bias)
    projection, recurrence = model.recurrent.input_projection, model.recurrent.recurrence
    x = x @ projection.weight.t() + projection.bias
    cell = lambda x, w: vanilla_states(x, w, config.relu_clip)  # noqa: E731
    x = both_directions(cell, x, recurrence.weight_hh, recurrence.weight_hh_reverse)
    x = clip(x @ model.output_dense.weight.t() + model.output_dense.bias)
    return x @ model.ctc_head.weight.t() + model.ctc_head.bias


def normalize(norm: torch.nn.Module, x: Tensor) -> Tensor:
    """Batch norm of `(T, size)` by the running statistics."""
    return (x - norm.running_mean) / (norm.running_var + norm.eps).sqrt() * norm.weight + norm.bias


def score_deepspeech2(model: DeepSpeech2ForCTC, features: Tensor) -> Tensor:
    """The logits `(T', V)` of one utterance `(T, F)` by the shared input projection and the running statistics."""
    x = features.t()[None, None]  # (1, 1, F, T)
    for block in model.convolutions:
        kernel = block.convolution.weight
        padding = (kernel.shape[2] // 2, kernel.shape[3] // 2)
        y = F.conv2d(x, kernel, stride=block.convolution.stride, padding=padding)
        y = normalize(block.norm, y[0].flatten(0, 1).t()).clamp(0, model.config.relu_clip)  # (T', C * F')
        x = y.t().unflatten(0, (kernel.shape[0], -1))[None]
    x = x[0].flatten(0, 1).t()
    for layer in model.recurrent:
        x = normalize(layer.norm, x @ layer.input_projection.weight.t())
        cell = CELLS[model.config.rnn_type]
        if cell is vanilla_states:
            cell = lambda x, w: vanilla_states(x, w, model.config.relu_clip)  # noqa: E731
        x = both_directions(cell, x, layer.recurrence.weight_hh, layer.recurrence.weight_hh_reverse)
    x = normalize(model.dense_norm, x @ model.dense.weight.t()).clamp(0, model.config.relu_clip)
    return x @ model.ctc_head.weight.t() + model.ctc_head.bias


def spell(path: tuple[int, ...], blank: int = 0) -> tuple[int, ...]:
    """What a path of one symbol per frame spells."""
    return tuple(symbol for symbol, _ in itertools.groupby(path) if symbol != blank)


def transcript_probabilities(log_probs: Tensor, blank: int = 0) -> dict[tuple[int, ...], float]:
    """Every transcript with its probability, the sum over all of its paths through `(T, V)`."""
    sums: dict[tuple[int, ...], float] = {}
    rows = log_probs.tolist()
    for path in itertools.product(range(log_probs.shape[1]), repeat=len(rows)):
        probability = math.exp(sum(row[symbol] for row, symbol in zip(rows, path, strict=True)))
        sums[spell(path, blank)] = sums.get(spell(path, blank), 0.0) + probability
    return sums
