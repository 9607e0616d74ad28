"""The paper's image classifiers by name: torchvision's networks as transformers models, and timm's."""

from .configuration_torchvision import TorchvisionConfig
from .image_processing_torchvision import TorchvisionImageProcessor
from .modeling_torchvision import TorchvisionForImageClassification
from .named_classifier import build_image_processor, build_named_classifier

__all__ = [
    "TorchvisionConfig",
    "TorchvisionForImageClassification",
    "TorchvisionImageProcessor",
    "build_image_processor",
    "build_named_classifier",
]
