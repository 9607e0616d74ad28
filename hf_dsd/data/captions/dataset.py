"""Captioned images as training sees them: image vectors, captions, and one torch Dataset for each way to read them.

Where the captions come from (files, a Hub dataset, drawn scenes) is the business of the modules next door; all of them
build a `CaptionData`.
"""

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from hf_dsd.data.splits import check_split_names, draw_rows, find_split

logger = logging.getLogger(__name__)

Encode = Callable[[str], list[int]]
"""From a raw caption to its word ids followed by the end id, without a start id."""


@dataclass(frozen=True)
class CaptionSplit:
    """The images of one split; entry i of each list belongs to the same image.

    Attributes:
        images: Names, unique within the data.
        feature_rows: Row of each image in `CaptionData.features`.
        captions: All raw captions of each image, at least one.

    Raises:
        ValueError: If the split is empty, the lists differ in length, or an image has no caption.
        TypeError: If an image's captions are not a list of str.
    """

    images: list[str]
    feature_rows: list[int]
    captions: list[list[str]]

    def __post_init__(self) -> None:
        lengths = (len(self.images), len(self.feature_rows), len(self.captions))
        if len(set(lengths)) > 1:
            raise ValueError(
                f"images, feature_rows and captions must have one entry per image, got {lengths}; "
                "drop incomplete images"
            )
        if not self.images:
            raise ValueError("images must not be empty, got a split of 0 images; leave the split out or add images")
        for image, captions in zip(self.images, self.captions, strict=True):
            _check_image_captions(image, captions)

    def __len__(self) -> int:
        return len(self.images)


def _check_image_captions(image: str, captions: list[str]) -> None:
    if not isinstance(captions, list) or not all(isinstance(caption, str) for caption in captions):
        raise TypeError(
            f"captions of {image!r} must be a list of str, got {captions!r:.80}; put one caption into a list, for "
            "example by dataset.map(lambda row: {'captions': [row['captions']]})"
        )
    if not captions:
        raise ValueError(f"captions of {image!r} must hold at least one caption, got []; remove the image")


@dataclass(frozen=True)
class CaptionData:
    """Image vectors, once, and the splits that point into them.

    Attributes:
        features: (images, dims) float32, finite.
        splits: Split name ("train", "validation" or "test") -> its images and captions.

    Raises:
        ValueError: If `features` is not a finite float32 matrix, there is no train split, a split's name is unknown,
            a feature row lies outside `features`, or two images have the same name.
    """

    features: Tensor
    splits: Mapping[str, CaptionSplit]

    def __post_init__(self) -> None:
        if self.features.ndim != 2 or self.features.dtype != torch.float32:
            raise ValueError(
                f"features must be (images, dims) float32, got {tuple(self.features.shape)} {self.features.dtype}; "
                "convert with .float() and give one vector per image"
            )
        check_split_names("splits", self.splits)
        for name, split in self.splits.items():
            self._check_rows(name, split)
        images = [image for split in self.splits.values() for image in split.images]
        if len(set(images)) < len(images):
            twice = next(image for image, count in Counter(images).items() if count > 1)
            raise ValueError(f"images must have names of their own, got {twice!r} more than once; rename or merge them")

    def _check_rows(self, name: str, split: CaptionSplit) -> None:
        rows = torch.tensor(split.feature_rows)
        if int(rows.min()) < 0 or int(rows.max()) >= len(self.features):
            raise ValueError(
                f"feature_rows of split {name!r} must be in [0, {len(self.features)}), got {int(rows.min())} to "
                f"{int(rows.max())}; give one feature row per image"
            )
        bad = (~self.features[rows].isfinite().all(dim=1)).nonzero()
        if len(bad):
            image = split.images[int(bad[0])]
            raise ValueError(
                f"features must be finite, got NaN or infinity for {len(bad)} image(s) of split {name!r}, first "
                f"{image!r}; extract them again or remove the images"
            )

    @property
    def dims(self) -> int:
        """Length of one image vector."""
        return int(self.features.shape[1])

    def split(self, name: str) -> CaptionSplit:
        """One split by name; ValueError if the data has no such split."""
        return find_split(self.splits, name)

    def with_train_size(self, size: int, seed: int = 0) -> "CaptionData":
        """The same data with only `size` images to train on, drawn by `seed` (see `draw_rows`)."""
        train = self.split("train")
        rows = draw_rows(size, len(train), seed)
        part = CaptionSplit(
            [train.images[row] for row in rows],
            [train.feature_rows[row] for row in rows],
            [train.captions[row] for row in rows],
        )
        return replace(self, splits={**self.splits, "train": part})


def _encode_captions(split: CaptionSplit, encode: Encode) -> list[list[list[int]]]:
    """Encodes every caption once; those with no word before the end id are left out and counted in one log line."""
    encoded, skipped = [], 0
    for captions in split.captions:
        kept = [ids for caption in captions if len(ids := encode(caption)) > 1]
        skipped += len(captions) - len(kept)
        encoded.append(kept)
    if skipped:
        logger.warning("skipped %d caption(s) that encode to no word before the end token", skipped)
    return encoded


class CaptionTrainingSet(Dataset[dict[str, Any]]):
    """One row per (image, caption): `{"image_features": (dims,) float32, "labels": list[int]}`.

    Rows share the image vectors of `data`; nothing is copied per caption. Captions are encoded once, here. Those that
    encode to no word before the end id are skipped, with their count in one log line.

    Args:
        data: Features and captions.
        encode: Raw caption -> word ids, then the end id.
        split: Split to read.

    Raises:
        ValueError: If the split is missing, or no caption has a word.
    """

    def __init__(self, data: CaptionData, encode: Encode, *, split: str = "train") -> None:
        chosen = data.split(split)
        self._features = data.features
        self._rows = [
            (feature_row, ids)
            for feature_row, captions in zip(chosen.feature_rows, _encode_captions(chosen, encode), strict=True)
            for ids in captions
        ]
        if not self._rows:
            raise ValueError(f"captions of split {split!r} must encode to words, got none that does; check encode")

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def lengths(self) -> list[int]:
        """Token ids of each row's caption, its end id included; for batches of like length."""
        return [len(ids) for _, ids in self._rows]

    def __getitem__(self, index: int) -> dict[str, Any]:
        feature_row, ids = self._rows[index]
        return {"image_features": self._features[feature_row], "labels": ids}


class CaptionEvaluationSet(Dataset[dict[str, Any]]):
    """One row per image: `{"image_features": (dims,) float32, "labels": list[list[int]]}`, all its captions.

    The labels leave out captions that encode to no word before the end id, with their count in one log line.

    Args:
        data: Features and captions.
        encode: Raw caption -> word ids, then the end id.
        split: Split to read.

    Attributes:
        images: Name of each row's image.
        references: Raw captions of each row, all of them: what a model is scored against must not depend on which
            words it knows.

    Raises:
        ValueError: If the split is missing, or an image has no caption with a word.
    """

    def __init__(self, data: CaptionData, encode: Encode, *, split: str = "validation") -> None:
        chosen = data.split(split)
        encoded = _encode_captions(chosen, encode)
        for image, captions in zip(chosen.images, encoded, strict=True):
            if not captions:
                raise ValueError(
                    f"captions of {image!r} must encode to words, got none that does; remove the image, or take more "
                    "words into the vocabulary"
                )
        self._features = data.features
        self._feature_rows = chosen.feature_rows
        self._labels = encoded
        self.images: list[str] = chosen.images
        self.references: list[list[str]] = [list(captions) for captions in chosen.captions]

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"image_features": self._features[self._feature_rows[index]], "labels": self._labels[index]}
