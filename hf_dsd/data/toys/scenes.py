"""The embedded sets of drawn scenes, made on the spot, no download: with five captions each, or with a class.

The captions are hard on purpose: noisy pictures, fixed features, annotators who leave things out and, in 8 % of what
they name, mistake a colour or shape for a similar one: a captioner can overfit, and a score is neither 0 nor 100.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count, islice

import numpy as np
import torch
from PIL import Image

from hf_dsd.data.captions.dataset import CaptionData, CaptionSplit
from hf_dsd.data.splits import SPLITS, check_split_sizes

from .scene_captions import write_captions
from .scene_content import COLORS, PLACES, SHAPES, Scene, sample_scene
from .scene_drawing import draw_scene
from .scene_features import extract_features

DEFAULT_SPLIT_SIZES: Mapping[str, int] = {"train": 1500, "validation": 250, "test": 250}
_SINGLE_SCENES = len(SHAPES) * len(COLORS) * 3 * len(PLACES)  # a single group counts 1 to 3


@dataclass(frozen=True)
class SceneSet:
    """Drawn scenes, ready to train on.

    Attributes:
        data: Image vectors (images, 173) float32, as `scene_features` makes them, and captions. Images are named
            "split/number".
        scenes: What is in each image, by its name.
    """

    data: CaptionData
    scenes: Mapping[str, Scene]

    def image(self, name: str) -> Image.Image:
        """Draws the picture of a name in `data.splits[...].images` again, RGB, 64 x 64.

        Raises:
            ValueError: If there is no such image.
        """
        if name not in self.scenes:
            raise ValueError(
                f"name must be an image of this set, got {name!r}; for example {next(iter(self.scenes))!r}"
            )
        return draw_scene(self.scenes[name])


def make_scenes(split_sizes: Mapping[str, int] | None = None, seed: int = 0, *, most_groups: int = 3) -> SceneSet:
    """Makes a set of scenes; about 12 ms per scene on one core.

    No two scenes, of the same split or of different ones, have the same shapes, colours, counts and relation. The test
    split depends on the seed and its own size only, so sets with more training scenes are tested on the same.

    Args:
        split_sizes: Split name -> number of scenes, with "train" at least 2; None means 1500 / 250 / 250. An unknown
            name or a size out of range is a ValueError.
        seed: Non-negative; the same seed and sizes give the same scenes, captions and pictures.
        most_groups: Groups of shapes in a picture at most, 1 to 3, or a ValueError; of 1 there are 720 scenes in all,
            and more in `split_sizes` are a ValueError.
    """
    sizes = dict(DEFAULT_SPLIT_SIZES if split_sizes is None else split_sizes)
    check_split_sizes(sizes, seed, smallest_train=2)
    if most_groups not in (1, 2, 3):
        raise ValueError(f"most_groups must be 1, 2 or 3, got {most_groups}; a picture has at most three groups")
    if most_groups == 1 and sum(sizes.values()) > _SINGLE_SCENES:
        raise ValueError(f"split_sizes must sum to {_SINGLE_SCENES} at most with most_groups 1, got {sizes}")
    used: set[tuple[object, ...]] = set()
    chosen: dict[str, list[Scene]] = {}
    for split in ("test", "validation", "train"):  # the smallest first: they must not depend on the others' size
        if split in sizes:
            chosen[split] = _unused_scenes(sizes[split], (seed, SPLITS.index(split)), used, most_groups)
    scenes = {f"{split}/{row}": scene for split in SPLITS if split in chosen for row, scene in enumerate(chosen[split])}
    pictures = np.stack([np.asarray(draw_scene(scene)) for scene in scenes.values()])
    features = extract_features(torch.from_numpy(pictures).permute(0, 3, 1, 2))
    return SceneSet(CaptionData(features, _caption_splits(scenes)), scenes)


def _unused_scenes(size: int, seed: tuple[int, ...], used: set[tuple[object, ...]], most_groups: int) -> list[Scene]:
    scenes: list[Scene] = []
    for attempt in count():
        if len(scenes) == size:
            break
        scene = sample_scene((*seed, attempt))
        if len(scene.groups) <= most_groups and scene.content not in used:
            used.add(scene.content)
            scenes.append(scene)
    return scenes


def _caption_splits(scenes: Mapping[str, Scene]) -> dict[str, CaptionSplit]:
    splits = {}
    for split in SPLITS:
        found = {row: name for row, name in enumerate(scenes) if name.startswith(f"{split}/")}
        if found:
            captions = [write_captions(scenes[name]) for name in found.values()]
            splits[split] = CaptionSplit(list(found.values()), list(found), captions)
    return splits


_SHAPE_SEED = 71  # other scenes than the captioning set's


@dataclass(frozen=True)
class ShapePictures:
    """One split of pictures for a classifier: one kind of shape in each, in any colour, size, number and background.

    Attributes:
        images: RGB, 64 x 64.
        labels: Index of each picture's shape in `SHAPES`.
    """

    images: Sequence[Image.Image]
    labels: Sequence[int]


def make_shape_pictures(split_sizes: Mapping[str, int] | None = None, seed: int = 0) -> dict[str, ShapePictures]:
    """Draws the splits; no two pictures have the same random numbers.

    `split_sizes` gives each split a number of pictures, at least 1; None means 1500 / 300 / 300. The same seed,
    non-negative, and sizes give the same pictures; anything else is a ValueError.
    """
    sizes = dict({"train": 1500, "validation": 300, "test": 300} if split_sizes is None else split_sizes)
    check_split_sizes(sizes, seed)
    return {split: _draw_single_shapes(size, (_SHAPE_SEED, seed, SPLITS.index(split))) for split, size in sizes.items()}


def _draw_single_shapes(size: int, seed: tuple[int, ...]) -> ShapePictures:
    scenes = (sample_scene((*seed, attempt)) for attempt in count())
    chosen = list(islice((scene for scene in scenes if len(scene.groups) == 1), size))
    return ShapePictures(list(map(draw_scene, chosen)), [SHAPES.index(scene.groups[0].shape) for scene in chosen])
