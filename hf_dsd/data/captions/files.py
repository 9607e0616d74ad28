"""Captions and image vectors from a folder of three files."""

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from hf_dsd.data.splits import SPLITS
from hf_dsd.data.tables import read_json_list, read_jsonl

from .dataset import CaptionData, CaptionSplit

CAPTIONS_FILE = "captions.jsonl"
IMAGE_IDS_FILE = "image_ids.json"
FEATURES_FILE = "features.safetensors"
FEATURES_KEY = "features"


def load_captions(data_dir: str | Path, *, feature_columns: str | None = None) -> CaptionData:
    """Reads a folder with `captions.jsonl`, `image_ids.json` and `features.safetensors`.

    `captions.jsonl` has one line per image, `{"image": name, "split": "train" | "validation" | "test", "captions":
    [text, ...]}`; `image_ids.json` lists the names in the order of the rows of the tensor `features`, (images, dims)
    of any float type.

    Args:
        data_dir: The folder.
        feature_columns: Columns to keep as "start:stop", either end may be missing; None keeps all. For files that hold
            the vectors of several networks side by side.

    Returns:
        Features as float32 and the splits in the order of the lines.

    Raises:
        FileNotFoundError: If the folder or one of the files is missing.
        ValueError: If a line is malformed (named by its number), an image has no feature row or appears twice, names
            and rows differ in number, `feature_columns` is out of range, or as `CaptionData` and `CaptionSplit`.
    """
    folder = Path(data_dir)
    missing = [name for name in (CAPTIONS_FILE, IMAGE_IDS_FILE, FEATURES_FILE) if not (folder / name).is_file()]
    if missing:
        remedy = "check the path, or give pictures and their captions as image_dir and captions"
        if matlab := next(folder.glob("*.mat"), None):
            remedy += f", or save what scipy.io.loadmat reads of {matlab.name} as {FEATURES_FILE}, one row per image"
        raise FileNotFoundError(f"data_dir {str(folder)!r} lacks {', '.join(missing)}; {remedy}")
    image_ids = _read_image_ids(folder / IMAGE_IDS_FILE)
    features = _read_features(folder / FEATURES_FILE, feature_columns)
    if len(features) != len(image_ids):
        raise ValueError(
            f"{IMAGE_IDS_FILE} must name one image per feature row, got {len(image_ids)} names and {len(features)} "
            "rows; write both from the same extraction"
        )
    row_of = {image: row for row, image in enumerate(image_ids)}
    return CaptionData(features, _read_splits(folder / CAPTIONS_FILE, row_of))


def _read_image_ids(path: Path) -> list[str]:
    image_ids = read_json_list(path, "image names")
    if len(set(image_ids)) < len(image_ids):
        twice = next(name for row, name in enumerate(image_ids) if name in image_ids[:row])
        raise ValueError(f"{path} must name every image once, got {twice!r} twice; remove one of the rows")
    return image_ids


def _read_features(path: Path, feature_columns: str | None) -> Tensor:
    try:
        with safe_open(path, framework="pt") as file:
            if FEATURES_KEY not in file.keys():  # noqa: SIM118  a safetensors handle is not iterable
                raise ValueError(f"{path} must hold the tensor {FEATURES_KEY!r}, got {list(file.keys())}; rename it")
            features = file.get_slice(FEATURES_KEY)
            shape = features.get_shape()
            if len(shape) != 2:
                raise ValueError(
                    f"{FEATURES_KEY} must be (images, dims), got shape {shape}; pool to one vector per image, for "
                    "example the average over a grid: features.mean(dim=(2, 3)) of (images, dims, height, width)"
                )
            start, stop = parse_columns(feature_columns, shape[1])
            columns: Tensor = features[:, start:stop]
    except SafetensorError as error:
        raise ValueError(f"{path} must be a safetensors file, got {error}; write it again") from error
    return columns.to(torch.float32)


def parse_columns(feature_columns: str | None, dims: int) -> tuple[int, int]:
    """Reads "start:stop" as a non-empty range of columns.

    Args:
        feature_columns: "start:stop" with 0 <= start < stop <= dims; a missing end means the first or last column; None
            means all.
        dims: Number of columns there are.

    Returns:
        Start and stop.

    Raises:
        ValueError: If the text is not such a range.
    """
    if feature_columns is None:
        return 0, dims
    first, colon, last = feature_columns.partition(":")
    if colon and all(part == "" or (part.isdecimal() and len(part) < 10) for part in (first, last)):
        start, stop = int(first or 0), int(last or dims)
        if start < stop <= dims:
            return start, stop
    raise ValueError(
        f"feature_columns must be 'start:stop' with 0 <= start < stop <= {dims}, got {feature_columns!r}; "
        f"for example '0:{dims}'"
    )


def _read_splits(path: Path, row_of: dict[str, int]) -> dict[str, CaptionSplit]:
    rows: dict[str, list[tuple[str, list[str]]]] = {}
    seen: set[str] = set()
    for place, line in read_jsonl(path):
        image, split, captions = _check_line(place, line)
        if image not in row_of:
            raise ValueError(
                f"{place}: image must be in {IMAGE_IDS_FILE}, got {image!r} without features; extract its features or "
                "remove the line"
            )
        if image in seen:
            raise ValueError(f"{place}: image must appear once, got {image!r} again; merge the lines")
        seen.add(image)
        rows.setdefault(split, []).append((image, captions))
    return {
        split: CaptionSplit(
            images=[image for image, _ in rows[split]],
            feature_rows=[row_of[image] for image, _ in rows[split]],
            captions=[captions for _, captions in rows[split]],
        )
        for split in SPLITS
        if split in rows
    }


def _check_line(place: str, row: dict[str, Any]) -> tuple[str, str, list[str]]:
    fields = ("image", "split", "captions")
    if any(field not in row for field in fields):
        raise ValueError(f"{place} must be a JSON object with {', '.join(fields)}, got {row!r:.80}; complete it")
    image, split, captions = (row[field] for field in fields)
    if not isinstance(image, str):
        raise ValueError(f"{place}: image must be a str, got {image!r:.80}; give the image's name")
    if split not in SPLITS:
        raise ValueError(f"{place}: split must be one of {SPLITS}, got {split!r}; rename it or remove the line")
    if not isinstance(captions, list) or not captions or not all(isinstance(caption, str) for caption in captions):
        raise ValueError(
            f"{place}: captions must be a non-empty list of str, got {captions!r:.80}; write a list "
            'like ["a dog runs"], or remove the line'
        )
    return image, split, captions
