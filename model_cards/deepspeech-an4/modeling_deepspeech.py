"""DeepSpeech (Hannun et al., 2014) at the size that the DSD paper trains, and what DeepSpeech 2 shares with it.

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
from transformers.modeling_outputs import BaseModelOutput, CausalLMOutput
from transformers.processing_utils import Unpack
from transformers.utils import TransformersKwargs, can_return_tuple

from .configuration_deepspeech import DeepSpeechConfig
from .ctc_loss import compute_ctc_loss
from .frames import Frames, blank_padding, read_frames
from .recurrence import BidirectionalRecurrence, orthogonal_like

States = list[Tensor] | None


def keep_state(states: States, hidden: Tensor) -> None:
    """Appends a layer's output to the states, if they are wanted; otherwise its memory may go."""
    if states is not None:
        states.append(hidden)


class DeepSpeechPreTrainedModel(PreTrainedModel):
    """What both speech models share: how inputs are read, how weights start, what comes out.

    A subclass builds its layers, and runs them in `_encode`.
    """

    config: DeepSpeechConfig
    base_model_prefix = ""  # the CTC head stands beside the body's layers, so saved names have no prefix
    main_input_name = "input_features"
    input_modalities = ("audio",)
    supports_gradient_checkpointing = True
    accepts_loss_kwargs = True

    @can_return_tuple
    def forward(
        self,
        input_features: Tensor,
        attention_mask: Tensor | None = None,
        input_lengths: Sequence[int] | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> BaseModelOutput:
        """Encodes speech; the inputs are those of `DeepSpeechForCTC`.

        Returns:
            `last_hidden_state` `(B, T', H)` and, if asked for, `hidden_states`: the input of the first dense or
            recurrent layer, and the output of each. Values on padding mean nothing.
        """
        hidden, _, states = self._read_and_encode(input_features, attention_mask, input_lengths, kwargs)
        return BaseModelOutput(last_hidden_state=hidden.transpose(0, 1), hidden_states=states)

    def _read_and_encode(
        self, input_features: Tensor, attention_mask: Tensor | None, input_lengths: Sequence[int] | None, options: Any
    ) -> tuple[Tensor, Frames, tuple[Tensor, ...] | None]:
        """Returns the encoded speech `(T', B, H)`, its valid frames and, if asked for, the states `(B, T', H)`."""
        frames = read_frames(input_features, attention_mask, self.config.feature_size, input_lengths)
        features = input_features.to(self.dtype).transpose(0, 1).masked_fill(~frames.mask, 0)  # (T, B, F)
        wants_states = options.get("output_hidden_states") or self.config.output_hidden_states
        states: States = [] if wants_states else None
        hidden, frames = self._encode(features, frames, states)
        return hidden, frames, None if states is None else tuple(state.transpose(0, 1) for state in states)

    def _encode(self, features: Tensor, frames: Frames, states: States) -> tuple[Tensor, Frames]:
        """Turns `(T, B, F)`, zero on padding, and its frames into `(T', B, H)` and theirs; appends to `states`."""
        raise NotImplementedError

    def _add_head(self) -> None:
        """Adds what a model with a head has beyond the body, so that `post_init` starts all weights in one pass."""

    def _rectify(self, hidden: Tensor) -> Tensor:
        rectified: Tensor = self.dropout(F.hardtanh(hidden, 0.0, self.config.relu_clip))
        return rectified

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Starts every layer so that neither signals nor gradients grow or vanish with depth or time.

        Layers before a rectifier get Kaiming's scale. Recurrent matrices start orthogonal, block by block for gates:
        with a rectifier of slope at most 1 no product of Jacobians over time can exceed norm 1, however long the
        utterance. (On eight AN4 utterances at width 128 DeepSpeech's first gradient is 16 times larger from Kaiming's
        scale, and 43 times from an identity, which adds up its inputs.)
        """
        if isinstance(module, BidirectionalRecurrence | nn.RNNBase):
            for name, parameter in module.named_parameters():
                if "weight_hh" in name:
                    init.copy_(parameter, orthogonal_like(parameter))
                else:
                    init.xavier_uniform_(parameter)
        elif isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d):
            if module is getattr(self, "ctc_head", None):
                init.xavier_uniform_(module.weight)
            else:
                init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                init.zeros_(module.bias)
        else:
            super()._init_weights(module)


class DeepSpeechCTCMixin(DeepSpeechPreTrainedModel):
    """The CTC head of both speech models; it goes before the body among a model's base classes."""

    def _add_head(self) -> None:
        self.ctc_head = nn.Linear(self.config.hidden_size, self.config.vocab_size)

    @can_return_tuple
    def forward(
        self,
        input_features: Tensor,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        input_lengths: Sequence[int] | None = None,
        targets: Sequence[Sequence[int]] | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> CausalLMOutput:
        """Scores every output frame.

        Args:
            input_features: `(B, T, F)` normalised log spectrogram, any float type.
            attention_mask: `(B, T)` int64 or bool, nonzero on the valid frames, which come first; None means all.
            labels: `(B, S)` int64 symbol ids without blanks, then -100 as padding.
            input_lengths: Valid frames of each row, as `SpeechCollator` counts them: with them and `targets` nothing
                here waits for an accelerator, which also means that the mask is not checked there.
            targets: The labels as Python lists without padding; read only with `labels`.
            **kwargs: `output_hidden_states`, `return_dict`, and `num_items_in_batch`: the divisor of the summed loss
                under `ctc_loss_reduction="mean"`, which is the target symbols of all micro-batches of one optimizer
                step; without it, this batch's. What else transformers passes to every model is ignored.

        Returns:
            Logits `(B, T', V)`, the blank on padding, the loss given labels, and `hidden_states` if asked for.

        Raises:
            ValueError: If shapes do not fit, the mask has no valid frame in a row or padding before the end, or a
                transcript cannot be aligned with its frames (see `compute_ctc_loss`).
        """
        hidden, frames, states = self._read_and_encode(input_features, attention_mask, input_lengths, kwargs)
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
                num_items_in_batch=kwargs.get("num_items_in_batch"),
                targets=targets,
            )
        return CausalLMOutput(loss=loss, logits=logits.transpose(0, 1), hidden_states=states)  # (B, T', V)


class DeepSpeechRecurrentLayer(nn.Module):
    """One vanilla recurrent layer in both directions: a shared input projection with its bias, a matrix for each."""

    def __init__(self, config: DeepSpeechConfig) -> None:
        super().__init__()
        self.input_projection = nn.Linear(config.hidden_size, config.hidden_size)
        self.recurrence = BidirectionalRecurrence("rnn", config.hidden_size, config.relu_clip)

    def forward(self, hidden: Tensor, frames: Frames) -> Tensor:
        """Returns the sum of both directions' states, `(T', B, H)` for inputs of that shape."""
        projected: Tensor = self.recurrence(self.input_projection(hidden).masked_fill(~frames.mask, 0))
        return projected


class DeepSpeechModel(DeepSpeechPreTrainedModel):
    """DeepSpeech without its CTC head: speech in, a vector of H for every output frame."""

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
        self._add_head()
        self.dropout = nn.Dropout(config.hidden_dropout)
        self.post_init()

    def _encode(self, features: Tensor, frames: Frames, states: States) -> tuple[Tensor, Frames]:
        frames = frames.stride(self.config.context_stride)
        hidden = self._rectify(self.context(features.permute(1, 2, 0)).permute(2, 0, 1))  # (B, H, T') -> (T', B, H)
        keep_state(states, hidden)
        for layer in self.dense:
            hidden = self._rectify(layer(hidden))
            keep_state(states, hidden)
        hidden = self.recurrent(hidden, frames)
        keep_state(states, hidden)
        hidden = self._rectify(self.output_dense(hidden))
        keep_state(states, hidden)
        return hidden, frames

    def _get_feat_extract_output_lengths(self, input_lengths: Any) -> Any:
        """Turns input frames into output frames, as an int or an integer tensor."""
        return (input_lengths - 1) // self.config.context_stride + 1


class DeepSpeechForCTC(DeepSpeechCTCMixin, DeepSpeechModel):
    """Scores 29 symbols at every frame of a spectrogram; trained and decoded with CTC.

    Feed it `input_features` and `attention_mask` as `DeepSpeechFeatureExtractor` makes them, and `labels` to train.
    Padding changes nothing: each row equals the row by itself, and padded frames score the blank.

    The recurrence is DeepSpeech's own, min(max(x, 0), 20) inside the loop over time; torch's `nn.RNN` has no clipped
    rectifier and no shared projection. What that costs is measured in tests/benchmarks/bench_deepspeech.py.
    """

    config: DeepSpeechConfig
    # What the DSD paper leaves dense here; regexes searched in parameter names.
    dsd_dense_modules: tuple[str, ...] = (r"(^|\.)context\.", r"(^|\.)ctc_head\.")
