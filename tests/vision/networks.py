"""The paper's networks as `families.check` trains them, and their pictures."""

from functools import partial
from pathlib import Path

import torch
from families import CLASSES, ROWS, Family
from PIL import Image
from torch import nn
from transformers import AutoConfig, pipeline

from hf_dsd.models import build_image_processor, build_named_classifier

# torchvision 0.29's `weights.meta["num_params"]`, of 1,000 classes; GoogLeNet's is without its auxiliary classifiers.
PARAMETERS = {
    "alexnet": 61_100_840,
    "googlenet": 6_624_904,
    "resnet18": 11_689_512,
    "resnet50": 25_557_032,
    "resnet152": 60_192_808,
    "squeezenet1_0": 1_248_424,
    "squeezenet1_1": 1_235_496,
    "vgg16": 138_357_544,
}
LARGE = ("alexnet", "resnet152", "vgg16")
SIDE = 64


def pictures() -> list[dict[str, torch.Tensor]]:
    """Eight pictures of noise."""
    noise = torch.randn(ROWS, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    return [{"pixel_values": x, "labels": torch.tensor(row % CLASSES)} for row, x in enumerate(noise)]


NAMES = ["cat", "dog", "fox"]


def build(name: str) -> nn.Module:
    """A network of three classes."""
    return build_named_classifier(name, NAMES).train()


def family(name: str) -> Family:
    """Dropout and batch norms make a row's loss depend on its batch."""
    return Family(name, partial(build, name), pictures, batch_loss=True)


def classifies(run: Path) -> bool:
    """True if `pipeline` names all classes of a picture by the model of every phase of a run."""
    answers = []
    for phase in sorted(run.glob("phase-*")):
        build_image_processor(AutoConfig.from_pretrained(phase), SIDE).save_pretrained(phase)
        answers.append(pipeline("image-classification", str(phase))(Image.new("RGB", (80, 64), "red")))
    return len(answers) == 3 and all({each["label"] for each in found} == {*NAMES} for found in answers)
