"""The paper's networks as `families.check` trains them, and their pictures."""

from functools import partial

import torch
from families import CLASSES, ROWS, Family
from torch import nn

from hf_dsd.models import build_named_classifier

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
SMALL = ("googlenet", "resnet18", "squeezenet1_0", "squeezenet1_1")
SIDE = 64


def pictures() -> list[dict[str, torch.Tensor]]:
    """Eight pictures of noise."""
    noise = torch.randn(ROWS, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    return [{"pixel_values": x, "labels": torch.tensor(row % CLASSES)} for row, x in enumerate(noise)]


def build(name: str) -> nn.Module:
    """A network of three classes."""
    return build_named_classifier(name, ["cat", "dog", "fox"]).train()


def family(name: str) -> Family:
    """Dropout and batch norms make a row's loss depend on its batch."""
    return Family(name, partial(build, name), pictures, batch_loss=True)
