"""Fixed image vectors of small pictures: which palette colours lie where, and what random filters see in them.

They stand in for the frozen network of a real captioner, without a download and without training: good enough to
caption from, poor enough that a captioner prefers to learn its pictures by heart.
"""

import itertools

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

GRID = 4
FILTERS = 128
_LEVELS = (-0.8, 0.0, 0.8)  # of each colour channel in [-1, 1]
PALETTE_SIZE = len(_LEVELS) ** 3

_COLOR_WIDTH = 0.35  # a pixel belongs to palette colours within about this distance
_KERNEL = 5
_COLORS_PER_FILTER = 3
_THRESHOLD = 0.05  # about one standard deviation of a filter's response
_LARGEST = 4.0  # standard deviations
_FILTER_SEED = 20170424
_BATCH = 256


def color_palette() -> Tensor:
    """The corners, edges, faces and centre of a cube in colour space: (27, 3) float32 in [-1, 1]."""
    return torch.tensor(list(itertools.product(_LEVELS, repeat=3)), dtype=torch.float32)


def filter_bank() -> Tensor:
    """Random patterns over the palette's maps, each of three colours; blind to even areas.

    (filters, 27, 5, 5) float32, each of unit norm and of mean zero per colour; the same on every machine.
    """
    random = np.random.RandomState(_FILTER_SEED)  # numpy has frozen its stream for good (NEP 19)
    filters = np.zeros((FILTERS, PALETTE_SIZE, _KERNEL, _KERNEL))
    for pattern in filters:
        colors = random.permutation(PALETTE_SIZE)[:_COLORS_PER_FILTER]
        values = random.normal(size=(_COLORS_PER_FILTER, _KERNEL, _KERNEL))
        values -= values.mean(axis=(1, 2), keepdims=True)
        pattern[colors] = values / np.linalg.norm(values)
    return torch.from_numpy(filters).float()


def extract_features(images: Tensor) -> Tensor:
    """Describes pictures by palette colours in each cell of a 4 x 4 grid, and by mean and maximum of each filter.

    From (images, 3, height, width) uint8, height and width at least 32, to (images, 688) float32, at least 0, not
    standardised.
    """
    palette, bank = color_palette(), filter_bank()
    # softmax over -|pixel - color|^2 / (2 width^2): the |pixel|^2 term is common to all colours and cancels.
    weight = (palette / _COLOR_WIDTH**2)[:, :, None, None]
    bias = -palette.square().sum(dim=1) / (2 * _COLOR_WIDTH**2)
    vectors = []
    for first in range(0, len(images), _BATCH):
        pixels = functional.avg_pool2d(images[first : first + _BATCH].float() / 127.5 - 1.0, 2)
        colors = functional.conv2d(pixels, weight, bias).softmax(dim=1)
        seen = (functional.conv2d(colors, bank, stride=2, padding=_KERNEL // 2) - _THRESHOLD).relu()
        cells = functional.adaptive_avg_pool2d(colors, GRID).flatten(1)
        vectors.append(torch.cat([cells, seen.mean(dim=(2, 3)), seen.amax(dim=(2, 3))], dim=1))
    return torch.cat(vectors)


def whiten(features: Tensor, reference_rows: slice) -> Tensor:
    """Standardises the columns and takes most of their correlation away, by the statistics of the reference rows.

    With x the standardised columns and C their covariance, returns x (C + I)^(-1/2) at standard deviation 1, clipped to
    [-4, 4]. Strong directions (the background) no longer drown weak ones (the shapes), so a captioner learns in a few
    hundred steps instead of a few thousand; the I keeps directions that are nothing but noise small. The symmetric
    root, unlike a principal component basis, has no signs or order that could differ between machines.

    The reference rows are the training images, at least two: the other splits must not leak into the statistics.
    Columns that are constant over them are 0 there.
    """
    reference = features[reference_rows].double()
    deviation = reference.std(dim=0, correction=0).clamp_min(1e-3)
    # What one picture in a thousand shows would reach 30 standard deviations and own the covariance.
    scaled = ((features.double() - reference.mean(dim=0)) / deviation).clamp(-_LARGEST, _LARGEST)
    scaled = scaled - scaled[reference_rows].mean(dim=0)
    covariance = scaled[reference_rows].T @ scaled[reference_rows] / len(reference)
    variances, directions = torch.linalg.eigh(covariance)
    whitened = scaled @ (directions * (variances.clamp_min(0) + 1).rsqrt()) @ directions.T
    unit = whitened[reference_rows].square().mean().sqrt().clamp_min(1e-3)
    vectors: Tensor = (whitened / unit).clamp(-_LARGEST, _LARGEST).float()
    return vectors
