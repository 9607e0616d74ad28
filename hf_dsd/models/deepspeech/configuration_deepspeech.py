# ruff: noqa: E402, I001 (an older transformers is named before what it lacks is imported: this file travels alone)
"""DeepSpeech's configuration: sizes, dropout, CTC options, each checked when the object is made."""

from typing import Any

from transformers.utils.versions import require_version

require_version("transformers>=5.20", "DeepSpeech needs it: pip install -U 'transformers>=5.20,<6'")

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig


@strict
class DeepSpeechConfig(PreTrainedConfig):
    """Describes a :class:`DeepSpeechForCTC`.

    The defaults are the size in the DSD paper's table: 8,139,805 parameters.

    Args:
        vocab_size: Number of symbols, blank included, >= 2. Set it to `len(tokenizer)`.
        feature_size: Frequency bins of one spectrogram frame, > 0.
        context_frames: Frames the first layer sees on either side of its own, >= 0; 5 makes the window of 11.
        context_stride: Input frames per step of everything after the first layer, >= 1. 2 halves the cost, as Hannun
            et al. do (section 3.3); the parameters stay the same.
        hidden_size: Width of every layer, > 0.
        num_dense_layers: Dense layers between the context window and the recurrent layer, >= 0.
        relu_clip: Upper bound of every rectifier, > 0.
        hidden_dropout: Dropout probability after every dense layer but not inside the recurrence, in [0, 1). Hannun et
            al. use 0.05 to 0.1; the DSD paper names none.
        pad_token_id: Id of the CTC blank, in [0, vocab_size).
        ctc_loss_reduction: "mean" divides the summed negative log-likelihood by the number of target symbols (nats per
            symbol), "sum" leaves it.
        ctc_zero_infinity: True gives utterances too short for their transcript a loss of 0 instead of raising.
        samples_per_frame: Audio samples per input frame, > 0: the feature extractor's `hop_length`. Only the speech
            recognition pipeline reads it, for chunks and timestamps.
        **kwargs: Fields common to every `PreTrainedConfig`.

    Raises:
        ValueError: If a size is out of range, a dropout lies outside [0, 1), the blank outside the vocabulary, or
            `ctc_loss_reduction` is neither "mean" nor "sum".

    References:
        Hannun et al., *Deep Speech: Scaling up end-to-end speech recognition*, 2014, arXiv 1412.5567; the layer table
        is that of Han et al., *DSD*, ICLR 2017.
    """

    model_type = "deepspeech"

    vocab_size: int = 29
    feature_size: int = 161
    context_frames: int = 5
    context_stride: int = 1
    hidden_size: int = 1024
    num_dense_layers: int = 2
    relu_clip: float | int = 20.0
    hidden_dropout: float | int = 0.0
    pad_token_id: int = 0
    ctc_loss_reduction: str = "mean"
    ctc_zero_infinity: bool = False
    samples_per_frame: int = 160

    def __post_init__(self, **kwargs: Any) -> None:
        """Checks every field in order, then lets `PreTrainedConfig` read the common ones."""
        check_at_least("vocab_size", self.vocab_size, 2)
        for name in ("feature_size", "context_stride", "hidden_size", "samples_per_frame"):
            check_at_least(name, getattr(self, name), 1)
        for name in ("context_frames", "num_dense_layers"):
            check_at_least(name, getattr(self, name), 0)
        check_ctc_options(self)
        super().__post_init__(**kwargs)

    @property
    def inputs_to_logits_ratio(self) -> int:
        """Audio samples per output frame, as the speech recognition pipeline asks for it."""
        return self.samples_per_frame * self.context_stride


def check_at_least(name: str, value: int, least: int) -> None:
    """Raises a ValueError that names the field unless `value` >= `least`."""
    if value < least:
        raise ValueError(f"{name} must be >= {least}, got {value!r}; leave it out for the paper's own value")


def check_ctc_options(config: PreTrainedConfig) -> None:
    """Raises a ValueError that names the field if an option common to both speech models is out of range."""
    if not config.relu_clip > 0:
        raise ValueError(f"relu_clip must be > 0, got {config.relu_clip!r}; leave it out for the paper's own value")
    if not 0 <= config.hidden_dropout < 1:
        raise ValueError(f"hidden_dropout must be in [0, 1), got {config.hidden_dropout!r}; 0 switches dropout off")
    if not 0 <= config.pad_token_id < config.vocab_size:
        raise ValueError(
            f"pad_token_id must be in [0, vocab_size={config.vocab_size}), got {config.pad_token_id}; "
            "take it and len(tokenizer) from one tokenizer"
        )
    if config.ctc_loss_reduction not in ("mean", "sum"):
        raise ValueError(f"ctc_loss_reduction must be 'mean' or 'sum', got {config.ctc_loss_reduction!r}; use 'mean'")


__all__ = ["DeepSpeechConfig", "check_at_least", "check_ctc_options"]
