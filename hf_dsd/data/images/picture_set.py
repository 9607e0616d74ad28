"""A split of pictures as a network takes it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset

from hf_dsd.data.epoch import SharedEpoch

from .augmentation import AUGMENTATIONS, RandomCrop


class PictureSet(Dataset[dict[str, Any]]):
    """Pixels and label of every picture.

    A crop depends on seed, epoch and row alone, so that a resumed run sees it again. `set_epoch` must be called at each
    epoch's begin, which the Trainer does.

    Args:
        rows: Rows with "image", a PIL picture, and "label"; a `datasets.Dataset`.
        processor: An image processor of transformers; its sizes are the augmentation's.
        augment: One of `AUGMENTATIONS`.
        seed: Non-negative; of the augmentation.
        keep: Keep pixels in memory once they are made; 1,000 pictures of 224 by 224 take 0.6 GB.

    Raises:
        ValueError: If the augmentation is unknown, the processor leaves it nothing to move a crop over, or what changes
            in every epoch is to be kept.
    """

    def __init__(
        self, rows: Sequence[Any], processor: Any, augment: str = "none", seed: int = 0, *, keep: bool = False
    ) -> None:
        self._rows, self._processor, self._seed, self._epoch = rows, processor, seed, SharedEpoch()
        self._crop = _random_crop(processor, augment)
        if keep and self._crop is not None:
            raise ValueError(f"keep needs pictures that stay the same, got augment {augment!r}; leave one of them out")
        self._keep, self._kept = keep, dict[int, dict[str, Tensor | int]]()

    def set_epoch(self, epoch: int) -> None:
        """Chooses the epoch whose augmentation the rows show.

        Args:
            epoch: At least 0.
        """
        self._epoch.number = epoch

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> dict[str, Tensor | int]:
        return self._kept[index] if index in self._kept else self._made(index)

    def _made(self, index: int) -> dict[str, Tensor | int]:
        row = self._rows[index]
        picture, options = row["image"].convert("RGB"), {}
        if self._crop is not None:
            draws = np.random.default_rng((self._seed, self._epoch.number, range(len(self))[index]))
            picture, options = self._crop(picture, draws), {"do_resize": False, "do_center_crop": False}
        pixels = self._processor(picture, return_tensors="pt", **options)["pixel_values"][0]
        example = {"pixel_values": pixels, "labels": row["label"]}
        if self._keep:
            self._kept[index] = example
        return example


def _random_crop(processor: Any, augment: str) -> RandomCrop | None:
    if augment not in AUGMENTATIONS:
        raise ValueError(f"augment must be one of {', '.join(AUGMENTATIONS)}, got {augment!r}; choose one")
    if augment == "none":
        return None
    square = processor.crop_size if processor.do_center_crop else processor.size
    image_size, resize_size = square["height"], processor.size.get("shortest_edge") or square["height"]
    if augment == "crop" and resize_size <= image_size:
        raise ValueError(
            f"augment 'crop' needs pictures larger than the crop of {image_size}, got {resize_size}; set resize_size "
            "(256 for 224), or take resized_crop"
        )
    return RandomCrop(image_size, resize_size, augment == "resized_crop")
