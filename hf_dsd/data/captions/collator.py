"""Batches of captioned images for a Trainer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

IMAGE_INPUTS = ("image_features", "pixel_values")
"""Keys of a row that hold the image, in the order of the batch."""


@dataclass(frozen=True)
class CaptionCollator:
    """Stacks image inputs and pads captions, for training rows and evaluation rows alike.

    A training row has one caption, an evaluation row all captions of its image (see `CaptionTrainingSet` and
    `CaptionEvaluationSet`); a batch holds one kind.

    Attributes:
        label_pad_token_id: Fills labels after the end id; -100 is what losses ignore.
    """

    label_pad_token_id: int = -100

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        """Collates rows into a batch.

        Args:
            rows: Each with `image_features` (dims,), `pixel_values` (channels, height, width), or both, and `labels`:
                one caption's ids, or a list of captions' ids. Rows without `labels` make a batch without.

        Returns:
            A dict, image inputs first because a Trainer reads the batch size from the first tensor:
            image_features: (images, dims) float32, and or instead pixel_values: (images, channels, height, width).
            labels: (captions, time) int64, padded to the longest caption; captions = images for training rows.
            image_index: (captions,) int64, the batch row of each caption's image; evaluation rows only.

        Raises:
            ValueError: If the batch is empty, mixes both kinds of rows, has a row without image or captions, or rows
                with different image inputs.
        """
        if not rows:
            raise ValueError("rows must not be empty, got 0; a batch needs at least one image")
        batch = {key: _stack(key, rows) for key in IMAGE_INPUTS if any(key in row for row in rows)}
        if not batch:
            raise ValueError(f"rows must have one of {IMAGE_INPUTS}, got {sorted(rows[0])}; add the image to every row")
        if not any("labels" in row for row in rows):
            return batch
        labels = [_label_list(index, row) for index, row in enumerate(rows)]
        nested = [isinstance(label[0], list) for label in labels]
        if any(nested) != all(nested):
            raise ValueError("labels must all be one caption or all be lists of captions, got both; batch them apart")
        if not nested[0]:
            return {**batch, "labels": self._pad(labels)}
        counts = torch.tensor([len(captions) for captions in labels])
        image_index = torch.repeat_interleave(torch.arange(len(rows)), counts)
        return {
            **batch,
            "labels": self._pad([ids for captions in labels for ids in captions]),
            "image_index": image_index,
        }

    def _pad(self, captions: Sequence[Sequence[int]]) -> Tensor:
        padded = torch.full((len(captions), max(map(len, captions))), self.label_pad_token_id, dtype=torch.int64)
        for row, ids in enumerate(captions):
            padded[row, : len(ids)] = torch.tensor(ids)
        return padded


def _label_list(index: int, row: Mapping[str, Any]) -> list[Any]:
    labels: Any = row.get("labels")
    if hasattr(labels, "tolist"):  # a tensor or an array, from a dataset with a format
        labels = labels.tolist()
    if not labels or any(ids == [] for ids in labels):
        raise ValueError(f"labels of row {index} must not be empty, got {labels!r:.80}; skip captions without words")
    return list(labels)


def _stack(key: str, rows: Sequence[Mapping[str, Any]]) -> Tensor:
    missing = [index for index, row in enumerate(rows) if row.get(key) is None]
    if missing:
        raise ValueError(
            f"rows must all have {key!r} if one has, got none in rows {missing}; add or drop it everywhere"
        )
    tensors = [torch.as_tensor(row[key]) for row in rows]
    shapes = {tuple(tensor.shape) for tensor in tensors}
    if len(shapes) > 1:
        raise ValueError(f"{key} must have one shape in a batch, got {sorted(shapes)}; resize or pool the images alike")
    stacked = torch.stack(tensors)
    return stacked.to(torch.float32) if stacked.is_floating_point() else stacked
