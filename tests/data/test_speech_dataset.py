import copy
import logging
import pickle
from dataclasses import replace
from functools import partial

import pytest
import torch
from recordings import encode, ramp, speech, utterance
from torch.utils.data import DataLoader

from hf_dsd.data import (
    AudioHeader,
    BadUtteranceError,
    SpecAugment,
    SpeechCollator,
    SpeechData,
    SpeechDataset,
    Utterance,
    check_characters,
)
from hf_dsd.models import build_character_tokenizer, encode_transcript, unknown_characters

LETTERS = "abcdefghijklmnopqrstuvwxyz"


def letters(text: str) -> list[int]:
    """Places in the alphabet, 1 to 26."""
    if not text.isalpha():
        raise ValueError(f"characters must be letters, got {text!r}; remove the others")
    return [LETTERS.index(char) + 1 for char in text]


def frames_of_sixteen(samples, sampling_rate):
    """The sound cut into frames of 16 samples."""
    return torch.from_numpy(samples[: len(samples) // 16 * 16]).reshape(-1, 16)


def dataset(data, **options):
    return SpeechDataset(data, letters, frames_of_sixteen, **{"output_length": None, **options})


@pytest.mark.parametrize("precompute", [False, True], ids=["on-the-fly", "precomputed"])
def test_rows(precompute):
    rows = dataset(speech("cab", "ab"), precompute=precompute)
    assert len(rows) == 2
    assert list(rows[1]) == ["input_features", "labels"]
    assert torch.equal(rows[1]["input_features"], torch.from_numpy(ramp(1616)).reshape(101, 16))
    assert rows[0]["labels"] == [3, 1, 2]
    assert rows.lengths == [1600, 1616]
    assert [row.transcript for row in rows.utterances] == ["cab", "ab"]


def test_audio_is_decoded_when_a_row_is_asked_for_or_once():
    reads = []

    def extract(samples, sampling_rate):
        reads.append(sampling_rate)
        return frames_of_sixteen(samples, sampling_rate)

    lazy = SpeechDataset(speech("a", "b"), letters, extract, output_length=None)
    assert reads == []
    assert [lazy[0] and lazy[1] and len(reads), lazy[0] and len(reads)] == [2, 3]
    reads.clear()
    eager = SpeechDataset(speech("a", "b"), letters, extract, output_length=None, precompute=True)
    assert [len(reads), eager[0] and eager[0] and len(reads)] == [2, 2]


def test_raw_audio_under_another_name():
    data = speech("a")
    rows = SpeechDataset(
        data, letters, lambda samples, rate: torch.from_numpy(samples), output_length=None, input_name="input_values"
    )
    assert list(rows[0]) == ["input_values", "labels"]
    assert torch.equal(rows[0]["input_values"], torch.from_numpy(ramp(1600)))


def test_resampled_audio_has_the_length_that_is_announced():
    data = SpeechData({"train": [utterance("a", "a", samples=801, sampling_rate=8000)]}, sampling_rate=16_000)
    rows = SpeechDataset(data, letters, lambda samples, rate: torch.from_numpy(samples), output_length=None)
    assert rows.lengths == [len(rows[0]["input_features"])] == [1602]


def test_a_transcript_longer_than_ctc_can_align_is_named():
    # 1600 samples are 10 frames of 160; "aabbccd" needs 7 and 3 blanks between doubles, one letter more is too many.
    data = speech("aabbccd", "aabbccdd")
    assert (
        len(dataset(SpeechData({"train": data.split("train")[:1]}), output_length=lambda samples: samples // 160)) == 1
    )
    message = (
        "u1: transcript must fit its audio, got 8 labels, 12 frames by CTC, for 10 output frames from 0.10 s; check"
    )
    with pytest.raises(BadUtteranceError, match=message):
        dataset(data, output_length=lambda samples: samples // 160)
    assert len(dataset(data, output_length=lambda samples: samples // 80)) == 2


def test_characters_outside_the_vocabulary_name_the_file():
    encode_letters = partial(encode_transcript, build_character_tokenizer("abc"))
    with pytest.raises(BadUtteranceError, match=r"u1: transcript must use .* got \['x'\] .* or pass skip_bad_exampl"):
        SpeechDataset(speech("abc", "abx"), encode_letters, frames_of_sixteen, output_length=None)


def test_a_transcript_without_labels_is_named():
    with pytest.raises(BadUtteranceError, match="u0: transcript must have at least one label, got none from 'abc'"):
        SpeechDataset(speech("abc"), lambda text: [], frames_of_sixteen, output_length=None)


@pytest.mark.parametrize(
    ("extract", "message"),
    [
        pytest.param(
            lambda samples, rate: torch.zeros(0, 16), r"must give finite .* got \(0, 16\) from 0.10 s", id="no-frame"
        ),
        pytest.param(
            lambda samples, rate: torch.from_numpy(samples[None, None]), r".* got \(1, 1, 1600\)", id="batch-dimension"
        ),
        pytest.param(lambda samples, rate: torch.from_numpy(samples).log()[:, None], "must give finite", id="log-of-0"),
        pytest.param(
            lambda samples, rate: torch.stft(
                torch.from_numpy(samples), 4096, window=torch.ones(4096), return_complex=True
            ).abs(),
            "must take 0.100 s of audio, got .*[Pp]adding.*; pad it",
            id="shorter-than-a-window",
        ),
    ],
)
def test_features_that_cannot_be_trained_on_name_the_file(extract, message):
    rows = SpeechDataset(speech("abc"), letters, extract, output_length=None)
    with pytest.raises(BadUtteranceError, match="u0: extract " + message):
        rows[0]


def damaged() -> SpeechData:
    """Of six utterances, what cannot be used is told by their names."""
    whole = encode(ramp(16_000))
    cut = Utterance("cut", whole[: len(whole) // 2], "abc", AudioHeader(16_000, 16_000))
    return SpeechData(
        {
            "train": [
                utterance("good", "abc"),
                utterance("long", "a" * 30),
                utterance("digit", "b4"),
                cut,
                utterance("fine", "d"),
            ]
        }
    )


def test_skipping_counts_and_lists_what_is_left_out(caplog):
    with caplog.at_level(logging.WARNING):
        rows = dataset(damaged(), output_length=lambda n: n // 80, precompute=True, skip_bad_examples=True)
    assert [row.name for row in rows.utterances] == ["good", "fine"]
    assert [len(rows), len(rows.lengths), rows[1]["labels"]] == [2, 2, [4]]
    assert list(rows.skipped) == ["long", "digit", "cut"]
    loaded = SpeechData(damaged().splits, skipped={"train": {"text": "no audio"}, "test": {"other": "?"}})
    again = dataset(loaded, output_length=lambda n: n // 80, precompute=True, skip_bad_examples=True)
    assert list(again.skipped) == ["text", "long", "digit", "cut"]  # what loading left out, too
    record, _ = caplog.records
    assert record.getMessage().startswith("left out 3 of 5 utterances of split 'train':\nlong: transcript must fit")
    assert record.getMessage().count("\n") == 3


def test_a_long_list_is_cut_in_the_log_only(caplog):
    data = speech("a", *["4"] * 25)
    with caplog.at_level(logging.WARNING):
        rows = dataset(data, skip_bad_examples=True)
    assert len(rows.skipped) == 25
    assert caplog.records[0].getMessage().count("\n") == 21
    assert caplog.records[0].getMessage().endswith("\n...")


def test_speakers_are_known_of_all_rows_or_of_none(caplog):
    named = [
        replace(utterance(f"u{row}", text), speaker=who)
        for row, (text, who) in enumerate(zip("a4b", "xyz", strict=True))
    ]
    rows = dataset(SpeechData({"train": named}), skip_bad_examples=True)
    assert rows.speakers == ["x", "z"]  # without the one that was left out
    assert dataset(SpeechData({"train": [utterance("u3", "c")]})).speakers is None
    caplog.clear()
    assert dataset(SpeechData({"train": [*named[:1], utterance("u3", "c")]})).speakers is None
    assert caplog.messages[0].startswith("1 of 2 utterances name their speaker, u3 does not: intervals draw utterances")


def test_a_part_of_the_training_utterances_and_a_part_for_validation():
    data = speech(*"abcdefghij").with_held_out({"validation": 0.2}, seed=1).with_train_size(3, seed=2)
    train, validation = ({row.name for row in data.split(split)} for split in ("train", "validation"))
    assert (len(train), len(validation), train & validation) == (3, 2, set())
    with pytest.raises(ValueError, match=r"train_size must be in \[1, 10\], got 11"):
        speech(*"abcdefghij").with_train_size(11)
    with pytest.raises(ValueError, match="the data has a validation split itself, got validation_share, too"):
        data.with_held_out({"validation": 0.2})


def test_characters_that_the_vocabulary_lacks_are_counted_by_split(caplog):
    splits = {
        "train": [utterance("t", "ab")],
        "test": [utterance("u", "a4"), utterance("v", "44!"), utterance("w", "a")],
    }
    options = {"unknown": partial(unknown_characters, build_character_tokenizer("ab"))}
    message = r"got '4' in 2, '!' in 1 \(2 of 3 utterances of split 'test'\); take a text_normalizer"
    with pytest.raises(ValueError, match=message):
        check_characters(SpeechData(splits), **options, skip_bad_examples=False)
    with caplog.at_level(logging.WARNING):
        check_characters(SpeechData(splits), **options, skip_bad_examples=True)
    assert "'4' in 2, '!' in 1 (2 of 3 utterances of split 'test')" in caplog.records[0].getMessage()
    check_characters(SpeechData({"train": splits["train"]}), **options, skip_bad_examples=False)


def test_nothing_left_is_an_error():
    with pytest.raises(ValueError, match="split 'train' must have an utterance that can be used, got none"):
        dataset(speech("4"), skip_bad_examples=True)


def test_unreadable_audio_is_named_when_the_row_is_read():
    rows = dataset(SpeechData({"train": [damaged().split("train")[3]]}))
    with pytest.raises(BadUtteranceError, match="cut: audio must be a whole file .* or pass skip_bad_examples=True"):
        rows[0]


AUGMENT = SpecAugment(time_masks=1, time_mask_frames=30, frequency_masks=1, frequency_mask_bins=8)


def test_augmentation_depends_on_seed_epoch_and_row_only():
    data = speech("a", "a", samples=1616)

    def rows_of(seed: int, epoch: int, order: tuple[int, ...] = (0, 1)) -> list[torch.Tensor]:
        rows = dataset(data, augment=AUGMENT, seed=seed)
        rows.set_epoch(epoch)
        read = {index: rows[index]["input_features"] for index in order}
        return [read[0], read[1]]

    first = rows_of(0, 3)
    torch.rand(5)  # the global random state plays no part
    assert all(map(torch.equal, first, rows_of(0, 3, order=(1, 0))))
    assert not torch.equal(first[0], rows_of(0, 4)[0])
    assert not torch.equal(first[0], rows_of(1, 3)[0])
    masked = [(features == 0).sum(dim=1).tolist() for features in first]
    assert masked[0] != masked[1][: len(masked[0])]


def test_augmentation_leaves_the_precomputed_features_alone():
    rows = dataset(speech("a"), augment=AUGMENT, precompute=True)
    plain = dataset(speech("a"))[0]["input_features"]
    different = []
    for epoch in range(5):
        rows.set_epoch(epoch)
        masked = rows[0]["input_features"]
        different.append(not torch.equal(masked, plain))
        assert ((masked == plain) | (masked == 0)).all()
    assert any(different)
    assert torch.equal(rows[-1]["input_features"], rows[0]["input_features"])


@pytest.mark.parametrize("workers", [0, 2])
def test_worker_processes_change_nothing(workers):
    rows = dataset(speech("a", "bc", "def"), augment=AUGMENT, seed=5)
    rows.set_epoch(2)
    (batch,) = DataLoader(rows, batch_size=3, collate_fn=SpeechCollator(), num_workers=workers)
    assert torch.equal(batch["input_features"][2], rows[2]["input_features"])
    assert batch["labels"].tolist() == [[1, -100, -100], [2, 3, -100], [4, 5, 6]]


def test_a_negative_seed_is_refused():
    with pytest.raises(ValueError, match="seed must be at least 0, got -1"):
        dataset(speech("a"), seed=-1)


@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_persistent_workers_see_every_epoch(context):
    rows = SpeechDataset(speech("a", "bc"), _labels, frames_of_sixteen, output_length=None, augment=AUGMENT, seed=5)
    alone = SpeechDataset(speech("a", "bc"), _labels, frames_of_sixteen, output_length=None, augment=AUGMENT, seed=5)
    loader = DataLoader(
        rows, 2, collate_fn=SpeechCollator(), num_workers=1, persistent_workers=True, multiprocessing_context=context
    )
    for epoch in range(3):
        rows.set_epoch(epoch)
        alone.set_epoch(epoch)
        (batch,) = loader
        assert torch.equal(batch["input_features"][1], alone[1]["input_features"])


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda rows: pickle.loads(pickle.dumps(rows))], ids=["deep", "pickle"]
)
def test_a_copy_of_the_dataset_has_an_epoch_of_its_own_that_workers_see(copied):
    rows = SpeechDataset(speech("a"), _labels, frames_of_sixteen, output_length=None, augment=AUGMENT)
    other = copied(rows)
    loader = DataLoader(other, 1, collate_fn=SpeechCollator(), num_workers=1, persistent_workers=True)
    first = next(iter(loader))["input_features"]
    other.set_epoch(7)
    assert not torch.equal(next(iter(loader))["input_features"], first)
    assert torch.equal(rows[0]["input_features"], first[0])


def _labels(text: str) -> list[int]:
    return [1] * len(text)
