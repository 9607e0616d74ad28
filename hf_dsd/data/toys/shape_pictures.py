"""The embedded pictures for a classifier: one kind of shape in each, in any colour, size, number and background."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from PIL import Image

from hf_dsd.data.splits import SPLITS, check_split_sizes

from .scene_content import SHAPES, sample_scene
from .scene_drawing import draw_scene

DEFAULT_SPLIT_SIZES: Mapping[str, int] = {"train": 1500, "validation": 300, "test": 300}

_SEED = 71  # other scenes than the captioning set's


@dataclass(frozen=True)
class ShapePictures:
    """One split.

    Attributes:
        images: RGB, 64 x 64.
        labels: Index of each picture's shape in `SHAPES`.
    """

    images: Sequence[Image.Image]
    labels: Sequence[int]


def make_shape_pictures(split_sizes: Mapping[str, int] | None = None, seed: int = 0) -> dict[str, ShapePictures]:
    """Draws the splits; no two pictures have the same random numbers.

    Args:
        split_sizes: Split name -> number of pictures, at least 1; None means 1500 / 300 / 300.
        seed: Non-negative; the same seed and sizes give the same pictures.

    Raises:
        ValueError: If a split's name is unknown, a size is not positive, or the seed is negative.
    """
    sizes = dict(DEFAULT_SPLIT_SIZES if split_sizes is None else split_sizes)
    check_split_sizes(sizes, seed)
    return {split: _draw(size, (_SEED, seed, SPLITS.index(split))) for split, size in sizes.items()}


def _draw(size: int, seed: tuple[int, ...]) -> ShapePictures:
    images: list[Image.Image] = []
    labels: list[int] = []
    attempt = 0
    while len(images) < size:
        scene = sample_scene((*seed, attempt))
        attempt += 1
        if len(scene.groups) == 1:
            images.append(draw_scene(scene))
            labels.append(SHAPES.index(scene.groups[0].shape))
    return ShapePictures(images, labels)
