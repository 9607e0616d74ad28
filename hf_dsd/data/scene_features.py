"""Fixed image vectors of small pictures: an untrained bank of filters, rectified and averaged over a coarse grid.

Layer: torch and numpy. They stand in for the frozen network of a real captioner, without a download.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

FILTERS = 32
GRID = 4
FEATURE_DIMS = FILTERS * GRID * GRID
"""Length of one image vector."""

_KERNEL = 7
_BATCH = 256
_FILTER_SEED = 20170424


def filter_bank() -> Tensor:
    """The filters: random colours times random oriented waves, a quarter of them without a wave (plain colour).

    Returns:
        (filters, 3, 7, 7) float32, each of unit norm; the same on every machine.
    """
    random = np.random.RandomState(_FILTER_SEED)
    axis = np.arange(_KERNEL) - _KERNEL // 2
    y, x = np.meshgrid(axis, axis, indexing="ij")
    envelope = np.exp(-(x**2 + y**2) / (2 * 1.8**2))
    filters = np.empty((FILTERS, 3, _KERNEL, _KERNEL))
    for index in range(FILTERS):
        color = random.normal(size=3)
        angle, phase = random.uniform(0, np.pi), random.uniform(0, 2 * np.pi)
        frequency = 0.0 if index % 4 == 0 else random.uniform(0.5, 1.4)
        wave = np.cos(frequency * (x * np.cos(angle) + y * np.sin(angle)) + (phase if frequency else 0.0))
        pattern = color[:, None, None] * (envelope * wave)[None]
        filters[index] = pattern / np.linalg.norm(pattern)
    return torch.from_numpy(filters).float()


def extract_features(images: Tensor) -> Tensor:
    """Describes pictures by what the filters see in each cell of a 4 x 4 grid.

    Args:
        images: (images, 3, height, width) uint8, height and width at least 32.

    Returns:
        (images, 512) float32, at least 0, not standardised.
    """
    bank = filter_bank()
    chunks = []
    for first in range(0, len(images), _BATCH):
        pixels = images[first : first + _BATCH].float() / 127.5 - 1.0
        response = functional.conv2d(pixels, bank, stride=2, padding=_KERNEL // 2)
        chunks.append(functional.adaptive_avg_pool2d(response.relu(), GRID).flatten(1))
    return torch.cat(chunks)


def standardize(features: Tensor, reference_rows: slice) -> Tensor:
    """Shifts and scales each column to mean 0 and standard deviation 1 over the reference rows.

    Args:
        features: (images, dims) float32.
        reference_rows: The training images, at least two; the other splits must not leak into the statistics.

    Returns:
        (images, dims) float32. Columns that are constant over the reference rows become 0 there.
    """
    reference = features[reference_rows]
    return (features - reference.mean(dim=0)) / reference.std(dim=0, correction=0).clamp_min(1e-6)
