"""Splits by any name, in every script that reads data of one's own; and what is said where there is none."""

import json
import runpy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset
from PIL import Image
from scripts import ROOT

from hf_dsd.data.hub_splits import load_splits


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")


def reader(script: str, function: str):
    """Split -> its rows' numbers, as a script reads them from its arguments."""
    module = runpy.run_path(str(ROOT / "examples" / f"{script}.py"))
    return lambda **changes: module[function](replace(module["DataArguments"](), **changes))


@pytest.fixture(scope="module")
def load_sentences():
    return reader("run_text_classification", "load_sentences")


@pytest.fixture(scope="module")
def load_pictures():
    return reader("run_image_classification", "load_pictures")


@pytest.fixture(scope="module")
def load_texts():
    return reader("run_clm", "load_texts")


def write_sentences(folder: Path, **sizes: int) -> str:
    """Per split a file of sentences "SPLIT ROW", half of each class; a card says the splits, as on the Hub."""
    folder.mkdir(exist_ok=True)
    files = "".join(f"  - split: {name}\n    path: {name}.jsonl\n" for name in sizes)
    (folder / "README.md").write_text(f"---\nconfigs:\n- config_name: default\n  data_files:\n{files}---\n")
    for name, size in sizes.items():
        rows = [{"sentence": f"{name} {row}", "label": row % 2} for row in range(size)]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(folder)


def write_pictures(folder: Path, **sizes: int) -> str:
    for name, size in sizes.items():
        for row in range(size):
            (folder / name / "ab"[row % 2]).mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((4, 4, 3), row, np.uint8)).save(folder / name / "ab"[row % 2] / f"{row}.png")
    return str(folder)


def owners(rows: Dataset) -> set[str]:
    return {text.split()[0] for text in rows["text"]}


@pytest.mark.parametrize("name", ["dev", "valid", "val", "validation"])
@pytest.mark.parametrize("source", ["data_dir", "dataset_name"])
def test_sentences_to_validate_on_by_any_name(tmp_path, caplog, load_sentences, source, name):
    splits = load_sentences(**{source: write_sentences(tmp_path / "x", **{"train": 20, name: 6, "eval": 4})})
    assert {split: (len(rows), owners(rows)) for split, rows in splits.items()} == {
        "train": (20, {"train"}),
        "validation": (6, {name}),
        "test": (4, {"eval"}),
    }
    assert caplog.text == ""


@pytest.mark.parametrize("source", ["data_dir", "dataset_name"])
def test_sentences_of_named_splits(tmp_path, load_sentences, source):
    folder = write_sentences(tmp_path / "x", train=20, validation=8, test=6)
    names = {"train_split": "train+validation", "validation_split": "test"}
    splits = load_sentences(**{source: folder}, **names)
    assert {split: len(rows) for split, rows in splits.items()} == {"train": 28, "validation": 6}  # and no test split
    assert owners(splits["train"]) == {"train", "validation"}
    with pytest.raises(ValueError, match="splits must differ, got .*test.*; name another"):
        load_sentences(**{source: folder}, validation_split="test", test_split="test")


def test_a_share_that_is_cut_off_is_told(tmp_path, caplog, load_sentences, load_pictures, load_texts):
    said = "the data has no validation split: {} of its {} training examples, drawn at random, are held out"
    sizes = {"train": 40, "other": 8}
    splits = load_sentences(data_dir=write_sentences(tmp_path / "x", **sizes))
    assert [len(splits[split]) for split in ("train", "validation")] == [36, 4]
    assert said.format(4, 40) in caplog.text
    assert "--validation_split" in caplog.text
    splits = load_pictures(data_dir=write_pictures(tmp_path / "y", **sizes))
    assert [len(splits[split]) for split in ("train", "validation")] == [36, 4]
    assert caplog.text.count(said.format(4, 40)) == 2
    (tmp_path / "x" / "README.md").unlink()
    splits = load_texts(dataset_name=str(tmp_path / "x"), text_column="sentence")
    assert [len(splits[split]) for split in ("train", "validation")] == [38, 2]
    assert said.format(2, 40) in caplog.text


def test_pictures_by_any_name(tmp_path, caplog, load_pictures):
    folder = write_pictures(tmp_path / "x", train=10, valid=4, held=6)
    assert {split: len(rows) for split, rows in load_pictures(data_dir=folder).items()} == {
        "train": 10,
        "validation": 4,
    }
    splits = load_pictures(data_dir=folder, validation_split="held", test_split="valid", train_size=3)
    assert {split: len(rows) for split, rows in splits.items()} == {"train": 3, "validation": 6, "test": 4}
    assert splits["validation"].features["label"].names == ["a", "b"]
    assert sorted(splits["validation"]["label"]) == [0, 0, 0, 1, 1, 1]
    with pytest.raises(ValueError, match=r"must have a validation split, got \['held', 'train', 'valid'\] without x"):
        load_pictures(data_dir=folder, validation_split="x")
    assert caplog.text == ""


def test_texts_by_any_name(tmp_path, load_texts):
    folder = write_sentences(tmp_path / "x", train=20, dev=8, test=6)
    splits = load_texts(dataset_name=folder, text_column="sentence")
    assert {split: len(rows) for split, rows in splits.items()} == {"train": 20, "validation": 8}
    splits = load_texts(dataset_name=folder, text_column="sentence", test_split="test")
    assert {split: len(rows) for split, rows in splits.items()} == {"train": 20, "validation": 8, "test": 6}


def test_a_split_that_is_named_is_found_as_no_other(tmp_path):
    folder = write_sentences(tmp_path / "x", train=20, validation=8, test=6)
    names = {"train": "train[:90%]", "validation": "train[90%:]", "test": None}
    splits = load_splits(folder, None, names, {})
    assert {split: len(rows) for split, rows in splits.items()} == {"train": 18, "validation": 2, "test": 6}
    splits = load_splits(folder, None, {"train": None, "validation": "test", "test": None}, {})
    assert {split: len(rows) for split, rows in splits.items()} == {"train": 20, "validation": 6}
    with pytest.raises(ValueError, match="must have a train split, got .*without one; name it by --train_split"):
        load_splits(folder, None, {"train": None, "validation": "train[90%:]"}, {})
