# ruff: noqa: E402, I001 (an older transformers is named before what it lacks is imported: this file travels alone)
"""DeepSpeech's configuration: sizes, dropout, CTC options, each checked when the object is made."""

from typing import Any

from transformers.utils.versions import require_version

require_version("transformers>=5.20", "DeepSpeech needs it: pip install -U 'transformers>=5.20,<6'")

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig


@strict
class SpeechConfig(PreTrainedConfig):
    """What both speech models are described by; a ValueError names a field that is out of range.

    Args:
        vocab_size: Number of symbols, blank included, >= 2. Set it to `len(tokenizer)`.
        feature_size: Frequency bins of one spectrogram frame, > 0.
        hidden_size: Width of the recurrent and dense layers, > 0.
        relu_clip: Upper bound of every rectifier, > 0.
        hidden_dropout: Dropout probability after dense layers, in [0, 1).
        pad_token_id: Id of the CTC blank, in [0, vocab_size).
        ctc_loss_reduction: "mean" divides the summed negative log-likelihood by the number of target symbols (nats per
            symbol), "sum" leaves it.
        ctc_zero_infinity: True gives utterances too short for their transcript a loss of 0 instead of raising.
        samples_per_frame: Audio samples per input frame, > 0: the feature extractor's `hop_length`. Only the speech
            recognition pipeline reads it, for chunks and timestamps.
        **kwargs: Fields common to every `PreTrainedConfig`.
    """

    vocab_size: int = 29
    feature_size: int = 161
    hidden_size: int = 1024
    relu_clip: float | int = 20.0
    hidden_dropout: float | int = 0.0
    pad_token_id: int = 0
    ctc_loss_reduction: str = "mean"
    ctc_zero_infinity: bool = False
    samples_per_frame: int = 160

    def __post_init__(self, **kwargs: Any) -> None:
        """Checks every field in order, then lets `PreTrainedConfig` read the common ones."""
        self.check_at_least(2, "vocab_size")
        self.check_at_least(1, "feature_size", "hidden_size", "samples_per_frame")
        if not self.relu_clip > 0:
            raise ValueError(f"relu_clip must be > 0, got {self.relu_clip!r}; leave it out for the paper's own value")
        if not 0 <= self.hidden_dropout < 1:
            raise ValueError(f"hidden_dropout must be in [0, 1), got {self.hidden_dropout!r}; 0 switches dropout off")
        if not 0 <= self.pad_token_id < self.vocab_size:
            raise ValueError(
                f"pad_token_id must be in [0, vocab_size={self.vocab_size}), got {self.pad_token_id}; "
                "take it and len(tokenizer) from one tokenizer"
            )
        if self.ctc_loss_reduction not in ("mean", "sum"):
            raise ValueError(f"ctc_loss_reduction must be 'mean' or 'sum', got {self.ctc_loss_reduction!r}; use 'mean'")
        super().__post_init__(**kwargs)

    def check_at_least(self, least: int, *names: str) -> None:
        """Raises a ValueError that names the field unless each of these is >= `least`."""
        for name in names:
            if (value := getattr(self, name)) < least:
                raise ValueError(f"{name} must be >= {least}, got {value!r}; leave it out for the paper's own value")


@strict
class DeepSpeechConfig(SpeechConfig):
    """Describes a :class:`DeepSpeechForCTC`, by the fields of `SpeechConfig` and these.

    The defaults are the size in the DSD paper's table: 8,139,805 parameters. Hannun et al. drop out 0.05 to 0.1 after
    every dense layer but not inside the recurrence; the DSD paper names none.

    Args:
        context_frames: Frames the first layer sees on either side of its own, >= 0; 5 makes the window of 11.
        context_stride: Input frames per step of everything after the first layer, >= 1. 2 halves the cost, as Hannun
            et al. do (section 3.3); the parameters stay the same.
        num_dense_layers: Dense layers between the context window and the recurrent layer, >= 0.
        **kwargs: Fields of `SpeechConfig` and of every `PreTrainedConfig`.

    References:
        Hannun et al., *Deep Speech: Scaling up end-to-end speech recognition*, 2014, arXiv 1412.5567; the layer table
        is that of Han et al., *DSD*, ICLR 2017.
    """

    model_type = "deepspeech"

    context_frames: int = 5
    context_stride: int = 1
    num_dense_layers: int = 2

    def __post_init__(self, **kwargs: Any) -> None:
        """Checks every field in order, then lets `PreTrainedConfig` read the common ones."""
        self.check_at_least(1, "context_stride")
        self.check_at_least(0, "context_frames", "num_dense_layers")
        super().__post_init__(**kwargs)

    @property
    def inputs_to_logits_ratio(self) -> int:
        """Audio samples per output frame, as the speech recognition pipeline asks for it."""
        return self.samples_per_frame * self.context_stride
