"""IDX files: what is read of them, and what is refused by name."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from hf_dsd.data import holds_idx, load_idx_pictures
from hf_dsd.data.images.idx import read_idx

RANDOM = np.random.default_rng(0)
PICTURES = {"train": RANDOM.integers(0, 256, (6, 4, 3), np.uint8), "t10k": RANDOM.integers(0, 256, (3, 4, 3), np.uint8)}
LABELS = {"train": np.array([0, 1, 2, 2, 1, 0], np.uint8), "t10k": np.array([2, 0, 1], np.uint8)}


def as_idx(values: np.ndarray) -> bytes:
    """The file of unsigned bytes that holds an array."""
    return bytes([0, 0, 8, values.ndim]) + np.array(values.shape, ">u4").tobytes() + values.tobytes()


@pytest.fixture(params=["plain", "zipped"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    for split in PICTURES:
        for name, values in (("images-idx3-ubyte", PICTURES[split]), ("labels-idx1-ubyte", LABELS[split])):
            path = tmp_path / f"{split}-{name}"
            if request.param == "plain":
                path.write_bytes(as_idx(values))
            else:
                path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(as_idx(values)))
    return tmp_path


def test_every_pixel_and_label_is_read(folder: Path) -> None:
    assert holds_idx(folder)
    splits = load_idx_pictures(folder)
    for split, name in (("train", "train"), ("test", "t10k")):
        found = np.stack([np.array(row["image"]) for row in splits[split]])
        assert (found.dtype, found.shape) == (np.uint8, PICTURES[name].shape)
        assert (found == PICTURES[name]).all()
        assert splits[split]["label"][:] == LABELS[name].tolist()
    assert splits["train"].features["label"].names == ["0", "1", "2"]
    assert load_idx_pictures(folder, ["shoe", "shirt", "bag"])["test"].features["label"].names == [
        "shoe",
        "shirt",
        "bag",
    ]


def test_a_part_of_a_set_is_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"^class_names must name every label of .*idx1-ubyte.*, got 2 for label 2$"):
        load_idx_pictures(folder, ["shoe", "shirt"])
    (labels,) = folder.glob("t10k-labels*")
    labels.unlink()
    with pytest.raises(FileNotFoundError, match="t10k-labels-idx1-ubyte is missing, and t10k-labels-idx1-ubyte.gz too"):
        load_idx_pictures(folder)
    assert not holds_idx(folder / "elsewhere")


def test_pictures_and_labels_of_two_sets_are_refused(tmp_path: Path) -> None:
    for split in PICTURES:
        (tmp_path / f"{split}-images-idx3-ubyte").write_bytes(as_idx(PICTURES[split]))
        (tmp_path / f"{split}-labels-idx1-ubyte").write_bytes(as_idx(LABELS[split][:2]))
    with pytest.raises(ValueError, match="must hold as many pictures as labels, at least one, got 6 and 2; take both"):
        load_idx_pictures(tmp_path)


WHOLE = as_idx(PICTURES["train"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (WHOLE[:-1], r"must hold 72 bytes after its header \(6, 4, 3\), got 71; copy"),
        (WHOLE + b"\0", r"must hold 72 bytes after its header \(6, 4, 3\), got more; copy"),
        (WHOLE[:10], "must begin as an IDX file of unsigned bytes in 3 dimension"),
        (b"", r"00000803 and their sizes, got ; copy"),
        (as_idx(LABELS["train"]) + b"\0" * 12, "00000803 and their sizes, got 00000801"),
        (bytes([0, 0, 13]) + WHOLE[3:], "got 00000d03"),
        (b"\x89PNG" + WHOLE, "got 89504e47"),
    ],
    ids=["short", "long", "header cut", "empty", "labels", "floats", "PNG"],
)
def test_a_damaged_file_is_refused_by_its_name(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(content)
    with pytest.raises(
        ValueError, match=f"train-images-idx3-ubyte {message}" if message.startswith("must") else message
    ):
        read_idx(path, 3)


@pytest.mark.parametrize(
    "content",
    [gzip.compress(WHOLE)[:-9], gzip.compress(WHOLE)[:30], WHOLE, gzip.compress(WHOLE)[:10] + b"\xff" * 40],
    ids=["cut at the end", "cut", "not zipped", "overwritten"],
)
def test_a_damaged_zip_is_refused_by_its_name(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"train-images-idx3-ubyte.gz must be a whole gzip file, got a damaged one"):
        read_idx(path, 3)
