import json
import logging
from pathlib import Path

import numpy as np
import pytest
from recordings import encode, ramp

from hf_dsd.data import BadUtteranceError, SpeechData, load_speech

SPLITS = {"train": ["ONE TWO", "THREE"], "validation": ["FOUR"], "test": ["FIVE"]}


def write_folder(folder: Path) -> Path:
    """Four recordings of 100, 101, ... samples in the audiofolder layout."""
    samples = 100
    for split, transcripts in SPLITS.items():
        (folder / split).mkdir()
        lines = []
        for row, text in enumerate(transcripts):
            (folder / split / f"{row}.flac").write_bytes(encode(ramp(samples)))
            lines.append(json.dumps({"file_name": f"{row}.flac", "text": text, "duration": samples / 16_000}) + "\n")
            samples += 1
        (folder / split / "metadata.jsonl").write_text("".join(lines))
    return folder


def test_utterances_in_the_order_of_the_lines(tmp_path):
    data = load_speech(write_folder(tmp_path))
    assert list(data.splits) == ["train", "validation", "test"]
    train = data.split("train")
    assert [(row.name, row.transcript, row.header.samples) for row in train] == [
        ("train/0.flac", "ONE TWO", 100),
        ("train/1.flac", "THREE", 101),
    ]
    assert (data.samples(train[1]) == ramp(101)).all()
    assert train[0].seconds == 100 / 16_000
    assert data.sampling_rate == 16_000
    assert data.skipped == {"train": {}, "validation": {}, "test": {}}


def test_metadata_may_be_csv_and_name_its_columns_otherwise(tmp_path):
    folder = write_folder(tmp_path)
    (folder / "train" / "metadata.jsonl").unlink()
    (folder / "train" / "metadata.csv").write_text('file_name,spoken,text\n0.flac,"one, two",x\n1.flac,three,y\n')
    for split in ("validation", "test"):
        path = folder / split / "metadata.jsonl"
        path.write_text(path.read_text().replace('"text"', '"spoken"'))
    data = load_speech(folder, text_column="spoken")
    assert [row.transcript for row in data.split("train")] == ["one, two", "three"]
    assert data.split("test")[0].transcript == "FIVE"


def test_one_split_is_enough(tmp_path):
    folder = write_folder(tmp_path)
    for split in ("validation", "test"):
        (folder / split).rename(folder / split[::-1])
    assert list(load_speech(folder).splits) == ["train"]


def test_another_sampling_rate_says_how_to_resample(tmp_path):
    folder = write_folder(tmp_path)
    (folder / "train" / "1.flac").write_bytes(encode(ramp(50), 8000))
    message = "train/1.flac: sampling rate must be 16000 Hz, got 8000 Hz; pass resample=True, or sampling_rate=8000"
    with pytest.raises(BadUtteranceError, match=message):
        load_speech(folder)
    data = load_speech(folder, resample=True)
    assert [len(data.samples(row)) for row in data.split("train")] == [100, 100]
    assert data.split("train")[1].seconds == 50 / 8000


def break_files(folder: Path) -> Path:
    """Adds a train file of every kind that cannot be used."""
    whole = encode(ramp(16_000))
    bad = {
        "text.flac": b"text",
        "cut.flac": whole[: len(whole) // 2],
        "empty.flac": encode(np.zeros(0), kind="WAV"),
        "slow.flac": encode(ramp(50), 8000),
        "silent.flac": whole,
    }
    with (folder / "train" / "metadata.jsonl").open("a") as lines:
        for name, content in bad.items():
            (folder / "train" / name).write_bytes(content)
            lines.write(json.dumps({"file_name": name, "text": " " if name == "silent.flac" else "SIX"}) + "\n")
        lines.write(json.dumps({"file_name": "missing.flac", "text": "SEVEN"}) + "\n")
    return folder


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("text", "audio must be a whole file that soundfile reads"),
        ("empty", "audio must not be empty, got 0 samples"),
        ("slow", "sampling rate must be 16000 Hz, got 8000 Hz"),
        ("silent", "transcript must be a str with at least one word, got ' '"),
        ("missing", "audio file must exist, got none at '.*missing.flac'"),
    ],
)
def test_a_bad_example_names_its_file(tmp_path, name, message):
    folder = break_files(write_folder(tmp_path))
    path = folder / "train" / "metadata.jsonl"
    path.write_text("".join(line for line in path.open() if name in line))
    with pytest.raises(BadUtteranceError, match=f"train/{name}.flac: {message}.* or pass skip_bad_examples=True"):
        load_speech(folder)


def test_skipping_counts_and_lists_what_is_left_out(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        data = load_speech(break_files(write_folder(tmp_path)), skip_bad_examples=True)
    assert [row.name for row in data.split("train")] == ["train/0.flac", "train/1.flac"]
    assert list(data.skipped["train"]) == [
        f"train/{name}.flac" for name in ["text", "cut", "empty", "slow", "silent", "missing"]
    ]
    (record,) = caplog.records
    assert record.getMessage().startswith("left out 6 of 8 utterances of ")
    assert all(reason in record.getMessage() for reason in data.skipped["train"].values())
    assert not any("skip_bad_examples" in reason for reason in data.skipped["train"].values())


def test_a_split_with_nothing_left_is_refused(tmp_path):
    folder = write_folder(tmp_path)
    (folder / "test" / "0.flac").write_bytes(b"text")
    with pytest.raises(ValueError, match="split 'test' must not be empty, got 0 utterances"):
        load_speech(folder, skip_bad_examples=True)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        pytest.param('{"file_name": ', r"train/metadata.jsonl line 3 must be a JSON object, got '\{", id="not-json"),
        pytest.param("[1]", r"train/metadata.jsonl line 3 must be a JSON object, got '\[1\]'", id="not-an-object"),
        pytest.param('{"text": "SIX"}', "line 3: file_name must be a str, got None", id="no-name"),
        pytest.param(
            '{"file_name": "0.flac", "text": "SIX"}', "must appear once, got 'train/0.flac' again", id="twice"
        ),
        pytest.param(
            '{"file_name": "6.flac"}', r"line 3 must have one of .* got \['file_name'\]; pass text_column", id="no-text"
        ),
        pytest.param(
            '{"file_name": "6.flac", "text": "SIX", "sentence": "six"}',
            r"line 3 must have one of .* got \['text', 'sentence'\]; pass text_column",
            id="two-texts",
        ),
    ],
)
def test_a_malformed_line_is_named(tmp_path, line, message):
    folder = write_folder(tmp_path)
    with (folder / "train" / "metadata.jsonl").open("a") as lines:
        lines.write(line + "\n")
    with pytest.raises(ValueError, match=message):
        load_speech(folder)


def test_a_column_that_is_not_there(tmp_path):
    with pytest.raises(ValueError, match="must have the column 'words', got .*'text'.*; rename it or pass text_column"):
        load_speech(write_folder(tmp_path), text_column="words")


def test_a_missing_folder_and_missing_metadata_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="data_dir must be a folder with speech, got no folder '.*none'; check"):
        load_speech(tmp_path / "none")
    folder = write_folder(tmp_path)
    (folder / "train" / "metadata.jsonl").unlink()
    with pytest.raises(ValueError, match=r"must have a train split, got \['test', 'validation'\] without one; name it"):
        load_speech(folder)


@pytest.mark.parametrize(
    ("splits", "rate", "message"),
    [
        pytest.param({"test": "t"}, 16_000, r"splits must be 'train' and any of .* got \['test'\]", id="no-train"),
        pytest.param({"train": "t", "dev": "v"}, 16_000, r"got \['train', 'dev'\]; rename", id="unknown-split"),
        pytest.param({"train": "t", "test": "t"}, 16_000, "got 'train/0.flac' 2 times", id="same-names"),
        pytest.param({"train": "t"}, 0, "sampling_rate must be positive, got 0", id="rate"),
    ],
)
def test_impossible_data_is_refused(tmp_path, splits, rate, message):
    train = load_speech(write_folder(tmp_path)).split("train")
    with pytest.raises(ValueError, match=message):
        SpeechData(dict.fromkeys(splits, train), rate)


def test_a_split_that_is_not_there(tmp_path):
    data = SpeechData({"train": load_speech(write_folder(tmp_path)).split("train")})
    with pytest.raises(ValueError, match=r"split must be one of \['train'\], got 'test'"):
        data.split("test")


@pytest.mark.parametrize(
    ("csv", "message"),
    [
        ("file_name,text\n0.flac,well, i do not know\n", "train/metadata.csv line 2 must have 2 fields"),
        ('file_name,text\n0.flac,"ONE\n1.flac,TWO\n', "train/metadata.csv line 2 must have its quotes closed"),
        ("file_name,text,text\n0.flac,ONE,TWO\n", "train/metadata.csv line 1 must name every column once"),
    ],
    ids=["comma", "open-quote", "header-twice"],
)
def test_a_transcript_is_never_cut_by_its_csv(tmp_path, csv, message):
    folder = write_folder(tmp_path)
    (folder / "train" / "metadata.jsonl").unlink()
    (folder / "train" / "metadata.csv").write_text(csv)
    with pytest.raises(ValueError, match=message):
        load_speech(folder)
