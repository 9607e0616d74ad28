"""Every layout of a folder of speech, on small folders of our own making."""

import json
import logging
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from hf_dsd.data import BadUtteranceError, SpeechData, load_speech


def tone(path: Path, samples: int, rate: int = 16_000) -> Path:
    """A tone of so many samples, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.3 * np.sin(np.arange(samples) / 9), rate)
    return path


def write(path: Path, *lines: str, end: str = "\n") -> Path:
    """A text with the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("".join(line + end for line in lines).encode())
    return path


def rows(data: SpeechData, split: str = "train") -> list[tuple[str, str, str | None, int]]:
    return [(row.name, row.transcript, row.speaker, row.header.samples) for row in data.split(split)]


def librispeech(root: Path, *splits: str) -> Path:
    """One chapter of two recordings by a speaker per split; speakers are 1, 2, ..."""
    for speaker, split in enumerate(splits, start=1):
        chapter = root / split / str(speaker) / "7"
        for row in range(2):
            tone(chapter / f"{speaker}-7-000{row}.flac", 100 * speaker + row)
        write(chapter / f"{speaker}-7.trans.txt", f"{speaker}-7-0000 ONE TWO", f"{speaker}-7-0001 IT'S", end="\r\n")
    return root


def test_librispeech(tmp_path):
    data = load_speech(librispeech(tmp_path, "train-clean-100", "dev-clean", "test-clean"))
    assert rows(data) == [
        ("train-clean-100/1/7/1-7-0000.flac", "ONE TWO", "1", 100),
        ("train-clean-100/1/7/1-7-0001.flac", "IT'S", "1", 101),
    ]
    assert [row[2] for split in ("validation", "test") for row in rows(data, split)] == ["2", "2", "3", "3"]


def test_librispeech_from_above_and_from_within(tmp_path):
    root = librispeech(tmp_path / "LibriSpeech", "train-clean-5")
    assert [row[0] for row in rows(load_speech(tmp_path))] == [
        "LibriSpeech/train-clean-5/1/7/1-7-0000.flac",
        "LibriSpeech/train-clean-5/1/7/1-7-0001.flac",
    ]
    assert [row[0] for row in rows(load_speech(root / "train-clean-5"))] == ["1/7/1-7-0000.flac", "1/7/1-7-0001.flac"]
    assert [row[0] for row in rows(load_speech(root / "train-clean-5" / "1" / "7"))] == [
        "1-7-0000.flac",
        "1-7-0001.flac",
    ]


def test_librispeech_splits_are_named_with_points_or_dashes_and_joined(tmp_path):
    root = librispeech(tmp_path, "train-clean-100", "train-other-500", "dev-clean", "dev-other")
    message = r"train split must be one, got \['train-clean-100', 'train-other-500'\]; choose by --train_split .*, sev"
    with pytest.raises(ValueError, match=message):
        load_speech(root)
    names = {"train": "train.clean.100", "validation": "dev-other"}
    assert [row[2] for split in names for row in rows(load_speech(root, split_names=names), split)] == list("1144")
    both = load_speech(root, split_names={"train": "train-clean-100+train_other_500"})
    assert [row[2] for row in rows(both)] == ["1", "1", "2", "2"]
    with pytest.raises(
        ValueError, match=r"LibriSpeech.* must have a train split, got \[.*\] without train-clean-360; "
    ):
        load_speech(root, split_names={"train": "train-clean-360"})


def test_librispeech_with_links_as_on_two_disks(tmp_path):
    librispeech(tmp_path / "disk", "train-clean-5")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train-clean-5").symlink_to(tmp_path / "disk" / "train-clean-5")
    (tmp_path / "data" / "train-clean-5" / "1" / "back").symlink_to(tmp_path / "data")
    assert [row[3] for row in rows(load_speech(tmp_path / "data"))] == [100, 101]


def test_librispeech_without_sound_or_words(tmp_path):
    root = librispeech(tmp_path, "train-clean-5")
    write(root / "train-clean-5" / "1" / "7" / "1-7.trans.txt", "1-7-0000 ONE", "1-7-0001", "1-7-0002 TWO")
    with pytest.raises(BadUtteranceError, match="1-7-0001.flac: transcript must be a str with at least one word, got"):
        load_speech(root)
    data = load_speech(root, skip_bad_examples=True)
    assert len(rows(data)) == 1
    assert "1-7-0002.flac: audio file must exist" in data.skipped["train"]["train-clean-5/1/7/1-7-0002.flac"]


def kaldi(root: Path) -> Path:
    """A recipe's folder: paths from its top, from the data folder and from the system's root."""
    tone(root / "audio" / "a.wav", 100)
    tone(root / "audio" / "b.wav", 16_000)
    tone(root / "data" / "train" / "c.wav", 102)
    lines = ["ann-1 audio/a.wav", "bob-1 ../../audio/b.wav", "bob-2 c.wav"]
    write(root / "data" / "train" / "wav.scp", *lines)
    write(
        root / "data" / "train" / "text", "ann-1 \u043e\u0434\u0438\u043d \u0434\u0432\u0430", "bob-1\tTWO", "bob-2 3"
    )
    write(root / "data" / "train" / "utt2spk", "ann-1 ann", "bob-1 bob", "bob-2 bob")
    write(root / "data" / "dev93" / "wav.scp", f"eve-1 {tone(root.parent / 'elsewhere' / 'd.wav', 103)}")
    write(root / "data" / "dev93" / "text", "eve-1 FOUR")
    return root


def test_kaldi(tmp_path):
    data = load_speech(kaldi(tmp_path / "recipe"))
    assert rows(data) == [
        ("data/train/ann-1", "\u043e\u0434\u0438\u043d \u0434\u0432\u0430", "ann", 100),
        ("data/train/bob-1", "TWO", "bob", 16_000),
        ("data/train/bob-2", "3", "bob", 102),
    ]
    assert rows(data, "validation") == [("data/dev93/eve-1", "FOUR", None, 103)]


def test_kaldi_segments_are_parts_of_recordings(tmp_path):
    train = kaldi(tmp_path / "recipe") / "data" / "train"
    write(train / "segments", "u1 bob-1 0.25 0.5", "u2 bob-1 0.5 -1")
    write(train / "text", "u1 one", "u2 two")
    write(train / "utt2spk", "u1 bob", "u2 bob")
    data = load_speech(train.parents[1])
    assert rows(data) == [("data/train/u1", "one", "bob", 4000), ("data/train/u2", "two", "bob", 8000)]
    whole = 0.3 * np.sin(np.arange(16_000) / 9)
    assert np.abs(data.samples(data.split("train")[0]) - whole[4000:8000]).max() < 1e-4
    write(train / "segments", "u1 bob-1 0.25 0.5", "u2 bob-1 0.5 9")
    with pytest.raises(
        BadUtteranceError, match="train/u2: a part must lie in its recording of 1.000 s, got 0.500 to 9"
    ):
        load_speech(train.parents[1])


@pytest.mark.parametrize(
    ("file", "lines", "message"),
    [
        pytest.param(
            "wav.scp", ["ann-1 touch ran |"], "wav.scp line 1 must name an audio file, got the command", id="p"
        ),
        pytest.param(
            "wav.scp", ["a c.wav", "a c.wav"], "wav.scp line 2: 'a' must appear once, .* line 1", id="id-twice"
        ),
        pytest.param("wav.scp", ["a ../../../x.wav"], "the path must lie in the folder 'recipe', got", id="leaves"),
        pytest.param("wav.scp", ["a c.wav"], r"same utterances, got \['a', 'ann-1', 'bob-1'\] \(4 in all\)", id="ids"),
        pytest.param("text", ["ann-1 ONE"], r"got \['bob-1', 'bob-2'\] .* utils/fix_data_dir.sh", id="no-text"),
        pytest.param("segments", ["ann-1 x 0 1"], r"same utterances, got \['bob-1', 'bob-2'\]", id="segment-ids"),
    ],
)
def test_a_kaldi_folder_that_is_not_sound_is_refused(tmp_path, file, lines, message, monkeypatch):
    monkeypatch.chdir(tmp_path)
    root = kaldi(tmp_path / "recipe")
    write(root / "data" / "train" / file, *lines)
    with pytest.raises(ValueError, match=message):
        load_speech(root)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("segment", ["x 0 1", "bob-1 0", "bob-1 zero 1", "bob-1 -1 1", "bob-1 nan 1"])
def test_a_segment_that_is_none_is_refused(tmp_path, segment):
    train = kaldi(tmp_path / "recipe") / "data" / "train"
    write(train / "segments", f"u1 {segment}")
    write(train / "text", "u1 one")
    with pytest.raises(ValueError, match="train/segments line 1"):
        load_speech(train.parents[1])


def manifest(path: Path, *lines: dict[str, object]) -> Path:
    return write(path, *(json.dumps(line, ensure_ascii=False) for line in lines))


def test_nemo(tmp_path):
    tone(tmp_path / "wavs" / "a.wav", 16_000)
    manifest(
        tmp_path / "train_manifest.json",
        {"audio_filepath": "wavs/a.wav", "duration": 1.0, "text": "gr\u00fc\u00df dich", "speaker": 7},
        {"audio_filepath": str(tmp_path / "wavs" / "a.wav"), "offset": 0.5, "duration": 0.25, "text": "part"},
        {"audio_filepath": "wavs/a.wav", "offset": 0.75, "text": "rest"},
    )
    manifest(tmp_path / "dev_manifest.jsonl", {"audio_filepath": str(tone(tmp_path / "b.wav", 99)), "text": "dev"})
    (tmp_path / "other.json").write_text('{\n  "not": "a manifest"\n}')
    data = load_speech(tmp_path)
    assert rows(data) == [
        ("wavs/a.wav", "gr\u00fc\u00df dich", "7", 16_000),
        ("wavs/a.wav@0.5", "part", None, 4000),
        ("wavs/a.wav@0.75", "rest", None, 4000),
    ]
    assert rows(data, "validation") == [("b.wav", "dev", None, 99)]


@pytest.mark.parametrize("times", [{"offset": "x"}, {"offset": -1}, {"offset": 0, "duration": True}, {"offset": 1e999}])
def test_nemo_times_that_are_none_are_refused(tmp_path, times):
    tone(tmp_path / "a.wav", 16_000)
    manifest(tmp_path / "train.json", {"audio_filepath": "a.wav", "text": "x", **times})
    with pytest.raises(ValueError, match="train.json line 1: offset and duration must be seconds, at least 0, got"):
        load_speech(tmp_path)


def test_two_manifests_of_one_split_are_named(tmp_path):
    for suffix in ("json", "jsonl"):
        manifest(tmp_path / f"train.{suffix}", {"audio_filepath": f"{suffix}.wav", "text": "one"})
    with pytest.raises(
        ValueError, match=r"the train split must be one, got \['train.json', 'train.jsonl'\]; choose by"
    ):
        load_speech(tmp_path)


def test_names_of_files_elsewhere_are_no_private_paths(tmp_path):
    outside = tone(tmp_path / "home" / "me" / "a.wav", 100)
    manifest(tmp_path / "data" / "train.json", {"audio_filepath": str(outside), "text": "x"})
    assert rows(load_speech(tmp_path / "data")) == [("data/train.json line 1 (a.wav)", "x", None, 100)]


def common_voice(root: Path) -> Path:
    header = "client_id\tpath\tsentence\tup_votes"
    for row, split in enumerate(("train", "dev", "test")):
        tone(root / "clips" / f"cv_{split}.mp3", 2304 + 576 * row, 32_000)
        text = '\u201eAha\u201c, sagte "er", \u00e0 la e\u0301t\u00e9!'
        write(root / f"{split}.tsv", f"\ufeff{header}", f"speaker-{row}\tcv_{split}.mp3\t{text}\t2", end="\r\n")
    write(root / "validated.tsv", header)
    write(root / "clip_durations.tsv", "clip\tduration[ms]", "cv_train.mp3\t72")
    return root


def test_common_voice(tmp_path):
    data = load_speech(common_voice(tmp_path), sampling_rate=32_000)
    text = '\u201eAha\u201c, sagte "er", \u00e0 la e\u0301t\u00e9!'
    assert rows(data) == [("clips/cv_train.mp3", text, "speaker-0", 2304)]
    assert [data.split(split)[0].speaker for split in ("validation", "test")] == ["speaker-1", "speaker-2"]


def test_a_tab_in_a_sentence_is_refused(tmp_path):
    with (common_voice(tmp_path) / "train.tsv").open("a") as file:
        file.write("s\tx.mp3\ta\tb\t2\n")
    with pytest.raises(ValueError, match="train.tsv line 3 must have 4 fields .* got 5.*; a text must hold no tab"):
        load_speech(tmp_path, sampling_rate=32_000)


def test_ljspeech(tmp_path):
    for row in range(3):
        tone(tmp_path / "wavs" / f"LJ-{row}.wav", 100 + row)
    lines = ["LJ-0|Dr. 1|Doctor One", 'LJ-1|an "open quote|an "open quote', "LJ-2|two fields"]
    write(tmp_path / "metadata.csv", *lines)
    data = load_speech(tmp_path)
    assert rows(data) == [
        ("wavs/LJ-0.wav", "Doctor One", None, 100),
        ("wavs/LJ-1.wav", 'an "open quote', None, 101),
        ("wavs/LJ-2.wav", "two fields", None, 102),
    ]
    with pytest.raises(ValueError, match="text_column belongs to tables with a header, got 'x' with LJSpeech"):
        load_speech(tmp_path, text_column="x")
    write(tmp_path / "metadata.csv", *lines, "LJ-3|a|b|c")
    with pytest.raises(ValueError, match=r"metadata.csv line 4 must be ID\|text or"):
        load_speech(tmp_path)


def test_mozilla_deepspeech(tmp_path):
    for split in ("train", "dev", "test"):
        path = tone(tmp_path / "clips" / f"{split}.wav", 100)
        name = path if split == "dev" else f"clips/{split}.wav"
        write(tmp_path / f"{split}.csv", "wav_filename,wav_filesize,transcript", f'{name},244,"yes, {split}"')
    data = load_speech(tmp_path)
    assert [rows(data, split) for split in data.splits] == [
        [("clips/train.wav", "yes, train", None, 100)],
        [("clips/dev.wav", "yes, dev", None, 100)],
        [("clips/test.wav", "yes, test", None, 100)],
    ]


def test_other_columns_of_a_table(tmp_path):
    tone(tmp_path / "a.wav", 100)
    write(tmp_path / "train.csv", "sound,words,text", "a.wav,right,wrong")
    data = load_speech(tmp_path, audio_column="sound", text_column="words")
    assert rows(data) == [("a.wav", "right", None, 100)]


def test_deepspeech_pytorch(tmp_path):
    for row, split in enumerate(("train", "val")):
        audio = tone(tmp_path / "wav" / f"{split}.wav", 100 + row)
        text = write(tmp_path / "txt" / f"{split}.txt", "ONE TWO")
        line = f"{audio},{text}" if split == "train" else f"wav/{split}.wav,txt/{split}.txt"
        write(tmp_path / f"an4_{split}_manifest.csv", line)
    data = load_speech(tmp_path)
    assert rows(data) == [("wav/train.wav", "ONE TWO", None, 100)]
    assert rows(data, "validation") == [("wav/val.wav", "ONE TWO", None, 101)]
    (tmp_path / "txt" / "val.txt").unlink()
    with pytest.raises(BadUtteranceError, match="an4_val_manifest.csv line 1: the transcript's file must exist, got"):
        load_speech(tmp_path)
    write(tmp_path / "an4_train_manifest.csv", "wav/train.wav,txt/train.txt", "wav/train.wav")
    with pytest.raises(ValueError, match="an4_train_manifest.csv line 2 must be two paths"):
        load_speech(tmp_path)


def test_deepspeech_pytorch_since_its_version_3(tmp_path):
    """One JSON object per manifest, on one line as its scripts write it, or on several as its first page shows."""
    samples = []
    for row in range(2):
        tone(tmp_path / "an4" / "train" / "wav" / f"{row}.wav", 100 + row)
        write(tmp_path / "an4" / "train" / "txt" / f"{row}.txt", f"ONE {row}")
        samples.append({"wav_path": f"wav/{row}.wav", "transcript_path": f"txt/{row}.txt"})
    train = {"root_path": str(tmp_path / "an4" / "train"), "samples": samples}
    (tmp_path / "an4_train_manifest.json").write_text(json.dumps(train))
    val = {"root_path": "an4/train", "samples": [{"wav_path": "../val.wav", "transcript_path": "txt/0.txt"}]}
    tone(tmp_path / "an4" / "val.wav", 102)
    (tmp_path / "an4_val_manifest.json").write_text(json.dumps(val, indent=2))
    data = load_speech(tmp_path)
    assert rows(data) == [
        ("an4/train/wav/0.wav", "ONE 0", None, 100),
        ("an4/train/wav/1.wav", "ONE 1", None, 101),
    ]
    assert rows(data, "validation") == [("an4/val.wav", "ONE 0", None, 102)]
    val["samples"].append({"wav_path": "../val.wav"})
    (tmp_path / "an4_val_manifest.json").write_text(json.dumps(val))
    with pytest.raises(
        ValueError, match="val_manifest.json sample 2 must name two files, wav_path and transcript_path, got"
    ):
        load_speech(tmp_path)
    (tmp_path / "an4_val_manifest.json").write_text(json.dumps({"root_path": "an4", "samples": ["a.wav"]}))
    with pytest.raises(ValueError, match="val_manifest.json sample 1 must name two files"):
        load_speech(tmp_path)
    (tmp_path / "an4_val_manifest.json").write_text(json.dumps({"root_path": "an4"}))
    with pytest.raises(ValueError, match="val_manifest.json must be an object of root_path and a list of samples, got"):
        load_speech(tmp_path)


def test_audiofolder_with_one_table_at_the_root(tmp_path):
    for row, split in enumerate(("train", "dev", "test")):
        tone(tmp_path / split / "sub" / "a.wav", 100 + row)
    lines = [f"{split}/sub/a.wav,{split},s{split}" for split in ("test", "train", "dev")]
    write(tmp_path / "metadata.csv", "file_name,transcription,speaker_id", *lines)
    data = load_speech(tmp_path)
    assert rows(data) == [("train/sub/a.wav", "train", "strain", 100)]
    assert rows(data, "validation") == [("dev/sub/a.wav", "dev", "sdev", 101)]


def test_audiofolder_without_splits_is_all_for_training(tmp_path):
    tone(tmp_path / "data" / "a.wav", 100)
    write(tmp_path / "metadata.csv", "file_name,text", "data/a.wav,one")
    assert list(load_speech(tmp_path).splits) == ["train"]
    message = "audiofolder .* must have a validation split, got .*'train'.* without one; name it by --validation_split "
    with pytest.raises(ValueError, match=message + r".*, or take a part of train by --validation_share 0.1"):
        load_speech(tmp_path, required_splits=["train", "validation"])


@pytest.mark.parametrize("name", ["dev", "val", "valid", "validation"])
def test_audiofolder_with_a_table_per_folder_and_any_name_of_a_split(tmp_path, name):
    for row, folder in enumerate(("train/ann", "train/bob", f"{name}/eve")):
        tone(tmp_path / folder / "a.wav", 100 + row)
        manifest(tmp_path / folder / "metadata.jsonl", {"file_name": "a.wav", "text": folder})
    data = load_speech(tmp_path)
    assert rows(data) == [("train/ann/a.wav", "train/ann", None, 100), ("train/bob/a.wav", "train/bob", None, 101)]
    assert rows(data, "validation") == [(f"{name}/eve/a.wav", f"{name}/eve", None, 102)]


def test_two_layouts_in_one_folder_are_named(tmp_path):
    kaldi(tmp_path)
    librispeech(tmp_path / "LibriSpeech", "train-clean-5")
    with pytest.raises(ValueError, match=r"must have one layout, got LibriSpeech \(.*\) and Kaldi \(.*\) in"):
        load_speech(tmp_path)


def test_two_tables_of_the_same_audio_are_refused(tmp_path):
    tone(tmp_path / "train" / "a.wav", 100)
    manifest(tmp_path / "train" / "metadata.jsonl", {"file_name": "a.wav", "text": "one"})
    write(tmp_path / "train" / "metadata.csv", "file_name,text", "a.wav,two")
    message = (
        "metadata.jsonl line 1: audio must appear once, got 'train/a.wav' again after train/metadata.csv line 2; re"
    )
    with pytest.raises(ValueError, match=message):
        load_speech(tmp_path)


def test_audio_in_two_splits_is_refused(tmp_path):
    tone(tmp_path / "a.wav", 100)
    for split in ("train", "test"):
        manifest(tmp_path / f"{split}.json", {"audio_filepath": "a.wav", "text": "one"})
    with pytest.raises(
        ValueError, match="test.json line 1: audio must appear once, got 'a.wav' again after .*train.json"
    ):
        load_speech(tmp_path)


@pytest.mark.parametrize("name", ["../b.wav", "../../b.wav", "sub/../../b.wav"])
def test_a_path_may_go_up_but_not_out(tmp_path, name):
    tone(tmp_path / "data" / "b.wav", 100)
    tone(tmp_path / "b.wav", 200)
    write(tmp_path / "data" / "train" / "metadata.csv", "file_name,text", f"{name},one")
    if name == "../../b.wav":
        with pytest.raises(
            ValueError, match="file_name must lie in the folder 'data', got '../../b.wav', which leaves"
        ):
            load_speech(tmp_path / "data")
    else:
        assert rows(load_speech(tmp_path / "data")) == [("b.wav", "one", None, 100)]


def test_a_split_that_is_not_asked_for_is_not_read(tmp_path):
    root = common_voice(tmp_path)
    write(root / "test.tsv", "client_id\tpath\tsentence\tup_votes", "broken")
    (root / "clips" / "cv_dev.mp3").unlink()
    assert list(load_speech(root, sampling_rate=32_000, split_names={"train": None}).splits) == ["train"]
    with pytest.raises(BadUtteranceError, match="cv_dev.mp3: audio file must exist"):
        load_speech(root, sampling_rate=32_000, split_names={"train": None, "validation": None})


def test_lists_that_are_damaged_are_told_when_they_are_read(tmp_path):
    root = common_voice(tmp_path)
    content = (root / "train.tsv").read_bytes()
    (root / "train.tsv").write_bytes(content + b"s\tcv_dev.mp3\tfa\xe7ade\t2\r\n")
    with pytest.raises(ValueError, match="train.tsv line 3 must be UTF-8"):
        load_speech(root, sampling_rate=32_000)


def test_a_normalizer_is_applied_and_leaves_no_word(tmp_path, caplog):
    root = librispeech(tmp_path, "train-clean-5")
    data = load_speech(root, normalize=lambda text: text.replace("IT'S", "").lower(), skip_bad_examples=True)
    assert [row[1] for row in rows(data)] == ["one two"]
    (problem,) = data.skipped["train"].values()
    assert 'must be a str with at least one word, got "IT\'S"' in problem
    assert caplog.record_tuples[0][1] == logging.WARNING


def test_hidden_files_and_links_to_nothing_are_no_lists(tmp_path):
    root = librispeech(tmp_path, "train-clean-5")
    write(root / "._train.csv", "wav_filename,wav_filesize,transcript")
    (root / "train.tsv").symlink_to("nothing.tsv")
    write(root / ".cache" / "data" / "wav.scp", "a b")
    write(root / ".cache" / "data" / "text", "a b")
    assert len(rows(load_speech(root))) == 2


def test_the_error_for_no_layout_names_them_all_and_what_is_there(tmp_path):
    write(tmp_path / "notes.txt", "x")
    with pytest.raises(FileNotFoundError) as error:
        load_speech(tmp_path)
    for name in ("audiofolder", "LibriSpeech", "Kaldi", "NeMo", "Common Voice", "LJSpeech", "Mozilla", "['notes.txt']"):
        assert name in str(error.value)
    with pytest.raises(FileNotFoundError, match="data_dir must be a folder with speech, got no folder '.*notes.txt'"):
        load_speech(tmp_path / "notes.txt")


def test_a_relative_data_dir(tmp_path, monkeypatch):
    librispeech(tmp_path / "corpus", "train-clean-5")
    monkeypatch.chdir(tmp_path)
    assert rows(load_speech("corpus")) == rows(load_speech(os.path.join("corpus", "..", "corpus")))
