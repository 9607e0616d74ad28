"""The splits of a dataset on the Hub, or of any path that `datasets.load_dataset` reads."""

import logging
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from datasets import Dataset, DatasetDict, load_dataset

from .splits import SPLITS, check_split_names, choose_splits

_logger = logging.getLogger(__name__)


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
            the words in its name, among those that no other is named by, and other splits are not loaded. None looks
            for train, validation and test.
        load_kwargs: Passed on to `load_dataset`.
        required: Of ours, those that must be found.

    Raises:
        ValueError: If a split is missing or could be one of several, would be read twice, or is empty.
    """
    names = dict.fromkeys(SPLITS) if split_names is None else dict(split_names)
    check_split_names("split_names", names)
    named = {split: theirs for split, theirs in names.items() if theirs is not None}
    if len(set(named.values())) < len(named):
        raise ValueError(f"splits must differ, got {named}; name another")
    splits = {split: load_dataset(dataset_name, config, split=theirs, **load_kwargs) for split, theirs in named.items()}
    if to_find := dict.fromkeys(split for split in names if split not in named):
        loaded = load_dataset(dataset_name, config, **load_kwargs)
        taken = {re.sub(r"\[.*", "", part).strip() for theirs in named.values() for part in theirs.split("+")}
        splits |= _find_splits(dataset_name, loaded, to_find, required, taken)
    for split, rows in splits.items():
        if len(rows) == 0:
            raise ValueError(f"split {split!r} must not be empty, got 0 rows; remove the split or add examples")
    return {split: splits[split] for split in SPLITS if split in splits}


def _find_splits(
    dataset_name: str, loaded: Any, to_find: Mapping[str, None], required: Collection[str], taken: set[str]
) -> dict[str, Dataset]:
    if not isinstance(loaded, DatasetDict):
        raise ValueError(
            f"dataset_name must name a dataset with the splits {SPLITS}, got {dataset_name!r} with "
            f"{type(loaded).__name__}; pass split_names, and load neither one split nor a stream"
        )
    chosen = choose_splits(set(loaded) - taken, to_find, required, f"the dataset {dataset_name!r}")
    return {split: loaded[name] for split, (name,) in chosen.items()}


def load_files(
    builder: str, files: Mapping[str, str], split_names: Mapping[str, str | None], where: str
) -> DatasetDict:
    """Loads the splits that are used from files whose names are the splits'.

    Args:
        builder: What reads them, as `load_dataset` knows it, for example "json" or "imagefolder".
        files: Name -> a path or pattern.
        split_names: As in `choose_splits`.
        where: The source, for messages.

    Raises:
        ValueError: As `choose_splits`.
    """
    chosen = choose_splits(files, split_names, ("train",), where)
    return load_dataset(builder, data_files={split: [files[name] for name in names] for split, names in chosen.items()})


def with_validation(splits: Mapping[str, Dataset], share: float, label_column: str | None = None) -> DatasetDict:
    """The splits, and where there is no validation split one that is cut off the training split: the log says so.

    Args:
        splits: Our split -> its rows, "train" among them.
        share: Of the training rows, above 0 and below 1.
        label_column: A column of classes, whose shares stay as they are; None draws from all rows alike.
    """
    if "validation" in splits:
        return DatasetDict(splits)
    train = splits["train"]
    parts = train.train_test_split(test_size=share, seed=0, stratify_by_column=label_column)
    _logger.warning(
        "the data has no validation split: %d of its %d training examples, drawn at random, are held out for it; where "
        "it has one by another name, give that as --validation_split",
        len(parts["test"]),
        len(train),
    )
    return DatasetDict({**splits, "train": parts["train"], "validation": parts["test"]})


def check_columns(split: str, rows: Dataset, columns: Sequence[str], remedy: str) -> None:
    """Refuses a split without the columns that are read.

    Raises:
        ValueError: If a column is missing.
    """
    if not set(columns) <= set(rows.column_names):
        raise ValueError(f"split {split!r} must have the columns {list(columns)}, got {rows.column_names}; {remedy}")
