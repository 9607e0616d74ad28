"""One source of data, and no argument that it would ignore: in every script."""

import re
import runpy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from recordings import encode, ramp

from hf_dsd.data import SPLITS, draw_rows

EXAMPLES = Path(__file__).parents[2] / "examples"
LOADERS = {
    "run_captioning": "load_data",
    "run_image_classification": "load_pictures",
    "run_clm": "load_texts",
    "run_text_classification": "load_sentences",
    "run_speech_recognition_ctc": "load_data",
}
IGNORED = [
    ("run_captioning", {"dataset_name": "x", "feature_columns": "0:2"}, "feature_columns belongs to data_dir"),
    ("run_captioning", {"data_dir": "x", "captions": ["y"]}, "captions belongs to image_dir"),
    ("run_captioning", {"image_encoder": "y"}, "image_encoder belongs to image_dir, got 'y' with no source"),
    ("run_captioning", {"image_dir": "x", "feature_columns": "0:2"}, "feature_columns belongs to data_dir"),
    ("run_captioning", {"data_dir": "x", "test_split": "y"}, "test_split belongs to dataset_name, got 'y' with data_"),
    ("run_clm", {"train_file": "x", "validation_split": "y"}, "validation_split belongs to dataset_name"),
    ("run_text_classification", {"train_split": "y"}, "train_split belongs to data_dir, got 'y' with no source"),
    ("run_image_classification", {"validation_split": "y"}, "validation_split belongs to data_dir"),
    ("run_captioning", {"image_dir": "x"}, "captions must name the captions of image_dir, got none"),
    ("run_captioning", {"feature_columns": "0:2"}, "feature_columns belongs to data_dir, got '0:2' with no source"),
    ("run_captioning", {"train_size": 5, "train_size_seed": 1}, "train_size_seed 1 draws a part of a training split"),
    ("run_captioning", {"data_dir": "x", "train_size_seed": 1}, "train_size_seed 1 draws a part of a training split"),
    ("run_speech_recognition_ctc", {"train_split": "train.clean.100"}, "train_split belongs to data_dir, got"),
    ("run_speech_recognition_ctc", {"validation_share": 0.1}, "validation_share belongs to data_dir, got 0.1"),
    ("run_speech_recognition_ctc", {"text_normalizer": "basic"}, "text_normalizer belongs to data_dir, got 'basic'"),
    (
        "run_speech_recognition_ctc",
        {"data_dir": "x", "train_size_seed": 1},
        "train_size_seed 1 draws a part of a training split",
    ),
    (
        "run_speech_recognition_ctc",
        {"data_dir": "x", "validation_split": "dev", "validation_share": 0.1},
        "give validation_split or validation_share, got both",
    ),
    ("run_speech_recognition_ctc", {"data_dir": "x", "dataset_config_name": "c"}, "dataset_config_name belongs to"),
    ("run_speech_recognition_ctc", {"resample": True}, "resample belongs to data_dir, got True with no source"),
    ("run_image_classification", {"data_dir": "x", "image_column": "img"}, "image_column belongs to dataset_name"),
    ("run_clm", {"train_file": "x", "text_column": "words"}, "text_column belongs to dataset_name"),
    ("run_clm", {"validation_file": "x"}, "validation_file belongs to train_file"),
    ("run_clm", {"test_file": "x"}, "test_file belongs to train_file, got 'x' with no source"),
    ("run_clm", {"train_size": 5, "train_size_seed": 1}, "train_size_seed 1 draws a part of a training split"),
    (
        "run_text_classification",
        {"data_dir": "x", "dataset_config_name": "c"},
        "dataset_config_name belongs to dataset",
    ),
    ("run_text_classification", {"train_size_seed": 1}, "train_size_seed 1 draws a part of a training split"),
]


def load(script: str, changes: dict[str, Any]) -> Any:
    """Reads data as a script does with these arguments."""
    module = runpy.run_path(str(EXAMPLES / f"{script}.py"))
    arguments = replace(module["DataArguments"](), **changes)
    rest = [16_000, list(SPLITS), ["train"]] if script == "run_speech_recognition_ctc" else []
    return module[LOADERS[script]](arguments, *rest)


@pytest.mark.parametrize(("script", "changes", "message"), IGNORED)
def test_an_argument_that_would_be_ignored_is_refused(script, changes, message):
    with pytest.raises(ValueError, match=message):
        load(script, changes)


def test_speech_is_read_from_a_dataset_as_from_a_folder(tmp_path):
    for split in ("train", "dev"):
        (tmp_path / f"{split}.csv").write_text(f'audio,text\n{split}.flac,"One, {split}!"\n')
        (tmp_path / f"{split}.flac").write_bytes(encode(ramp(1600)))
    options = {"text_normalizer": "basic", "train_size": 1}
    script = "run_speech_recognition_ctc"
    by_name = load(script, {"dataset_name": str(tmp_path), **options})
    by_folder = load(script, {"data_dir": str(tmp_path), "audio_column": "audio", **options})
    for data in (by_name, by_folder):
        assert [data.split(split)[0].transcript for split in data.splits] == ["one train", "one dev"]


def test_a_language_model_trains_on_so_many_texts(tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    for split in ("train", "validation"):
        (tmp_path / f"{split}.txt").write_text("".join(f"{split} {row}\n" for row in range(9)))
    files = {f"{split}_file": str(tmp_path / f"{split}.txt") for split in ("train", "validation")}
    texts = load("run_clm", {**files, "train_size": 4, "train_size_seed": 2})
    assert texts["train"]["text"] == [f"train {row}" for row in draw_rows(4, 9, 2)]
    assert len(texts["validation"]) == 9
    drawn = load("run_clm", {"train_size": 6})
    assert [len(drawn[split]) for split in drawn] == [30, 5]  # five captions a scene


@pytest.mark.parametrize("script", LOADERS)
def test_two_sources_are_refused(script):
    first = "train_file" if script == "run_clm" else "data_dir"
    with pytest.raises(ValueError, match=re.escape(f"data must come from one source, got {first} and dataset_name")):
        load(script, {first: "x", "dataset_name": "y"})


@pytest.mark.parametrize("split", ["train", "validation"])
def test_hidden_labels_are_refused_before_the_training(split):
    build_scorer = runpy.run_path(str(EXAMPLES / "run_image_classification.py"))["build_scorer"]
    with pytest.raises(ValueError, match=f"split '{split}': labels must be at least 0 and below 2, got -1 in row 1"):
        build_scorer(["cat", "dog"], split, [0, -1])
