"""The paper's image classifiers by name: torchvision's networks as transformers models, and timm's."""

from .configuration_torchvision import TorchvisionConfig
from .modeling_torchvision import TorchvisionForImageClassification
from .named_classifier import build_image_processor, build_named_classifier
from .pretrained_weights import load_pretrained_weights

__all__ = [
    "TorchvisionConfig",
    "TorchvisionForImageClassification",
    "build_image_processor",
    "build_named_classifier",
    "load_pretrained_weights",
]
