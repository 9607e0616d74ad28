"""NeuralTalk: configuration, model, tokenizer, processor and the image encoder that can be attached."""

from hf_dsd.models.neuraltalk.configuration_efficientnet_lite import WEIGHTS_PACKAGE, EfficientNetLiteConfig
from hf_dsd.models.neuraltalk.configuration_neuraltalk import NeuralTalkConfig
from hf_dsd.models.neuraltalk.image_encoder import (
    EFFICIENTNET_LITE0,
    ImageEncoder,
    attach_image_encoder,
    build_image_processor,
    load_efficientnet_lite0,
    load_image_encoder,
)
from hf_dsd.models.neuraltalk.modeling_efficientnet_lite import EfficientNetLiteModel
from hf_dsd.models.neuraltalk.modeling_neuraltalk import (
    NeuralTalkForConditionalGeneration,
    NeuralTalkModel,
    NeuralTalkOutput,
)
from hf_dsd.models.neuraltalk.processing_neuraltalk import NeuralTalkProcessor
from hf_dsd.models.neuraltalk.tokenization_neuraltalk import build_caption_tokenizer, encode_caption

__all__ = [
    "EFFICIENTNET_LITE0",
    "WEIGHTS_PACKAGE",
    "EfficientNetLiteConfig",
    "EfficientNetLiteModel",
    "ImageEncoder",
    "NeuralTalkConfig",
    "NeuralTalkForConditionalGeneration",
    "NeuralTalkModel",
    "NeuralTalkOutput",
    "NeuralTalkProcessor",
    "attach_image_encoder",
    "build_caption_tokenizer",
    "build_image_processor",
    "encode_caption",
    "load_efficientnet_lite0",
    "load_image_encoder",
]
