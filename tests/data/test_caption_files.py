import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from hf_dsd.data import load_captions

LINES = [
    {"image": "p.jpg", "split": "train", "captions": ["a dog", "dog"]},
    {"image": "q.jpg", "split": "test", "captions": ["a cat"]},
    {"image": "r.jpg", "split": "train", "captions": ["a cat runs"]},
]


def write_folder(folder: Path) -> Path:
    """Three images with four-dimensional half-precision vectors 0..11, in another order than the captions."""
    (folder / "captions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in LINES))
    (folder / "image_ids.json").write_text(json.dumps(["q.jpg", "r.jpg", "p.jpg"]))
    save_file({"features": torch.arange(12).reshape(3, 4).half()}, folder / "features.safetensors")
    return folder


def test_rows_follow_the_image_ids(tmp_path):
    data = load_captions(write_folder(tmp_path))
    assert data.features.dtype == torch.float32
    assert list(data.splits) == ["train", "test"]
    train = data.split("train")
    assert train.images == ["p.jpg", "r.jpg"]
    assert train.captions == [["a dog", "dog"], ["a cat runs"]]
    assert data.features[train.feature_rows].tolist() == [[8, 9, 10, 11], [4, 5, 6, 7]]


@pytest.mark.parametrize(
    ("columns", "expected"),
    [("0:2", [0, 1]), ("2:4", [2, 3]), (":1", [0]), ("3:", [3]), (None, [0, 1, 2, 3])],
    ids=["first", "last", "open-start", "open-stop", "all"],
)
def test_feature_columns(tmp_path, columns, expected):
    assert load_captions(write_folder(tmp_path), feature_columns=columns).features[0].tolist() == expected


@pytest.mark.parametrize("columns", ["2:2", "0:5", "3", "a:b", "-1:2", "1:2:3"])
def test_impossible_feature_columns(tmp_path, columns):
    with pytest.raises(ValueError, match=f"0 <= start < stop <= 4, got '{columns}'; for example '0:4'"):
        load_captions(write_folder(tmp_path), feature_columns=columns)


@pytest.mark.parametrize("name", ["captions.jsonl", "image_ids.json", "features.safetensors"])
def test_a_missing_file_is_named(tmp_path, name):
    (write_folder(tmp_path) / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"data_dir .* lacks {name}; "):
        load_captions(tmp_path)


def good(**changes: object) -> str:
    """The first line with some of its fields changed."""
    return json.dumps({**LINES[0], **changes})


@pytest.mark.parametrize(
    ("line", "message"),
    [
        pytest.param('{"image": "p.jpg"', "line 2 must be a JSON object, got", id="not-json"),
        pytest.param("[]", r"line 2 must be a JSON object, got '\[\]'", id="not-an-object"),
        pytest.param('{"image": "p.jpg"}', "line 2 must be a JSON object with image, split, captions", id="fields"),
        pytest.param(good(image=3), "line 2: image must be a str, got 3", id="image-number"),
        pytest.param(good(image="x.jpg"), "line 2: image must be in image_ids.json, got 'x.jpg'", id="no-features"),
        pytest.param(good(), "line 2: image must appear once, got 'p.jpg' again", id="twice"),
        pytest.param(good(split="dev"), "line 2: split must be one of .* got 'dev'", id="split"),
        pytest.param(
            good(captions=[]), r"line 2: captions must be a non-empty list of str, got \[\]", id="no-captions"
        ),
        pytest.param(good(captions="a dog"), "line 2: captions must be .* got 'a dog'", id="one-string"),
    ],
)
def test_a_malformed_line_is_named_by_its_number(tmp_path, line, message):
    write_folder(tmp_path)
    (tmp_path / "captions.jsonl").write_text(good() + "\n" + line + "\n")
    with pytest.raises(ValueError, match=f"captions.jsonl {message}"):
        load_captions(tmp_path)


@pytest.mark.parametrize(
    ("image_ids", "message"),
    [
        pytest.param("[", "must be a JSON list of image names, got invalid JSON", id="not-json"),
        pytest.param('{"p.jpg": 0}', "must be a JSON list of image names, got {", id="not-a-list"),
        pytest.param('["p.jpg", "q.jpg", "p.jpg"]', "must name every image once, got 'p.jpg' twice", id="twice"),
        pytest.param('["p.jpg", "q.jpg"]', "one image per feature row, got 2 names and 3 rows", id="too-few"),
    ],
)
def test_broken_image_ids(tmp_path, image_ids, message):
    (write_folder(tmp_path) / "image_ids.json").write_text(image_ids)
    with pytest.raises(ValueError, match=message):
        load_captions(tmp_path)


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        pytest.param({"vectors": torch.zeros(3, 4)}, r"must hold the tensor 'features', got \['vectors'\]", id="name"),
        pytest.param(
            {"features": torch.zeros(3, 4, 1)}, r"must be \(images, dims\), got shape \[3, 4, 1\]", id="shape"
        ),
        pytest.param({"features": torch.full((3, 4), torch.nan)}, "got NaN or infinity for 2 image", id="nan"),
    ],
)
def test_broken_features(tmp_path, tensors, message):
    save_file(tensors, write_folder(tmp_path) / "features.safetensors")
    with pytest.raises(ValueError, match=message):
        load_captions(tmp_path)


def test_a_features_file_of_another_kind(tmp_path):
    (write_folder(tmp_path) / "features.safetensors").write_bytes(b"not a tensor file")
    with pytest.raises(ValueError, match="must be a safetensors file, got"):
        load_captions(tmp_path)
