"""The splits of a dataset on the Hub, or of any path that `datasets.load_dataset` reads."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from datasets import Dataset, DatasetDict, load_dataset

from .splits import SPLITS, check_split_names, choose_splits


def load_splits(
    dataset_name: str,
    config: str | None,
    split_names: Mapping[str, str | None] | None,
    load_kwargs: Mapping[str, Any],
    required: Collection[str] = ("train",),
) -> dict[str, Dataset]:
    """Loads the splits that training needs.

    Args:
        dataset_name: Hub name, or a local folder.
        config: The dataset's configuration, if it has several.
        split_names: Our split -> the dataset's, slices such as "train[:90%]" allowed; None as a name finds the split by
            the words in its name, and other splits are not loaded. None looks for train, validation and test.
        load_kwargs: Passed on to `load_dataset`.
        required: Of ours, those that must be found.

    Raises:
        ValueError: If a split is missing or could be one of several, or is empty.
    """
    names = dict.fromkeys(SPLITS) if split_names is None else dict(split_names)
    check_split_names("split_names", names)
    splits = {}
    for split, theirs in names.items():
        if theirs is not None:
            splits[split] = load_dataset(dataset_name, config, split=theirs, **load_kwargs)
    if to_find := dict.fromkeys(split for split, theirs in names.items() if theirs is None):
        splits |= _find_splits(dataset_name, load_dataset(dataset_name, config, **load_kwargs), to_find, required)
    for split, rows in splits.items():
        if len(rows) == 0:
            raise ValueError(f"split {split!r} must not be empty, got 0 rows; remove the split or add examples")
    return {split: splits[split] for split in SPLITS if split in splits}


def _find_splits(
    dataset_name: str, loaded: Any, to_find: Mapping[str, None], required: Collection[str]
) -> dict[str, Dataset]:
    if not isinstance(loaded, DatasetDict):
        raise ValueError(
            f"dataset_name must name a dataset with the splits {SPLITS}, got {dataset_name!r} with "
            f"{type(loaded).__name__}; pass split_names, and load neither one split nor a stream"
        )
    chosen = choose_splits(loaded, to_find, required, f"the dataset {dataset_name!r}")
    return {split: loaded[name] for split, (name,) in chosen.items()}


def check_columns(split: str, rows: Dataset, columns: Sequence[str], remedy: str) -> None:
    """Refuses a split without the columns that are read.

    Raises:
        ValueError: If a column is missing.
    """
    if not set(columns) <= set(rows.column_names):
        raise ValueError(f"split {split!r} must have the columns {list(columns)}, got {rows.column_names}; {remedy}")
