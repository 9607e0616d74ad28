"""Pictures in IDX files, the format of MNIST and Fashion-MNIST, read strictly.

A file is two zero bytes, a type (8: unsigned bytes), the number of dimensions, the size of each as four bytes,
big-endian, and the values.
"""

import gzip
import math
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from datasets import ClassLabel, Dataset, DatasetDict, Features, Image

_PREFIXES = {"train": "train", "test": "t10k"}
_REMEDY = "copy or download the file again"


def holds_idx(folder: str | Path) -> bool:
    """True if a folder holds training pictures as IDX, zipped or not."""
    return any(Path(folder).glob("train-images-idx3-ubyte*"))


def load_idx_pictures(folder: str | Path, class_names: Sequence[str] | None = None) -> DatasetDict:
    """Reads the splits "train" and "test" with the columns "image" (grey) and "label".

    Args:
        folder: Holds `train-images-idx3-ubyte`, `train-labels-idx1-ubyte` and the same of `t10k`, each also as `.gz`.
        class_names: By label; None calls the classes "0", "1" and so on.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If a file is damaged, or pictures, labels and names do not go together; names the file.
    """
    return DatasetDict({split: _read_split(Path(folder), split, class_names) for split in _PREFIXES})


def _read_split(folder: Path, split: str, class_names: Sequence[str] | None) -> Dataset:
    files = [_find(folder / f"{_PREFIXES[split]}-{what}") for what in ("images-idx3-ubyte", "labels-idx1-ubyte")]
    pictures, labels = read_idx(files[0], 3), read_idx(files[1], 1)
    if len(pictures) != len(labels) or not len(labels):
        raise ValueError(
            f"{files[0]} and {files[1]} must hold as many pictures as labels, at least one, got {len(pictures)} and "
            f"{len(labels)}; take both from one set"
        )
    names = [str(label) for label in range(int(labels.max()) + 1)] if class_names is None else list(class_names)
    if labels.max() >= len(names):
        raise ValueError(f"class_names must name every label of {files[1]}, got {len(names)} for label {labels.max()}")
    header = b"P5 %d %d 255\n" % pictures.shape[:0:-1]  # a PGM file is this line and the bytes of an IDX picture
    images: list[dict[str, Any]] = [{"bytes": header + picture.tobytes(), "path": None} for picture in pictures]
    features = Features({"image": Image(), "label": ClassLabel(names=names)})
    return Dataset.from_dict({"image": images, "label": labels.tolist()}, features)


def _find(path: Path) -> Path:
    zipped = path.with_name(f"{path.name}.gz")
    found = next((each for each in (path, zipped) if each.is_file()), None)
    if found is None:
        raise FileNotFoundError(f"{path} is missing, and {zipped.name} too; an IDX set has four files: copy it whole")
    return found


def read_idx(path: Path, dimensions: int) -> np.ndarray:
    """The unsigned bytes of an IDX file, unzipped where its name ends in `.gz`.

    Args:
        path: The file.
        dimensions: How many it must have: 3 for pictures, 1 for labels.

    Raises:
        ValueError: If it is no such file, or shorter or longer than its header says.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            magic, head = file.read(4), file.read(4 * dimensions)
            sizes = tuple(np.frombuffer(head, ">u4").tolist()) if len(head) == 4 * dimensions else ()
            if magic != bytes([0, 0, 8, dimensions]) or not sizes:
                raise ValueError(
                    f"{path} must begin as an IDX file of unsigned bytes in {dimensions} dimension(s), "
                    f"{bytes([0, 0, 8, dimensions]).hex()} and their sizes, got {(magic + head).hex()}; {_REMEDY}"
                )
            content = file.read(math.prod(sizes) + 1)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path} must be a whole gzip file, got a damaged one ({error}); {_REMEDY}") from error
    if len(content) != math.prod(sizes):
        wrong = "more" if len(content) > math.prod(sizes) else f"{len(content)}"
        raise ValueError(f"{path} must hold {math.prod(sizes)} bytes after its header {sizes}, got {wrong}; {_REMEDY}")
    return np.frombuffer(content, np.uint8).reshape(sizes)
