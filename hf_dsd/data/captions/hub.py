"""Captions and image vectors from a dataset on the Hub, or from any path that `datasets.load_dataset` reads."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor

from hf_dsd.data.hub_splits import check_columns, load_splits

from .dataset import CaptionData, CaptionSplit


def load_caption_dataset(
    dataset_name: str,
    dataset_config_name: str | None = None,
    *,
    features_column: str = "image_features",
    captions_column: str = "captions",
    image_column: str | None = None,
    split_names: Mapping[str, str | None] | None = None,
    **load_kwargs: Any,
) -> CaptionData:
    """Reads a dataset of precomputed image vectors and captions, one row per image.

    Args:
        dataset_name: Hub name, or a local folder that `load_dataset` reads (for example `train.parquet`,
            `validation.parquet`, `test.parquet`).
        dataset_config_name: The dataset's configuration, if it has several.
        features_column: Column of image vectors, each a list of floats of the same length.
        captions_column: Column of captions, each a non-empty list of str.
        image_column: Column of unique image names; None names images "split/row".
        split_names: Our split -> the dataset's; slices such as "train[:90%]" are allowed. None as a name finds the
            split by the words in its name. None looks for train, validation and test.
        **load_kwargs: Passed on to `load_dataset`, for example `revision`, `token`, `cache_dir`.

    Returns:
        Features as float32 and the splits train, validation and test, as far as the dataset has them.

    Raises:
        ValueError: If there is no train split, a column is missing, vectors differ in length or are not numbers, or as
            `CaptionData` and `CaptionSplit`.
        TypeError: If an image's captions are not a list of str.
    """
    features: list[Tensor] = []
    splits: dict[str, CaptionSplit] = {}
    first_row = 0
    columns = [features_column, captions_column, *([image_column] if image_column else [])]
    for name, rows in load_splits(dataset_name, dataset_config_name, split_names, load_kwargs).items():
        check_columns(name, rows, columns, "rename them or pass features_column, captions_column and image_column")
        features.append(_feature_matrix(name, rows, features_column))
        splits[name] = CaptionSplit(
            images=list(rows[image_column]) if image_column else [f"{name}/{row}" for row in range(len(rows))],
            feature_rows=list(range(first_row, first_row + len(rows))),
            captions=list(rows[captions_column]),
        )
        first_row += len(rows)
    lengths = {name: int(matrix.shape[1]) for name, matrix in zip(splits, features, strict=True)}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"{features_column} must have one length in all splits, got {lengths}; use one image network")
    return CaptionData(torch.cat(features), splits)


def _feature_matrix(split: str, rows: Dataset, column: str) -> Tensor:
    vectors = rows.with_format("numpy", columns=[column])[:][column]
    matrix = np.asarray(vectors)
    if matrix.ndim != 2 or not np.issubdtype(matrix.dtype, np.number):
        raise ValueError(
            f"{column} of split {split!r} must be vectors of numbers of one length, got an array of shape "
            f"{matrix.shape} and type {matrix.dtype}; give every image the same number of floats, of a grid of vectors "
            "their average"
        )
    return torch.from_numpy(matrix.astype(np.float32))
