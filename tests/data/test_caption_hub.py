from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset

from hf_dsd.data import load_caption_dataset

ROWS = {
    "train": {
        "image_features": [[0.0, 1.0], [2.0, 3.0]],
        "captions": [["a dog", "dog"], ["a cat"]],
        "name": ["p", "q"],
    },
    "validation": {"image_features": [[4.0, 5.0]], "captions": [["cat"]], "name": ["r"]},
    "test": {"image_features": [[6.0, 7.0]], "captions": [["dog", "dogs", "a dog"]], "name": ["s"]},
}


def load(folder: Path, rows: dict[str, Any], **options: Any) -> Any:
    """Writes one parquet file per split and loads the folder as `load_dataset` loads a Hub repository's files."""
    data_dir, cache_dir = folder / "data", folder / "cache"
    data_dir.mkdir()
    for split, columns in rows.items():
        Dataset.from_dict(columns).to_parquet(data_dir / f"{split}.parquet")
    return load_caption_dataset(str(data_dir), cache_dir=str(cache_dir), **options)


def test_splits_share_one_feature_matrix(tmp_path):
    data = load(tmp_path, ROWS)
    assert data.features.tolist() == [[0, 1], [2, 3], [4, 5], [6, 7]]
    assert {name: split.feature_rows for name, split in data.splits.items()} == {
        "train": [0, 1],
        "validation": [2],
        "test": [3],
    }
    assert data.split("train").captions == [["a dog", "dog"], ["a cat"]]
    assert data.split("test").images == ["test/0"]


def test_columns_may_have_other_names(tmp_path):
    train = {"vector": [[1.0]], "sentences": [["a dog"]], "name": ["p"]}
    data = load(tmp_path, {"train": train}, features_column="vector", captions_column="sentences", image_column="name")
    assert data.split("train").images == ["p"]
    assert data.features.tolist() == [[1.0]]


@pytest.mark.parametrize(
    ("rows", "error", "message"),
    [
        pytest.param(
            {"test": ROWS["test"]}, ValueError, r"must have a train split, got \['test'\] without one", id="no-train"
        ),
        pytest.param(
            {"train": {"captions": [["a"]]}}, ValueError, r"must have the columns .* got \['captions'\]", id="column"
        ),
        pytest.param(
            {"train": {"image_features": [[1.0], [1.0, 2.0]], "captions": [["a"], ["b"]]}},
            ValueError,
            "must be vectors of numbers of one length",
            id="ragged",
        ),
        pytest.param(
            {"train": {"image_features": [["x"]], "captions": [["a"]]}},
            ValueError,
            "must be vectors of numbers of one length",
            id="words-as-features",
        ),
        pytest.param(
            {"train": ROWS["train"], "test": {"image_features": [[1.0]], "captions": [["a"]]}},
            ValueError,
            "one length in all splits, got {'train': 2, 'test': 1}",
            id="dims-differ",
        ),
        pytest.param(
            {"train": {"image_features": [[1.0]], "captions": ["a dog"]}},
            TypeError,
            "captions of 'train/0' must be a list of str, got 'a dog'",
            id="captions-are-strings",
        ),
    ],
)
def test_a_dataset_of_another_shape_says_what_to_do(tmp_path, rows, error, message):
    with pytest.raises(error, match=message):
        load(tmp_path, rows)


def test_one_split_alone_is_refused(tmp_path):
    with pytest.raises(ValueError, match="with Dataset; pass split_names"):
        load(tmp_path, ROWS, split="train")
