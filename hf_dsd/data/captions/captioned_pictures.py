"""Captions and image vectors from a folder of pictures and files of captions, as people have them."""

import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from hf_dsd.data.splits import SPLITS, check_new_splits, check_split_names, hold_out

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
    shares: Mapping[str, float] | None = None,
    required_splits: Collection[str] = SPLITS,
    split_seed: int = 0,
    vectors_dir: str | Path | None = None,
    batch_size: int = 32,
) -> CaptionData:
    """Reads captions, finds their pictures, and makes each picture's vector, once (see `make_image_vectors`).

    Args:
        image_dir: Folder of the pictures; they may lie in sub-folders.
        captions: One file or more, each in a format of `read_annotations`.
        encoder: Makes the image vectors.
        shares: "validation" or "test" -> part of the training pictures that becomes this split, in (0, 1), where the
            files name none.
        required_splits: Those that must be there; without "test" nothing can be scored.
        split_seed: Draws them, at least 0.
        vectors_dir: Where the vectors are kept; None keeps them in the folder `.image_vectors` of `image_dir`.
        batch_size: Pictures that the encoder gets at a time.

    Returns:
        Vectors as float32, and the splits in the order of the files.

    Raises:
        FileNotFoundError: If a file, the folder or a picture is missing.
        ValueError: If a file is malformed, two files caption one picture, there is no train split, a split is neither
            named nor drawn or both, a share is out of range, or a picture cannot be read.
    """
    folder = Path(image_dir)
    named = _read_splits([Path(path) for path in captions], folder)
    splits = _hold_out(named, shares or {}, required_splits, split_seed)
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


def _hold_out(
    splits: dict[str, Captions], shares: Mapping[str, float], required: Collection[str], seed: int
) -> dict[str, Captions]:
    """The splits, those of `shares` drawn from the training pictures."""
    check_split_names("the splits of captions", splits)
    if missing := [split for split in required if split not in splits and split not in shares]:
        options = " and ".join(f"{split}_share" for split in missing)
        raise ValueError(
            f"captions must name a {' and a '.join(missing)} split, got {list(splits)}; draw it from the training "
            f"pictures by {options} (0.1 is a tenth), or give the file that names it, too"
        )
    check_new_splits(splits, shares)
    if seed and not shares:
        raise ValueError(f"split_seed {seed} draws splits, and none is drawn; leave it out")
    drawn = hold_out(list(splits["train"].items()), shares, seed)
    return {**splits, **{split: dict(pictures) for split, pictures in drawn.items()}}


__all__ = ["load_captioned_pictures"]
