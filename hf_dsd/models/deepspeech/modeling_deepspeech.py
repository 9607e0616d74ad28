"""DeepSpeech (Hannun et al., 2014) at the size that the DSD paper trains.

Shape legend: B batch, T input frames, T' output frames, F frequency bins, H hidden width, V symbols.

    input_features (B, T, F) -> window of 11 frames -> H -> dense H -> dense H   clipped rectifiers throughout
        -> one recurrent layer, both directions on one input projection, added -> dense H -> CTC head (B, T', V)
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.modeling_outputs import CausalLMOutput

from .configuration_deepspeech import DeepSpeechConfig
from .ctc_loss import compute_ctc_loss
from .frames import Frames, blank_padding, read_frames
from .recurrence import BidirectionalRecurrence, orthogonal_like


class DeepSpeechRecurrentLayer(nn.Module):
    """One vanilla recurrent layer in both directions: a shared input projection with its bias, a matrix per direction.

    Args:
        config: Sizes and the rectifiers' bound.
    """

    def __init__(self, config: DeepSpeechConfig) -> None:
        super().__init__()
        self.input_projection = nn.Linear(config.hidden_size, config.hidden_size)
        self.recurrence = BidirectionalRecurrence("rnn", config.hidden_size, config.relu_clip)

    def forward(self, hidden: Tensor, frames: Frames) -> Tensor:
        """Returns the sum of both directions' states, `(T', B, H)` for inputs of that shape."""
        projected: Tensor = self.recurrence(self.input_projection(hidden).masked_fill(~frames.mask, 0))
        return projected


class DeepSpeechForCTC(PreTrainedModel):
    """Scores 29 symbols at every frame of a spectrogram; trained and decoded with CTC.

    Feed it `input_features` and `attention_mask` as `DeepSpeechFeatureExtractor` makes them, and `labels` to train.
    Padding changes nothing: each row equals the row by itself, and padded frames score the blank.

    The recurrence is DeepSpeech's own, min(max(x, 0), 20) inside the loop over time; torch's `nn.RNN` has no clipped
    rectifier and no shared projection. What that costs is measured in tests/benchmarks/bench_deepspeech.py.

    Args:
        config: Sizes, dropout and CTC options.
    """

    config_class = DeepSpeechConfig
    base_model_prefix = ""
    main_input_name = "input_features"
    input_modalities = ("audio",)
    supports_gradient_checkpointing = False
    accepts_loss_kwargs = True
    # What the DSD paper leaves dense here; regexes searched in parameter names.
    dsd_dense_modules: tuple[str, ...] = (r"(^|\.)context\.", r"(^|\.)ctc_head\.")

    def __init__(self, config: DeepSpeechConfig) -> None:
        super().__init__(config)
        size = config.hidden_size
        # A convolution over time is the dense layer on the window of frames, without storing every frame 11 times.
        self.context = nn.Conv1d(
            config.feature_size,
            size,
            kernel_size=2 * config.context_frames + 1,
            stride=config.context_stride,
            padding=config.context_frames,
        )
        self.dense = nn.ModuleList(nn.Linear(size, size) for _ in range(config.num_dense_layers))
        self.recurrent = DeepSpeechRecurrentLayer(config)
        self.output_dense = nn.Linear(size, size)
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
        """Scores every frame.

        Args:
            input_features: `(B, T, F)` normalised log spectrogram, any float type.
            attention_mask: `(B, T)` int64 or bool, nonzero on the valid frames, which come first; None means all.
            labels: `(B, S)` int64 symbol ids without blanks, then -100 as padding.
            return_dict: False returns a tuple.
            num_items_in_batch: Divisor of the summed loss under `ctc_loss_reduction="mean"`: the target symbols of all
                micro-batches of one optimizer step. None takes this batch's.

        Returns:
            Logits `(B, T', V)`, the blank on padding, and the loss given labels; T' = ceil(T / context_stride).

        Raises:
            ValueError: If shapes do not fit, the mask has no valid frame in a row or padding before the end, or a
                transcript cannot be aligned with its frames (see `compute_ctc_loss`).
        """
        frames = read_frames(input_features, attention_mask, self.config.feature_size)
        features = input_features.to(self.context.weight.dtype)
        features = features.masked_fill(~frames.mask.transpose(0, 1), 0)  # (B, T, F)
        frames = frames.stride(self.config.context_stride)
        hidden = self.context(features.transpose(1, 2)).permute(2, 0, 1)  # (B, H, T') -> (T', B, H)
        hidden = self._rectify(hidden)
        for layer in self.dense:
            hidden = self._rectify(layer(hidden))
        hidden = self.recurrent(hidden, frames)
        hidden = self._rectify(self.output_dense(hidden))
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

    def _rectify(self, hidden: Tensor) -> Tensor:
        rectified: Tensor = self.dropout(F.hardtanh(hidden, 0.0, self.config.relu_clip))
        return rectified

    def _get_feat_extract_output_lengths(self, input_lengths: Any) -> Any:
        """Turns input frames into output frames, as an int or an integer tensor."""
        return (input_lengths - 1) // self.config.context_stride + 1

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Starts every layer so that neither signals nor gradients grow or vanish with depth or time.

        Layers before a rectifier get Kaiming's scale. Recurrent matrices start orthogonal: with a rectifier of slope
        at most 1 no product of Jacobians over time can exceed norm 1, however long the utterance. (On eight AN4
        utterances at width 128 the first gradient is 16 times larger from Kaiming's scale, and 43 times from an
        identity, which adds up its inputs.)
        """
        if isinstance(module, BidirectionalRecurrence):
            for parameter in module.parameters():
                init.copy_(parameter, orthogonal_like(parameter))
        elif module is self.ctc_head:
            init.xavier_uniform_(module.weight)
            init.zeros_(module.bias)
        elif isinstance(module, nn.Linear | nn.Conv1d):
            init.kaiming_normal_(module.weight, nonlinearity="relu")
            init.zeros_(module.bias)


__all__: Sequence[str] = ["DeepSpeechForCTC"]
