"""DeepSpeech 2 (Amodei et al., 2016) at the size that the DSD paper trains.

Shape legend: B batch, T input frames, T' output frames, F frequency bins, C channels, F' bins after a convolution, H
hidden width, G gates per recurrent unit, V symbols.

    input_features (B, T, F) -> 2 x [convolution, batch norm, clipped rectifier] -> (T', B, C * F')
        -> 7 x [input projection, batch norm, recurrence in both directions, added] -> (T', B, H)
        -> dense, batch norm, clipped rectifier -> CTC head (B, T', V)

There is no bias before a batch norm: its shift is one. Padding is exactly zero from layer to layer.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import initialization as init
from transformers.modeling_layers import GradientCheckpointingLayer

from .configuration_deepspeech2 import DeepSpeech2Config
from .frames import Frames
from .modeling_deepspeech import DeepSpeechCTCMixin, DeepSpeechPreTrainedModel, States, keep_state
from .recurrence import GATES, BidirectionalRecurrence


class FusedRNN(GradientCheckpointingLayer, nn.RNN):
    """torch's own, whose intermediate values a Trainer with `gradient_checkpointing` computes a second time."""


class FusedGRU(GradientCheckpointingLayer, nn.GRU):
    """As `FusedRNN`."""


class FusedLSTM(GradientCheckpointingLayer, nn.LSTM):
    """As `FusedRNN`."""


FUSED: dict[str, Any] = {"rnn": FusedRNN, "gru": FusedGRU, "lstm": FusedLSTM}


class SequenceBatchNorm(nn.Module):
    """Batch norm over all valid frames of all rows ("sequence-wise", Amodei et al., section 3.2); padding becomes zero.

    With `opens_forget_gates` the shift starts at 1 for the second quarter of the features, an LSTM's forget gates.
    """

    def __init__(self, size: int, config: DeepSpeech2Config, opens_forget_gates: bool = False) -> None:
        super().__init__()
        self.opens_forget_gates = opens_forget_gates
        self.momentum = config.batch_norm_momentum
        self.eps = config.batch_norm_eps
        self.weight = nn.Parameter(torch.ones(size))
        self.bias = nn.Parameter(torch.zeros(size))
        self.register_buffer("running_mean", torch.zeros(size))
        self.register_buffer("running_var", torch.ones(size))

    def forward(self, hidden: Tensor, frames: Frames, index: Tensor | None) -> Tensor:
        """Normalises `(T, B, size)`; `index` is `frames.index()`, needed in training mode only."""
        rows = hidden.flatten(0, 1)  # (T * B, size)
        if self.training and index is not None:
            valid = self._normalize(rows.index_select(0, index))
            return valid.new_zeros(rows.shape).index_copy(0, index, valid).view_as(hidden)
        return self._normalize(rows).view_as(hidden).masked_fill(~frames.mask, 0)

    def _normalize(self, rows: Tensor) -> Tensor:
        return F.batch_norm(
            rows,
            self.get_buffer("running_mean"),
            self.get_buffer("running_var"),
            self.weight,
            self.bias,
            self.training,
            self.momentum,
            self.eps,
        )


class DeepSpeech2Convolution(nn.Module):
    """One of the configured 2-D convolutions, a batch norm for every channel and bin, and a clipped rectifier."""

    def __init__(self, config: DeepSpeech2Config, layer: int, channels: int, bins: int) -> None:
        super().__init__()
        kernel, stride = config.conv_kernel_sizes[layer], config.conv_strides[layer]
        self.channels = config.conv_channels[layer]
        self.bins = (bins - 1) // stride[0] + 1
        self.time_stride = stride[1]
        self.relu_clip = config.relu_clip
        self.convolution = nn.Conv2d(
            channels, self.channels, kernel, stride, padding=(kernel[0] // 2, kernel[1] // 2), bias=False
        )
        self.norm = SequenceBatchNorm(self.channels * self.bins, config)

    def forward(self, hidden: Tensor, frames: Frames) -> tuple[Tensor, Frames]:
        """Turns `(T, B, C * F)` and its frames into `(T', B, C' * F')` and theirs."""
        image = hidden.reshape(*hidden.shape[:2], self.convolution.in_channels, -1)  # (T, B, C, F)
        image = self.convolution(image.permute(1, 2, 3, 0).contiguous())  # (B, C', F', T')
        frames = frames.stride(self.time_stride)
        hidden = image.permute(3, 0, 1, 2).flatten(2)  # (T', B, C' * F')
        index = frames.index() if self.training else None
        return F.hardtanh(self.norm(hidden, frames, index), 0.0, self.relu_clip), frames


class DeepSpeech2RecurrentLayer(nn.Module):
    """A recurrent layer in both directions, added, with the input matrix and the batch norm that the paper gives it.

    With `config.shared_input_projection` one input matrix serves both directions and the batch norm sits on its output.
    Otherwise the layer is torch's own bidirectional module behind a batch norm of the layer's input.
    """

    def __init__(self, config: DeepSpeech2Config, input_size: int) -> None:
        super().__init__()
        size = config.hidden_size
        self.shares_projection = config.shared_input_projection
        self.recurrence: nn.Module
        if self.shares_projection:
            width = GATES[config.rnn_type] * size
            self.input_projection = nn.Linear(input_size, width, bias=False)
            self.norm = SequenceBatchNorm(width, config, opens_forget_gates=config.rnn_type == "lstm")
            self.recurrence = BidirectionalRecurrence(config.rnn_type, size, config.relu_clip)
        else:
            self.norm = SequenceBatchNorm(input_size, config)
            options = {"nonlinearity": "relu"} if config.rnn_type == "rnn" else {}
            # Without biases the zeros on padding keep the state at zero until the backward direction meets a row's
            # last valid frame; torch would need packed sequences for that otherwise.
            self.recurrence = FUSED[config.rnn_type](input_size, size, bias=False, bidirectional=True, **options)

    def forward(self, hidden: Tensor, frames: Frames, index: Tensor | None) -> Tensor:
        """Returns the sum of both directions' states, `(T', B, H)`; values on padding mean nothing."""
        summed: Tensor
        if self.shares_projection:
            summed = self.recurrence(self.norm(self.input_projection(hidden), frames, index))
        else:
            states, _ = self.recurrence(self.norm(hidden, frames, index))  # (T', B, 2 * H)
            summed = sum(states.chunk(2, dim=-1))
        return summed


class DeepSpeech2PreTrainedModel(DeepSpeechPreTrainedModel):
    """DeepSpeech's, with the configuration of DeepSpeech 2 and the start of its batch norms."""

    config: DeepSpeech2Config

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Starts batch norms at the identity, but for an LSTM's forget gates, which start open by the norm's shift.

        torch's own modules have no bias here that could do it.
        """
        if isinstance(module, SequenceBatchNorm):
            init.ones_(module.weight)
            shift = torch.zeros_like(module.bias)
            if module.opens_forget_gates:
                shift.chunk(4)[1].fill_(1)
            init.copy_(module.bias, shift)
            init.zeros_(module.running_mean)
            init.ones_(module.running_var)
        else:
            super()._init_weights(module)


class DeepSpeech2Model(DeepSpeech2PreTrainedModel):
    """DeepSpeech 2 without its CTC head: speech in, a vector of H for every output frame."""

    def __init__(self, config: DeepSpeech2Config) -> None:
        super().__init__(config)
        channels, bins = 1, config.feature_size
        self.convolutions = nn.ModuleList()
        for layer in range(len(config.conv_channels)):
            convolution = DeepSpeech2Convolution(config, layer, channels, bins)
            self.convolutions.append(convolution)
            channels, bins = convolution.channels, convolution.bins
        size = config.hidden_size
        input_sizes = [channels * bins] + [size] * (config.num_hidden_layers - 1)
        self.recurrent = nn.ModuleList(DeepSpeech2RecurrentLayer(config, width) for width in input_sizes)
        self.dense = nn.Linear(size, size, bias=False)
        self.dense_norm = SequenceBatchNorm(size, config)
        self._add_head()
        self.dropout = nn.Dropout(config.hidden_dropout)
        self.post_init()

    def _encode(self, features: Tensor, frames: Frames, states: States) -> tuple[Tensor, Frames]:
        hidden = features
        for convolution in self.convolutions:
            hidden, frames = convolution(hidden, frames)
        keep_state(states, hidden)
        index = frames.index() if self.training else None
        for layer in self.recurrent:
            hidden = self.dropout(layer(hidden, frames, index))
            keep_state(states, hidden)
        hidden = self._rectify(self.dense_norm(self.dense(hidden), frames, index))
        keep_state(states, hidden)
        return hidden, frames

    def _get_feat_extract_output_lengths(self, input_lengths: Any) -> Any:
        """Turns input frames into output frames, as an int or an integer tensor."""
        for convolution in self.convolutions:
            input_lengths = (input_lengths - 1) // convolution.time_stride + 1
        return input_lengths


class DeepSpeech2ForCTC(DeepSpeechCTCMixin, DeepSpeech2Model):
    """Scores 29 symbols at every other frame of a spectrogram; trained and decoded with CTC.

    Feed it what `DeepSpeechForCTC` takes. Padding changes nothing: batch norm takes its statistics from valid frames
    only, each row of the output equals the row by itself (in evaluation mode; in training, rows meet in the
    statistics), and padded frames score the blank.

    `DeepSpeech2Config()` has 67,696,733 parameters. Every layer equals the DSD paper's table (67,740,718) but the CTC
    head: the table's 95,054 has no clean factorisation; 29 symbols make 1760 * 29 + 29 = 51,069.
    """

    config: DeepSpeech2Config
    # What the DSD paper leaves dense here; regexes searched in parameter names.
    dsd_dense_modules: tuple[str, ...] = (r"(^|\.)convolutions\.", r"(^|\.)ctc_head\.")
