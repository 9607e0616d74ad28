"""An image classifier with new weights by its name in torchvision or timm, and what prepares its pictures."""

import difflib
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec

from transformers import (
    AutoModelForImageClassification,
    PilBackend,
    PreTrainedConfig,
    PreTrainedModel,
    TimmWrapperConfig,
)
from transformers.image_utils import (
    IMAGENET_DEFAULT_MEAN,
    IMAGENET_DEFAULT_STD,
    IMAGENET_STANDARD_MEAN,
    IMAGENET_STANDARD_STD,
    PILImageResampling,
)

from .configuration_torchvision import TorchvisionConfig
from .modeling_torchvision import TorchvisionForImageClassification, classifier_names, torchvision_models

TIMM = "timm/"
"""Before a name that both libraries have, it asks for timm's network."""


def build_named_classifier(name: str, class_names: Sequence[str]) -> PreTrainedModel:
    """A network with the weights that its own library draws, and as many outputs as classes.

    Args:
        name: `vgg16`, or any other classifier of torchvision; else a network of timm, `timm/vgg16` where both have one.
        class_names: By label; the configuration keeps them.

    Raises:
        ImportError: If neither library is installed.
        ValueError: If none that is installed has such a network.
    """
    plain, names = name.removeprefix(TIMM), _known_names(name)
    labels = {"id2label": dict(enumerate(class_names)), "label2id": {each: i for i, each in enumerate(class_names)}}
    if plain in names["torchvision"]:
        return TorchvisionForImageClassification(TorchvisionConfig(architecture=plain, **labels))
    if plain in names["timm"]:
        model: PreTrainedModel = AutoModelForImageClassification.from_config(
            TimmWrapperConfig(architecture=plain, **labels)
        )
        drawn = import_module("timm").create_model(plain, num_classes=len(class_names))
        model.timm_model.load_state_dict(drawn.state_dict())
        return model  # with timm's own weights: transformers draws every layer from a normal distribution of 0.02
    near = difflib.get_close_matches(plain, {*names["torchvision"], *names["timm"]}, n=4)
    absent = [f"{library} is not installed" for library in names if find_spec(library) is None]
    raise ValueError(
        f"model_name must be a classifier of torchvision or timm, got {name!r}; {'; '.join([*absent, f'near: {near}'])}"
    )


def build_image_processor(config: PreTrainedConfig, image_size: int, resize_size: int | None = None) -> PilBackend:
    """What prepares pictures as the network's own library does: its mean and deviation; Pillow resizes.

    transformers finds the class by the name in the folder, with torchvision and without: for `ViTImageProcessorPil` it
    takes another class beside torchvision, whose resize gives other pixels than the network was trained with.

    Args:
        config: Of a model from `build_named_classifier`, or of any other, which gets pixels in [-1, 1].
        image_size: Height and width of the network's input, in pixels.
        resize_size: Length of the picture's shorter side before the middle is cut out, at least `image_size` (256 for
            224); None squeezes the whole picture into the input.

    Raises:
        ValueError: If `resize_size` is smaller than `image_size`.
    """
    if resize_size is not None and resize_size < image_size:
        raise ValueError(f"resize_size must be at least image_size ({image_size}), got {resize_size}; enlarge it")
    square = {"height": image_size, "width": image_size}
    mean, deviation = _mean_and_deviation(config)
    return PilBackend(
        do_convert_rgb=True,
        do_resize=True,
        size=square if resize_size is None else {"shortest_edge": resize_size},
        resample=PILImageResampling.BILINEAR,
        do_center_crop=resize_size is not None,
        crop_size=square,
        do_rescale=True,
        do_normalize=True,
        image_mean=list(mean),
        image_std=list(deviation),
    )


def _mean_and_deviation(config: PreTrainedConfig) -> tuple[Sequence[float], Sequence[float]]:
    if isinstance(config, TorchvisionConfig):
        known = torchvision_models().get_model_weights(config.architecture).DEFAULT.transforms()
    elif isinstance(config, TimmWrapperConfig):
        known = import_module("timm").get_pretrained_cfg(config.architecture)
    else:
        return IMAGENET_STANDARD_MEAN, IMAGENET_STANDARD_STD
    return getattr(known, "mean", IMAGENET_DEFAULT_MEAN), getattr(known, "std", IMAGENET_DEFAULT_STD)


def _known_names(name: str) -> dict[str, set[str]]:
    """Library -> names of its networks, as far as they are asked for and installed."""
    installed = [library for library in ("torchvision", "timm") if find_spec(library) is not None]
    if not installed:
        raise ImportError(
            f"model_name {name!r} needs torchvision or timm, and neither is installed; pip install 'hf-dsd[vision]' "
            "for torchvision's networks, 'hf-dsd[timm]' for timm's as well"
        )
    asks = {"torchvision": not name.startswith(TIMM), "timm": True}
    return {
        "torchvision": set(classifier_names()) if "torchvision" in installed and asks["torchvision"] else set(),
        "timm": set(import_module("timm").list_models()) if "timm" in installed else set(),
    }


__all__ = ["TIMM", "build_image_processor", "build_named_classifier"]
