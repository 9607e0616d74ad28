"""The splits of a data set: their names, and what every source checks of them."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TypeVar

import numpy as np

Row = TypeVar("Row")
Rows = TypeVar("Rows")

SPLITS = ("train", "validation", "test")
"""The split names every source uses."""

SPLIT_WORDS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "dev", "val"),
    "test": ("test", "testing", "eval", "evaluation"),
}
"""Our split -> the words by which other names of it are known, as `datasets` knows them."""

LARGEST_SPLIT = 100_000
"""Of a set that is made on the spot: more would take hours or gigabytes."""


def check_split_names(field: str, names: Iterable[str]) -> None:
    """Refuses names other than `SPLITS`, and data to which nothing can be fitted.

    Args:
        field: What messages call the mapping.
        names: The splits there are.

    Raises:
        ValueError: If a name is unknown, or there is no train split.
    """
    found = list(names)
    if not {"train"} <= set(found) <= set(SPLITS):
        raise ValueError(f"{field} must be 'train' and any of {SPLITS[1:]}, got {found}; rename them")


def find_split(splits: Mapping[str, Rows], name: str) -> Rows:
    """One split by name.

    Raises:
        ValueError: If there is no such split.
    """
    if name not in splits:
        raise ValueError(f"split must be one of {list(splits)}, got {name!r}; this data has no other")
    return splits[name]


def check_split_sizes(sizes: Mapping[str, int], seed: int, *, smallest_train: int = 1) -> None:
    """Checks what a set that is made on the spot is asked for.

    Args:
        sizes: Split name -> number of examples.
        seed: Of the set.
        smallest_train: Examples that the train split needs.

    Raises:
        ValueError: If a split's name is unknown, a size is out of range, or the seed is negative.
    """
    check_split_names("split_sizes", sizes)
    for split, size in sizes.items():
        smallest = smallest_train if split == "train" else 1
        if not smallest <= size <= LARGEST_SPLIT:
            raise ValueError(
                f"split_sizes[{split!r}] must be in [{smallest}, {LARGEST_SPLIT}], got {size}; "
                "leave a split out to skip it"
            )
    check_seed(seed)


def draw_rows(size: int, available: int, seed: int) -> list[int]:
    """Which rows a training set of `size` examples takes of those there are: `size` different ones, in order.

    A smaller set of the same seed is a part of a larger one, so that results over sizes differ by the size alone.

    Raises:
        ValueError: If there are not so many, or the seed is negative.
    """
    check_seed(seed)
    if not 1 <= size <= available:
        raise ValueError(f"train_size must be in [1, {available}], got {size}: the training split has no more examples")
    return sorted(np.random.default_rng(seed).permutation(available)[:size].tolist())


def check_seed(seed: int) -> None:
    """Refuses what numpy's seed sequences do not take.

    Raises:
        ValueError: If the seed is negative.
    """
    if seed < 0:
        raise ValueError(f"seed must be at least 0, got {seed}; choose any non-negative integer")


def check_new_splits(splits: Iterable[str], shares: Iterable[str]) -> None:
    """Refuses to draw a split from the training rows that the data has itself.

    Raises:
        ValueError: Names the split, and what to leave out.
    """
    if twice := sorted(set(splits) & set(shares)):
        raise ValueError(f"the data has a {twice[0]} split itself, got {twice[0]}_share, too; leave that out")


def hold_out(train: Sequence[Row], shares: Mapping[str, float], seed: int) -> dict[str, list[Row]]:
    """Parts of a training split at random, for data without the splits that are needed.

    Args:
        train: The rows there are.
        shares: New split -> its share of the rows, above 0; together below 1. Each gets at least one row.
        seed: At least 0; the same rows, shares and seed give the same splits.

    Returns:
        The new splits, and "train" without their rows, all in the order of the rows.

    Raises:
        ValueError: If the shares or the seed are out of range, or no row is left to train on.
    """
    check_seed(seed)
    order = np.random.default_rng(seed).permutation(len(train)).tolist()
    splits, start = {}, 0
    for split, share in shares.items():
        if not 0 < share < 1:
            raise ValueError(f"{split}_share must be above 0 and below 1, got {share}; 0.1 is a tenth")
        stop = start + max(round(share * len(train)), 1)
        splits[split] = [train[row] for row in sorted(order[start:stop])]
        start = stop
    if start >= len(train):
        raise ValueError(f"shares must leave rows to train on, got {dict(shares)} of {len(train)} rows; take less")
    return {"train": [train[row] for row in sorted(order[start:])], **splits}


def choose_splits(
    available: Collection[str], split_names: Mapping[str, str | None] | None, required: Collection[str], where: str
) -> dict[str, list[str]]:
    """Which of a source's splits are to be read as which of ours.

    Args:
        available: The source's names.
        split_names: Our split -> the source's name, several joined by "+"; None where it is to be found by
            `SPLIT_WORDS`, among those that no other is named by. Splits that are not keys are not read. None looks
            for all of `SPLITS`.
        required: Of ours, those that must be found; a split that is named must be there anyway.
        where: The source, for messages.

    Returns:
        Our split -> the names there, only those that were found.

    Raises:
        ValueError: If a split is missing, could be one of several, or would be read twice.
    """
    names = dict.fromkeys(SPLITS) if split_names is None else split_names
    check_split_names("split_names", {**names, "train": None})  # a caller may have read that already
    named = {split: _named(name, available) for split, name in names.items() if name is not None}
    free = set(available) - {name for found in named.values() for name in found or ()}
    chosen: dict[str, list[str]] = {}
    for split, name in names.items():
        found = _known_as(split, free) if name is None else named[split]
        if found is None and (name is not None or split in required):
            raise ValueError(
                f"{where} must have a {split} split, got {sorted(available)} without {name or 'one'}; name it by "
                f"--{split}_split (split_names in Python)"
                + ("" if split == "train" else f", or take a part of train by --{split}_share 0.1 (with_held_out)")
            )
        if found is not None:
            chosen[split] = found
    owners: dict[str, str] = {}
    for split, found in chosen.items():
        for name in found:
            if owners.setdefault(name, split) != split:
                raise ValueError(f"splits must differ, got {name!r} for {owners[name]} and {split}; name another")
    return chosen


def _known_as(split: str, available: Collection[str]) -> list[str] | None:
    """The only name that is known as a split: one that is just such a word before one that contains it."""
    words = set(SPLIT_WORDS[split])
    exact = [name for name in available if name.lower() in words]
    found = exact or [name for name in available if split_of_name(name) == split]
    if len(found) > 1:
        raise ValueError(
            f"the {split} split must be one, got {sorted(found)}; choose by --{split}_split (split_names in Python), "
            f"several as {'+'.join(sorted(found)[:2])}"
        )
    return found or None


def split_of_name(name: str) -> str | None:
    """Our split that a name speaks of by one of its words: "validation" for "dev-clean"; None for none or several."""
    parts = set(re.split(r"[-._ 0-9]+", name.lower()))
    found = [split for split, words in SPLIT_WORDS.items() if parts & set(words)]
    return found[0] if len(found) == 1 else None


def _named(name: str, available: Collection[str]) -> list[str] | None:
    """The names that a user means: as they are, or with other punctuation, as train.clean.100 for train-clean-100."""
    plain = {re.sub(r"[-._ ]+", "-", other.lower()): other for other in available}
    parts = [name] if name in available else name.split("+")
    found = [part if part in available else plain.get(re.sub(r"[-._ ]+", "-", part.lower()), "") for part in parts]
    return found if all(found) else None
