"""The image encoder: makes image vectors to train on, and turns a captioner of them into one that reads pictures.

This file stays at home when a model is published; what it builds travels.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from transformers import MODEL_MAPPING, AutoConfig, AutoImageProcessor, AutoModel, PreTrainedModel
from transformers.image_utils import PILImageResampling
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

from hf_dsd.models.neuraltalk.configuration_neuraltalk import NeuralTalkConfig
from hf_dsd.models.neuraltalk.modeling_efficientnet_lite import load_efficientnet_lite0
from hf_dsd.models.neuraltalk.modeling_neuraltalk import NeuralTalkForConditionalGeneration, pool_features
from hf_dsd.models.neuraltalk.processing_neuraltalk import NeuralTalkProcessor

EFFICIENTNET_LITE0 = "efficientnet_lite0"
"""The name of the encoder that needs no download; see `load_efficientnet_lite0`."""

# What configurations say about where they come from, which changes no vector.
_BOOKKEEPING = {"_name_or_path", "architectures", "dtype", "processor_class", "transformers_version"}


@dataclass(frozen=True)
class ImageEncoder:
    """An image model and what prepares pictures for it; `load_image_encoder` builds one.

    Attributes:
        name: What it was loaded by.
        model: A headless image model in evaluation mode.
        image_processor: Makes its `pixel_values` of pictures.
    """

    name: str
    model: PreTrainedModel
    image_processor: Any

    @cached_property
    def digest(self) -> str:
        """Hexadecimal, of the weights, the configuration and the preparation: another digest, other vectors."""
        digest = hashlib.sha256()
        for settings in (self.model.config.to_diff_dict(), self.image_processor.to_dict()):
            kept = {key: value for key, value in settings.items() if key not in _BOOKKEEPING}
            digest.update(json.dumps(kept, sort_keys=True, default=str).encode())
        for name, value in sorted(self.model.state_dict().items()):
            digest.update(name.encode())
            digest.update(value.cpu().contiguous().flatten().view(torch.uint8).numpy())
        return digest.hexdigest()

    @torch.no_grad()
    def encode(self, pictures: Sequence[Image.Image]) -> Tensor:
        """Makes image vectors as a captioner with this encoder does.

        Args:
            pictures: In RGB.

        Returns:
            `(pictures, F)` float32 on the CPU.
        """
        pixels = self.image_processor(images=list(pictures), return_tensors="pt")["pixel_values"]
        return pool_features(self.model(pixel_values=pixels.to(self.model.device))).float().cpu()

    def attach_to(self, model: NeuralTalkForConditionalGeneration, processor: NeuralTalkProcessor) -> None:
        """Gives a captioner of this encoder's vectors the encoder itself (see `attach_image_encoder`).

        Args:
            model: Changed in place; as it is, if it carries this encoder already.
            processor: Of the model; gets the image processor, in place.

        Raises:
            ValueError: If the model carries another encoder, or reads vectors of another width.
        """
        if model.vision_encoder is None:
            attach_image_encoder(model, processor, self.model, self.image_processor)
        elif ImageEncoder(self.name, model.vision_encoder, processor.image_processor).digest != self.digest:
            raise ValueError(
                f"image_encoder must be the one that the captioner carries, got {self.name}; give the captioner's "
                "folder as image_encoder"
            )


def load_image_encoder(
    name_or_path: str | Path = EFFICIENTNET_LITE0, device: str | torch.device = "cpu"
) -> ImageEncoder:
    """Loads an image encoder by name.

    Args:
        name_or_path: "efficientnet_lite0"; or the folder, or name on the Hub, of an image model that `AutoModel` knows:
            for example "microsoft/resnet-50", "facebook/dinov2-small", "openai/clip-vit-base-patch32" (its picture half
            is taken), "timm/resnet50.tv_in1k" (torchvision's weights; with timm installed); or of a captioner that
            carries an encoder.
        device: Where it works.

    Raises:
        ImportError: If EfficientNet-Lite0's weights, or timm for one of its models, are not installed.
        OSError: If there is no such model, or no image processor beside it.
        ValueError: If the model takes no pictures, or its file lacks weights, which would be random.
    """
    name = str(name_or_path)
    if name == EFFICIENTNET_LITE0:
        return ImageEncoder(name, load_efficientnet_lite0().to(device), build_image_processor())
    config = AutoConfig.from_pretrained(name)
    if isinstance(config, NeuralTalkConfig):
        model = NeuralTalkForConditionalGeneration.from_pretrained(name).vision_encoder
        if model is None:
            raise ValueError(
                f"image_encoder must be an encoder, got {name}, a captioner that carries none; name its encoder"
            )
    else:
        model = _load_image_model(name, getattr(config, "vision_config", config))
    # As the captioner loads it: torchvision resizes otherwise.
    processor = AutoImageProcessor.from_pretrained(name, backend="pil")
    if timm_settings := getattr(processor, "data_config", None):
        processor = build_timm_processor(timm_settings)
    return ImageEncoder(name, model.float().to(device).eval(), processor)


def _load_image_model(name: str, config: Any) -> PreTrainedModel:
    if type(config) not in MODEL_MAPPING or MODEL_MAPPING[type(config)].main_input_name != "pixel_values":
        raise ValueError(
            f"image_encoder must be an image model that AutoModel knows, got {name} of type {config.model_type!r}; "
            "leave it out for EfficientNet-Lite0"
        )
    model, loaded = AutoModel.from_pretrained(name, config=config, dtype=torch.float32, output_loading_info=True)
    if lacking := sorted(loaded["missing_keys"]):
        raise ValueError(
            f"image_encoder must come with all its weights, got {name} without {', '.join(lacking[:3])}, which would "
            "be random numbers; take another checkpoint of the model, or leave it out for EfficientNet-Lite0"
        )
    found: PreTrainedModel = model
    return found


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


def build_timm_processor(data_config: Mapping[str, Any]) -> ViTImageProcessorPil:
    """Builds what prepares pictures as a timm model's evaluation does; transformers' own class for it cannot be saved.

    Args:
        data_config: As `timm.data.resolve_data_config` gives it.

    Raises:
        ValueError: If pictures are to be bordered, which no class of transformers does.
    """
    mode, (_, height, width) = data_config["crop_mode"], data_config["input_size"]
    if mode not in ("center", "squash"):
        raise ValueError(f"image_encoder must crop by 'center' or 'squash', got {mode!r}; take another model of timm")
    large = [math.floor(side / data_config["crop_pct"]) for side in (height, width)]
    return ViTImageProcessorPil(
        do_convert_rgb=True,
        size={"height": large[0], "width": large[1]} if mode == "squash" else {"shortest_edge": min(large)},
        resample=PILImageResampling[data_config["interpolation"].upper()],
        do_center_crop=True,
        crop_size={"height": height, "width": width},
        image_mean=list(data_config["mean"]),
        image_std=list(data_config["std"]),
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


__all__ = [
    "EFFICIENTNET_LITE0",
    "ImageEncoder",
    "attach_image_encoder",
    "build_image_processor",
    "load_efficientnet_lite0",
    "load_image_encoder",
]
