from pathlib import Path
from typing import Any

import pytest
from datasets import Audio, Dataset
from recordings import encode, ramp

from hf_dsd.data import BadUtteranceError, load_speech_dataset


def file(samples: int, sampling_rate: int = 16_000, path: str | None = None) -> dict[str, Any]:
    """A cell of an audio column as it is stored: an encoded file."""
    return {"bytes": encode(ramp(samples), sampling_rate), "path": path}


ROWS = {
    "train": {"audio": [file(100, path="a.flac"), file(101)], "text": ["one two", "three"]},
    "test": {"audio": [file(102)], "text": ["four"]},
}


def load(folder: Path, rows: dict[str, Any], *, cast: bool = True, **options: Any) -> Any:
    """Writes one parquet file per split and loads the folder as `load_dataset` loads a Hub repository's files."""
    (folder / "data").mkdir()
    for split, columns in rows.items():
        table = Dataset.from_dict(columns)
        if cast:
            table = table.cast_column("audio", Audio(sampling_rate=16_000))  # what Hub datasets declare
        table.to_parquet(folder / "data" / f"{split}.parquet")
    return load_speech_dataset(str(folder / "data"), cache_dir=str(folder / "cache"), **options)


@pytest.mark.parametrize("cast", [True, False], ids=["declared-as-audio", "bytes-and-path"])
def test_rows_are_read_without_torchcodec(tmp_path, cast):
    data = load(tmp_path, ROWS, cast=cast)
    assert list(data.splits) == ["train", "test"]
    assert [(row.name, row.transcript, row.header.samples) for row in data.split("train")] == [
        ("train/0 (a.flac)", "one two", 100),
        ("train/1", "three", 101),
    ]
    assert (data.samples(data.split("train")[1]) == ramp(101)).all()
    assert (data.samples(data.split("test")[0]) == ramp(102)).all()


def test_columns_of_paths_and_other_names(tmp_path):
    path = tmp_path / "x.flac"
    path.write_bytes(encode(ramp(99)))
    rows = {"train": {"audio": ["?"], "file": [str(path)], "text": ["wrong"], "said": ["right"]}}
    data = load(tmp_path, rows, cast=False, audio_column="file", text_column="said")
    (row,) = data.split("train")
    assert (row.name, row.transcript, row.header.samples) == ("train/0 (x.flac)", "right", 99)
    assert (data.samples(row) == ramp(99)).all()


def test_splits_with_names_of_their_own_and_slices(tmp_path):
    data = load(tmp_path, ROWS, split_names={"train": "train[1:]", "validation": "test"})
    assert {name: [row.transcript for row in rows] for name, rows in data.splits.items()} == {
        "train": ["three"],
        "validation": ["four"],
    }


def test_resampling_has_to_be_asked_for(tmp_path):
    rows = {"train": {"audio": [file(50, 8000)], "text": ["one"]}}
    with pytest.raises(BadUtteranceError, match=r"train/0: sampling rate must be 16000 Hz, got 8000 Hz; pass resample"):
        load(tmp_path, rows)
    data = load_speech_dataset(str(tmp_path / "data"), cache_dir=str(tmp_path / "cache"), resample=True)
    assert len(data.samples(data.split("train")[0])) == 100


def test_bad_rows_can_be_skipped(tmp_path):
    audio = [file(100), {"bytes": b"text", "path": "b.flac"}, None, file(100)]
    rows = {"train": {"audio": audio, "text": ["one", "two", "three", None]}}
    with pytest.raises(BadUtteranceError, match=r"train/1 \(b.flac\): audio must be a whole file"):
        load(tmp_path, rows)
    data = load_speech_dataset(str(tmp_path / "data"), cache_dir=str(tmp_path / "cache"), skip_bad_examples=True)
    assert [row.name for row in data.split("train")] == ["train/0"]
    assert data.skipped["train"]["train/2"] == "train/2: audio must not be empty, got 0 bytes; record it again"
    assert "must be a str with at least one word, got None" in data.skipped["train"]["train/3"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        pytest.param({"test": ROWS["test"]}, r"must have a train split, got \['test'\] without one", id="no-train"),
        pytest.param({"train": {"sound": [1], "text": ["a"]}}, r"must have the columns \['audio'\]", id="no-audio"),
        pytest.param({"train": {"audio": [file(9)], "words": ["a"]}}, "split 'train' must have one of", id="no-text"),
        pytest.param(
            {"train": {"audio": [[0.1, 0.2]], "text": ["a"]}}, "must hold audio files or their paths, got", id="arrays"
        ),
        pytest.param({"train": {"audio": [3], "text": ["a"]}}, "must hold audio files .* got Value", id="numbers"),
    ],
)
def test_a_dataset_of_another_shape_says_what_to_do(tmp_path, rows, message):
    with pytest.raises(ValueError, match=message):
        load(tmp_path, rows, cast=False)


def test_one_split_alone_is_refused(tmp_path):
    with pytest.raises(ValueError, match="with Dataset; pass split_names"):
        load(tmp_path, ROWS, split="train")


def test_csv_files_with_paths_in_their_folder(tmp_path):
    (tmp_path / "data" / "clips").mkdir(parents=True)
    for split, samples in (("train", 99), ("dev", 98)):
        (tmp_path / "data" / "clips" / f"{split}.flac").write_bytes(encode(ramp(samples)))
        lines = "path,sentence,client_id\n" + f"clips/{split}.flac,hello {split},7\n"
        (tmp_path / "data" / f"{split}.csv").write_text(lines)
    options = {"audio_column": "path", "cache_dir": str(tmp_path / "cache")}
    data = load_speech_dataset(str(tmp_path / "data"), **options)
    (row,) = data.split("validation")
    assert (row.name, row.transcript, row.speaker) == ("validation/0 (dev.flac)", "hello dev", "7")
    assert (data.samples(row) == ramp(98)).all()
    (tmp_path / "data" / "train.csv").write_text("path,sentence,client_id\n../../x.flac,hello,7\n")
    with pytest.raises(
        ValueError, match="split 'train' row 0: the path must lie in the folder 'data', got '../../x.fl"
    ):
        load_speech_dataset(str(tmp_path / "data"), **options)


def test_splits_that_are_not_asked_for_are_not_loaded(tmp_path):
    data = load(tmp_path, ROWS, split_names={"train": None, "test": "test"}, normalize=str.upper)
    assert [row.transcript for row in data.split("train")] == ["ONE TWO", "THREE"]
    with pytest.raises(ValueError, match="the dataset '.*data' must have a validation split, got .* without one; name"):
        load_speech_dataset(
            str(tmp_path / "data"), cache_dir=str(tmp_path / "cache"), required_splits=["train", "validation"]
        )
