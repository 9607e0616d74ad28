# ruff: noqa: E402, I001 (an older transformers is named before what it lacks is imported: this file travels alone)
"""DeepSpeech 2's configuration: convolutions, recurrent layers, CTC options, each checked when the object is made."""

import math
from typing import Any

from transformers.utils.versions import require_version

require_version("transformers>=5.20", "DeepSpeech 2 needs it: pip install -U 'transformers>=5.20,<6'")

from huggingface_hub.dataclasses import strict

from .configuration_deepspeech import SpeechConfig

RNN_TYPES = ("rnn", "gru", "lstm")


@strict
class DeepSpeech2Config(SpeechConfig):
    """Describes a :class:`DeepSpeech2ForCTC`, by the fields of `SpeechConfig` and these.

    The defaults are the size in the DSD paper's table, layer by layer, except for the CTC head (see the model). Two or
    three layers of 192 to 256 `gru` units are a sensible size for an hour of speech; on a CPU the second convolution is
    then the larger part of a step, and `conv_channels=[16, 16]` cuts it to a third.

    Dropout comes after every recurrent and dense layer.

    Args:
        conv_channels: Filters of each 2-D convolution, each > 0, at least one convolution.
        conv_kernel_sizes: `[frequency, time]` of each convolution's filters, odd, so that padding keeps them centred.
        conv_strides: `[frequency, time]` of each convolution, >= 1.
        num_hidden_layers: Bidirectional recurrent layers, > 0.
        rnn_type: "rnn" (clipped rectifier), "gru" or "lstm".
        shared_input_projection: True, as in the paper's table: one input matrix serves both directions, with the batch
            norm on its output. False: torch's own `nn.RNN`, `nn.GRU` or `nn.LSTM` with an input matrix per direction
            and the batch norm on the layer's input. Those run on fused cuDNN kernels, but do not have the table's
            parameter count, and their "rnn" is not clipped. On a CPU the shared form is the faster one for "rnn" and
            "gru" (tests/benchmarks/bench_deepspeech.py).
        batch_norm_momentum: Weight of the newest batch in the running statistics, in (0, 1].
        batch_norm_eps: Added to variances, > 0.
        **kwargs: Fields of `SpeechConfig` and of every `PreTrainedConfig`.

    Raises:
        ValueError: If a field is out of range, a kernel even, or the lists of the convolutions differ in length.

    References:
        Amodei et al., *Deep Speech 2: End-to-end speech recognition in English and Mandarin*, ICML 2016, arXiv
        1512.02595; the layer table is that of Han et al., *DSD*, ICLR 2017.
    """

    model_type = "deepspeech2"

    hidden_size: int = 1760
    conv_channels: list[int] | tuple[int, ...] = (32, 32)
    conv_kernel_sizes: list[Any] | tuple[Any, ...] = ((41, 11), (21, 11))
    conv_strides: list[Any] | tuple[Any, ...] = ((2, 2), (2, 1))
    num_hidden_layers: int = 7
    rnn_type: str = "rnn"
    shared_input_projection: bool = True
    batch_norm_momentum: float | int = 0.1
    batch_norm_eps: float = 1e-5

    def __post_init__(self, **kwargs: Any) -> None:
        """Checks every field in order, then lets `PreTrainedConfig` read the common ones."""
        self.check_at_least(1, "num_hidden_layers")
        self._check_convolutions()
        if self.rnn_type not in RNN_TYPES:
            raise ValueError(f"rnn_type must be one of {RNN_TYPES}, got {self.rnn_type!r}; the paper's is 'rnn'")
        if not 0 < self.batch_norm_momentum <= 1:
            raise ValueError(f"batch_norm_momentum must be in (0, 1], got {self.batch_norm_momentum!r}; leave it out")
        if not self.batch_norm_eps > 0:
            raise ValueError(f"batch_norm_eps must be > 0, got {self.batch_norm_eps!r}; leave it out")
        super().__post_init__(**kwargs)

    @property
    def time_stride(self) -> int:
        """Input frames per output frame."""
        return math.prod(time for _, time in self.conv_strides)

    @property
    def inputs_to_logits_ratio(self) -> int:
        """Audio samples per output frame, as the speech recognition pipeline asks for it."""
        return self.samples_per_frame * self.time_stride

    def _check_convolutions(self) -> None:
        """Turns the three lists into lists, the form they come back in from JSON, and checks them."""
        self.conv_channels = list(self.conv_channels)
        self.conv_kernel_sizes = [list(pair) for pair in self.conv_kernel_sizes]
        self.conv_strides = [list(pair) for pair in self.conv_strides]
        lengths = [len(self.conv_channels), len(self.conv_kernel_sizes), len(self.conv_strides)]
        if len(set(lengths)) != 1 or not self.conv_channels:
            raise ValueError(
                "conv_channels, conv_kernel_sizes and conv_strides must have one entry per convolution, got "
                f"{lengths[0]}, {lengths[1]} and {lengths[2]}; give all three"
            )
        if min(self.conv_channels) < 1:
            raise ValueError(
                f"conv_channels must be >= 1, got {min(self.conv_channels)}; leave it out for the paper's own"
            )
        for name in ("conv_kernel_sizes", "conv_strides"):
            for pair in getattr(self, name):
                if len(pair) != 2 or min(pair) < 1:
                    raise ValueError(
                        f"{name} must hold [frequency, time] pairs >= 1, got {pair}; the first is [41, 11]"
                    )
        if any(size % 2 == 0 for pair in self.conv_kernel_sizes for size in pair):
            raise ValueError(f"conv_kernel_sizes must be odd, got {self.conv_kernel_sizes}; add 1 to the even ones")
