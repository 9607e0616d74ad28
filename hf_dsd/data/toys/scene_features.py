"""Fixed image vectors of small pictures: which outlines fit each paint, how large, how often, and where.

They stand in for the trained and frozen network of a real captioner, without a download and without training. The
filters are made for these pictures, their paints and their outlines, as a network trained on them would have found
them; they are shown pixels alone, never the content of a scene.
"""

from functools import cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from .scene_content import COLORS, SHAPES
from .scene_drawing import IMAGE_SIZE, PAINTS, draw_outline

GRID = 4
_GREYS = ((44, 46, 54), (118, 118, 118), (175, 180, 180), (230, 230, 222))  # backgrounds and scratches
_PAINT_WIDTH = 0.16  # a pixel belongs to paints within about this distance, of channels in [-1, 1]
_RADII = (5.0, 6.5, 9.5, 13.0, 20.0)  # pixels
_LEAST_PAINT = 10.0  # a paint with less of it than this, in pixels, is not in the picture
_FAINT = 1.0  # added to the norm of what an outline is laid on
_SHARPNESS = 30.0  # of the choice between outlines that fit nearly as well
_NEAR = 9  # pixels: fits nearer to a better one are of the same shape
_MOST = 3  # shapes of one paint that are told apart
_BATCH = 8


@cache
def _outlines() -> tuple[Tensor, Tensor]:
    """Transforms of every kind of shape at every radius, and of the windows that they are compared in.

    (6, 5, 64, 33) complex64, of filters of unit norm and mean 0 over their window, and (5, 64, 33), centred at [0, 0].
    """
    across = np.abs(np.arange(IMAGE_SIZE) + 0.5 - IMAGE_SIZE / 2)
    reach = np.maximum(across[:, None], across)
    windows = np.stack([reach <= 1.2 * radius + 1 for radius in _RADII]).astype(np.float32)
    drawn = np.stack([[draw_outline(shape, radius) for radius in _RADII] for shape in SHAPES])
    even = (drawn * windows).sum(axis=(2, 3), keepdims=True) / windows.sum(axis=(1, 2))[:, None, None]
    filters = (drawn - even) * windows
    filters /= np.linalg.norm(filters, axis=(2, 3), keepdims=True)
    at_corner = [torch.from_numpy(np.fft.ifftshift(found, axes=(-2, -1))).float() for found in (filters, windows)]
    return torch.fft.rfft2(at_corner[0]).conj(), torch.fft.rfft2(at_corner[1]).conj()


def extract_features(images: Tensor) -> Tensor:
    """Describes pictures: what is said of each of the eight paints, the same whatever the paint, and what lies around.

    Of a paint: how well each of the six outlines fits, in competition, how well each of five radii and each of the best
    three places do, how much of it there is, and how far its middle is to the right and below. Fits are correlations,
    at least 0. What is not in the picture is 0 throughout. Then the sums of all this over the paints, how much paint
    lies in each cell of a 4 x 4 grid, and how much of each of four greys the picture has.

    From (images, 3, 64, 64) uint8 to (images, 173) float32, in about [-3, 3], not standardised.
    """
    vectors = []
    for first in range(0, len(images), _BATCH):
        maps = _paint_maps(images[first : first + _BATCH])
        paints, greys = maps[:, : len(COLORS)], maps[:, len(COLORS) :]
        there = paints.sum(dim=(2, 3)) > _LEAST_PAINT
        said = paints.new_zeros(*there.shape, len(SHAPES) + len(_RADII) + _MOST + 3)
        if there.any():  # a transform of nothing is an error
            said[there] = torch.cat([_find_shapes(paints[there]), _find_middle(paints[there])], dim=1)
        grid = functional.adaptive_avg_pool2d(paints.sum(dim=1), GRID)
        parts = [said, said.sum(dim=1), grid, greys.mean(dim=(2, 3))]
        vectors.append(torch.cat([part.flatten(1) for part in parts], dim=1))
    return torch.cat(vectors)


def _find_middle(maps: Tensor) -> Tensor:
    """Of (maps, 64, 64): the share of the picture, and where its middle is, right and down from -1 to 1."""
    amount = maps.mean(dim=(1, 2))
    to_right = torch.linspace(-1, 1, IMAGE_SIZE)
    x, y = ((maps.mean(dim=axis) * to_right).mean(dim=1) / amount for axis in (1, 2))
    return torch.stack([amount, x, y], dim=1)


def _paint_maps(images: Tensor) -> Tensor:
    """How much each pixel is of each paint and grey: (images, 12, 64, 64), 1 in sum."""
    paints = torch.tensor([*PAINTS.values(), *_GREYS]) / 127.5 - 1.0
    pixels = functional.avg_pool2d(images.float() / 127.5 - 1.0, 3, stride=1, padding=1, count_include_pad=False)
    # softmax over -|pixel - paint|^2 / (2 width^2): the |pixel|^2 term is common to all and cancels.
    weight = (paints / _PAINT_WIDTH**2)[:, :, None, None]
    return functional.conv2d(pixels, weight, -paints.square().sum(dim=1) / (2 * _PAINT_WIDTH**2)).softmax(dim=1)


def _find_shapes(maps: Tensor) -> Tensor:
    """Lays every outline on every place of (maps, 64, 64): (maps, 14) of outlines, radii and places."""
    outlines, windows = _outlines()
    seen, squared = (torch.fft.rfft2(found)[:, None] for found in (maps, maps.square()))
    total, energy = (torch.fft.irfft2(found * windows) for found in (seen, squared))
    areas = torch.fft.irfft2(windows).sum(dim=(1, 2))[:, None, None]
    contrast = (energy - total.square() / areas).clamp_min(0).sqrt() + _FAINT
    fits = torch.fft.irfft2(seen[:, None] * outlines).div_(contrast[:, None])  # (maps, shapes, radii, y, x)
    places = fits.amax(dim=(1, 2)).clamp_min(0)
    best = fits.amax(dim=(3, 4)).clamp_min(0)
    by_shape = best.amax(dim=2)
    chosen = (_SHARPNESS * by_shape).softmax(dim=1) * by_shape.amax(dim=1, keepdim=True)
    peaks = places * (functional.max_pool2d(places, _NEAR, stride=1, padding=_NEAR // 2) == places)
    return torch.cat([chosen, best.amax(dim=1), peaks.flatten(1).topk(_MOST).values], dim=1)
