"""The splits of a dataset on the Hub, or of any path that `datasets.load_dataset` reads."""

from collections.abc import Mapping, Sequence
from typing import Any

from datasets import Dataset, DatasetDict, load_dataset

from .splits import SPLITS, check_split_names


def load_splits(
    dataset_name: str, config: str | None, split_names: Mapping[str, str] | None, load_kwargs: Mapping[str, Any]
) -> dict[str, Dataset]:
    """Loads the splits that training needs.

    Args:
        dataset_name: Hub name, or a local folder.
        config: The dataset's configuration, if it has several.
        split_names: Our split -> the dataset's, slices such as "train[:90%]" allowed; None takes train, validation and
            test, as far as there are.
        load_kwargs: Passed on to `load_dataset`.

    Raises:
        ValueError: If there is no train split, or a split is empty.
    """
    if split_names is not None:
        check_split_names("split_names", split_names)
        loaded = DatasetDict()
        for split, theirs in split_names.items():
            loaded[split] = load_dataset(dataset_name, config, split=theirs, **load_kwargs)
    else:
        loaded = load_dataset(dataset_name, config, **load_kwargs)
    if not isinstance(loaded, DatasetDict) or "train" not in loaded:
        found = list(loaded) if isinstance(loaded, DatasetDict) else type(loaded).__name__
        raise ValueError(
            f"dataset_name must name a dataset with the splits {SPLITS}, got {dataset_name!r} with {found}; "
            "pass split_names, and load neither one split nor a stream"
        )
    splits = {split: loaded[split] for split in SPLITS if split in loaded}
    for split, rows in splits.items():
        if len(rows) == 0:
            raise ValueError(f"split {split!r} must not be empty, got 0 rows; remove the split or add examples")
    return splits


def check_columns(split: str, rows: Dataset, columns: Sequence[str], remedy: str) -> None:
    """Refuses a split without the columns that are read.

    Raises:
        ValueError: If a column is missing.
    """
    if not set(columns) <= set(rows.column_names):
        raise ValueError(f"split {split!r} must have the columns {list(columns)}, got {rows.column_names}; {remedy}")
