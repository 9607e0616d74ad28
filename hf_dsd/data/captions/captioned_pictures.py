"""Captions and image vectors from a folder of pictures and files of captions, as people have them."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from hf_dsd.data.splits import check_seed, check_split_names

from .annotations import read_annotations
from .dataset import CaptionData, CaptionSplit
from .image_vectors import FOLDER, PictureEncoder, make_image_vectors
from .pictures import find_pictures

Captions = dict[str, list[str]]
"""Picture's name -> its captions."""


def load_captioned_pictures(
    image_dir: str | Path,
    captions: Sequence[str | Path],
    encoder: PictureEncoder,
    *,
    validation_fraction: float | None = None,
    test_fraction: float | None = None,
    split_seed: int = 0,
    vectors_dir: str | Path | None = None,
    batch_size: int = 32,
) -> CaptionData:
    """Reads captions, finds their pictures, and makes each picture's vector, once (see `make_image_vectors`).

    Args:
        image_dir: Folder of the pictures; they may lie in sub-folders.
        captions: One file or more, each in a format of `read_annotations`.
        encoder: Makes the image vectors.
        validation_fraction: In [0, 1): part of the training pictures that becomes the validation split where the files
            name none; 0 does without. None: the files must name it.
        test_fraction: The same for the test split.
        split_seed: Draws them, at least 0.
        vectors_dir: Where the vectors are kept; None keeps them in the folder `.image_vectors` of `image_dir`.
        batch_size: Pictures that the encoder gets at a time.

    Returns:
        Vectors as float32, and the splits in the order of the files.

    Raises:
        FileNotFoundError: If a file, the folder or a picture is missing.
        ValueError: If a file is malformed, two files caption one picture, there is no train split, a split is neither
            named nor drawn or both, a fraction is out of range, or a picture cannot be read.
    """
    folder = Path(image_dir)
    splits = draw_splits(
        _read_splits([Path(path) for path in captions], folder),
        {"validation": validation_fraction, "test": test_fraction},
        split_seed,
    )
    paths = find_pictures(folder, [name for pictures in splits.values() for name in pictures])
    features = make_image_vectors(list(paths.values()), encoder, vectors_dir or folder / FOLDER, batch_size=batch_size)
    row_of = {name: row for row, name in enumerate(paths)}
    return CaptionData(
        features,
        {
            split: CaptionSplit(list(pictures), [row_of[name] for name in pictures], list(pictures.values()))
            for split, pictures in splits.items()
        },
    )


def _read_splits(files: Sequence[Path], image_dir: Path) -> dict[str, Captions]:
    """Split -> picture -> captions; everything is for training where no file names a split."""
    found: dict[str, tuple[str | None, Path, list[str]]] = {}
    for path in files:
        for place, name, split, captions in read_annotations(path):
            name = _name_below(image_dir, path.parent / name) or name
            before, file, collected = found.setdefault(name, (split, path, []))
            if before != split:
                raise ValueError(f"{place}: {name!r} must be in one split, got {split} after {before}; remove one")
            if file != path:
                raise ValueError(f"{place}: {name!r} must be in one file, got it in {file}, too; leave one file out")
            collected += captions
    splits: dict[str, Captions] = {}
    for name, (split, _, captions) in found.items():
        splits.setdefault(split or "", {})[name] = captions
    unnamed = splits.pop("", {})
    if unnamed and splits:
        raise ValueError(
            f"captions must name the split of every picture or of none, got none of {next(iter(unnamed))!r}, beside "
            f"{list(splits)}; give it a split"
        )
    return splits or {"train": unnamed}


def _name_below(image_dir: Path, path: Path) -> str | None:
    """The name of a picture beside its captions file, as in an imagefolder; None if there is none in `image_dir`."""
    picture, folder = Path(os.path.abspath(path)), os.path.abspath(image_dir)
    is_below = picture.is_relative_to(folder) and picture.is_file()
    return picture.relative_to(folder).as_posix() if is_below else None


def draw_splits(
    splits: Mapping[str, Captions], fractions: Mapping[str, float | None], seed: int = 0
) -> dict[str, Captions]:
    """Adds the splits that are missing: pictures drawn from the training split by a seed.

    Args:
        splits: Split -> picture -> captions.
        fractions: Split -> part of the training pictures; None where the split must be there, 0 to do without it.
        seed: Draws them, at least 0.

    Raises:
        ValueError: If there is no train split, a split is neither there nor asked for, or both, a fraction is out of
            range or leaves nothing to train on, or the seed is negative or draws nothing.
    """
    check_split_names("the splits of captions", splits)
    _check_fractions(splits, fractions, seed)
    names = list(splits["train"])
    order = [names[row] for row in np.random.default_rng(seed).permutation(len(names))]
    result = dict(splits)
    for split, fraction in fractions.items():
        if not fraction:
            continue
        count = max(1, round(fraction * len(names)))
        chosen, order = set(order[:count]), order[count:]
        if not order:
            raise ValueError(
                f"{split}_fraction must leave pictures to train on, got {fraction} of {len(names)}; make it smaller"
            )
        result[split] = {name: captions for name, captions in splits["train"].items() if name in chosen}
    kept = set(order)
    return {**result, "train": {name: captions for name, captions in splits["train"].items() if name in kept}}


def _check_fractions(splits: Mapping[str, Captions], fractions: Mapping[str, float | None], seed: int) -> None:
    check_seed(seed)
    missing = [split for split, fraction in fractions.items() if fraction is None and split not in splits]
    if missing:
        options = " and ".join(f"{split}_fraction" for split in missing)
        raise ValueError(
            f"captions must name a {' and a '.join(missing)} split, got {list(splits)}; draw it from the training "
            f"pictures by {options} (0.1 is a tenth, 0 does without), or give the file that names it, too"
        )
    for split, fraction in fractions.items():
        if fraction is not None and not 0 <= fraction < 1:
            raise ValueError(f"{split}_fraction must be in [0, 1), got {fraction}; 0.1 is a tenth, 0 does without")
        if fraction is not None and split in splits:
            raise ValueError(f"captions names a {split} split itself, got {split}_fraction, too; leave that out")
    if seed and not any(fractions.values()):
        raise ValueError(f"split_seed {seed} draws splits, and none is drawn; leave it out")


__all__ = ["load_captioned_pictures"]
