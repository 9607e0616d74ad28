"""DeepSpeech 2 (Amodei et al., 2016) at the size that the DSD paper trains.

Shape legend: B batch, T input frames, T' output frames, F frequency bins, C channels, F' bins after a convolution, H
hidden width, G gates per recurrent unit, V symbols.

    input_features (B, T, F) -> 2 x [convolution, batch norm, clipped rectifier] -> (T', B, C * F')
        -> 7 x [input projection, batch norm, recurrence in both directions, added] -> (T', B, H)
        -> dense, batch norm, clipped rectifier -> CTC head (B, T', V)

There is no bias before a batch norm: its shift is one. Padding is exactly zero from layer to layer.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.modeling_outputs import CausalLMOutput

from .configuration_deepspeech2 import DeepSpeech2Config
from .ctc_loss import compute_ctc_loss
from .frames import Frames, blank_padding, read_frames
from .recurrence import GATES, BidirectionalRecurrence, orthogonal_like


class SequenceBatchNorm(nn.Module):
    """Batch norm over all valid frames of all rows ("sequence-wise", Amodei et al., section 3.2); padding becomes zero.

    Args:
        size: Number of features, > 0.
        config: The running statistics' momentum and the variance's epsilon.
        opens_forget_gates: True starts the shift at 1 for the second quarter of the features, an LSTM's forget gates.
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

    def fresh_shift(self) -> Tensor:
        """Returns the shift to start from, `(size,)`."""
        shift = torch.zeros_like(self.bias)
        if self.opens_forget_gates:
            shift.chunk(4)[1].fill_(1)
        return shift

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
    """A 2-D convolution, batch norm over time for every channel and bin, and a clipped rectifier.

    Args:
        config: Kernels, strides, the rectifier's bound and the batch norm's options.
        layer: Which of the configured convolutions this is, from 0.
        channels: Input channels, > 0.
        bins: Input frequency bins, > 0.
    """

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

    With `config.shared_input_projection` one input matrix serves both directions and the batch norm sits on its
    output. Otherwise the layer is torch's own bidirectional module behind a batch norm of the layer's input.

    Args:
        config: Sizes, kind of unit and options.
        input_size: Width of the inputs, > 0.
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
            kinds: dict[str, Any] = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}
            options = {"nonlinearity": "relu"} if config.rnn_type == "rnn" else {}
            # Without biases the zeros on padding keep the state at zero until the backward direction meets a row's
            # last valid frame; torch would need packed sequences for that otherwise.
            self.recurrence = kinds[config.rnn_type](input_size, size, bias=False, bidirectional=True, **options)

    def forward(self, hidden: Tensor, frames: Frames, index: Tensor | None) -> Tensor:
        """Returns the sum of both directions' states, `(T', B, H)`; values on padding mean nothing."""
        summed: Tensor
        if self.shares_projection:
            summed = self.recurrence(self.norm(self.input_projection(hidden), frames, index))
        else:
            states, _ = self.recurrence(self.norm(hidden, frames, index))  # (T', B, 2 * H)
            summed = sum(states.chunk(2, dim=-1))
        return summed


class DeepSpeech2ForCTC(PreTrainedModel):
    """Scores 29 symbols at every other frame of a spectrogram; trained and decoded with CTC.

    Feed it `input_features` and `attention_mask` as `DeepSpeechFeatureExtractor` makes them, and `labels` to train.
    Padding changes nothing: batch norm takes its statistics from valid frames only, each row of the output equals the
    row by itself (in evaluation mode; in training, rows meet in the statistics), and padded frames score the blank.

    `DeepSpeech2Config()` has 67,696,733 parameters. Every layer equals the DSD paper's table (67,740,718) but the CTC
    head: the table's 95,054 has no clean factorisation; 29 symbols make 1760 * 29 + 29 = 51,069.

    Args:
        config: Sizes, kind of recurrent unit, dropout and CTC options.
    """

    config_class = DeepSpeech2Config
    base_model_prefix = ""
    main_input_name = "input_features"
    input_modalities = ("audio",)
    supports_gradient_checkpointing = False
    accepts_loss_kwargs = True
    # What the DSD paper leaves dense here; regexes searched in parameter names.
    dsd_dense_modules: tuple[str, ...] = (r"(^|\.)convolutions\.", r"(^|\.)ctc_head\.")

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
        self.ctc_head = nn.Linear(size, config.vocab_size)
        self.dropout = nn.Dropout(config.hidden_dropout)
        self.post_init()

    def forward(
        self,
        input_features: Tensor,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        return_dict: bool | None = None,
        num_items_in_batch: Tensor | int | None = None,
    ) -> CausalLMOutput | tuple[Any, ...]:
        """Scores every output frame.

        Args:
            input_features: `(B, T, F)` normalised log spectrogram, any float type.
            attention_mask: `(B, T)` int64 or bool, nonzero on the valid frames, which come first; None means all.
            labels: `(B, S)` int64 symbol ids without blanks, then -100 as padding.
            return_dict: False returns a tuple.
            num_items_in_batch: Divisor of the summed loss under `ctc_loss_reduction="mean"`: the target symbols of all
                micro-batches of one optimizer step. None takes this batch's.

        Returns:
            Logits `(B, T', V)`, the blank on padding, and the loss given labels; T' = ceil(T / config.time_stride).

        Raises:
            ValueError: If shapes do not fit, the mask has no valid frame in a row or padding before the end, or a
                transcript cannot be aligned with its frames (see `compute_ctc_loss`).
        """
        frames = read_frames(input_features, attention_mask, self.config.feature_size)
        features = input_features.to(self.dense.weight.dtype).transpose(0, 1)  # (T, B, F)
        hidden = features.masked_fill(~frames.mask, 0)
        for convolution in self.convolutions:
            hidden, frames = convolution(hidden, frames)
        index = frames.index() if self.training else None
        for layer in self.recurrent:
            hidden = self.dropout(layer(hidden, frames, index))
        hidden = self.dense_norm(self.dense(hidden), frames, index)
        hidden = self.dropout(F.hardtanh(hidden, 0.0, self.config.relu_clip))
        logits = blank_padding(self.ctc_head(hidden), frames, self.config.pad_token_id)  # (T', B, V)
        loss = None
        if labels is not None:
            loss = compute_ctc_loss(
                logits,
                frames.lengths,
                labels,
                blank_id=self.config.pad_token_id,
                reduction=self.config.ctc_loss_reduction,
                zero_infinity=self.config.ctc_zero_infinity,
                num_items_in_batch=num_items_in_batch,
            )
        output = CausalLMOutput(loss=loss, logits=logits.transpose(0, 1))  # (B, T', V)
        as_dict = self.config.return_dict if return_dict is None else return_dict
        return output if as_dict else output.to_tuple()

    def _get_feat_extract_output_lengths(self, input_lengths: Any) -> Any:
        """Turns input frames into output frames, as an int or an integer tensor."""
        for convolution in self.convolutions:
            input_lengths = (input_lengths - 1) // convolution.time_stride + 1
        return input_lengths

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Starts every layer so that neither signals nor gradients grow or vanish with depth or time.

        Batch norms fix the scale of what they follow. Recurrent matrices start orthogonal, block by block for gates:
        with a rectifier of slope at most 1 no product of Jacobians over time can exceed norm 1, however long the
        utterance. An LSTM's forget gates start open, by the batch norm's shift; torch's own modules have no bias here
        that could do it.
        """
        if isinstance(module, BidirectionalRecurrence | nn.RNNBase):
            for name, parameter in module.named_parameters():
                if "weight_hh" in name:
                    init.copy_(parameter, orthogonal_like(parameter))
                else:
                    init.xavier_uniform_(parameter)
        elif isinstance(module, SequenceBatchNorm):
            init.ones_(module.weight)
            init.copy_(module.bias, module.fresh_shift())
            init.zeros_(module.running_mean)
            init.ones_(module.running_var)
        elif module is self.ctc_head:
            init.xavier_uniform_(module.weight)
            init.zeros_(module.bias)
        elif isinstance(module, nn.Linear | nn.Conv2d):
            init.kaiming_normal_(module.weight, nonlinearity="relu")


__all__: Sequence[str] = ["DeepSpeech2ForCTC"]
