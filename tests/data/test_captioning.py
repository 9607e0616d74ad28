import logging

import pytest
import torch

from hf_dsd.data import CaptionData, CaptionEvaluationSet, CaptionSplit, CaptionTrainingSet
from hf_dsd.data.splits import draw_rows

WORDS = {"<end>": 0, "a": 1, "dog": 2, "cat": 3, "runs": 4}


def encode(caption: str) -> list[int]:
    """Word ids and the end id; unknown words are dropped."""
    return [*(WORDS[word] for word in caption.lower().split() if word in WORDS), 0]


def make_data() -> CaptionData:
    """Three images; the rows of the features are in another order than the splits."""
    train = CaptionSplit(["p", "q"], [2, 0], [["a dog", "dog runs"], ["a cat runs"]])
    validation = CaptionSplit(["r"], [1], [["A cat", "cat"]])
    return CaptionData(torch.tensor([[0.0, 0.5], [1.0, 1.5], [2.0, 2.5]]), {"train": train, "validation": validation})


def test_a_training_row_is_one_caption_with_its_images_vector():
    rows = CaptionTrainingSet(make_data(), encode)
    assert [row["labels"] for row in rows] == [[1, 2, 0], [2, 4, 0], [1, 3, 4, 0]]
    assert [row["image_features"].tolist() for row in rows] == [[2.0, 2.5], [2.0, 2.5], [0.0, 0.5]]


def test_captions_share_the_image_vectors():
    data = make_data()
    rows = CaptionTrainingSet(data, encode)
    row_size = data.features.element_size() * data.dims
    assert [rows[row]["image_features"].data_ptr() - data.features.data_ptr() for row in range(3)] == [
        2 * row_size,
        2 * row_size,
        0,
    ]


def test_an_evaluation_row_is_one_image_with_all_its_captions():
    rows = CaptionEvaluationSet(make_data(), encode, split="validation")
    assert [row["labels"] for row in rows] == [[[1, 3, 0], [3, 0]]]
    assert rows[0]["image_features"].tolist() == [1.0, 1.5]
    assert rows.references == [["A cat", "cat"]]
    assert rows.images == ["r"]


def test_captions_without_a_known_word_are_skipped_and_counted(caplog):
    split = CaptionSplit(["p", "q"], [0, 1], [["zebra", "a dog"], ["", "?", "cat"]])
    data = CaptionData(torch.zeros(2, 1), {"train": split})
    with caplog.at_level(logging.WARNING):
        training = CaptionTrainingSet(data, encode)
        evaluation = CaptionEvaluationSet(data, encode, split="train")
    assert [row["labels"] for row in training] == [[1, 2, 0], [3, 0]]
    assert [row["labels"] for row in evaluation] == [[[1, 2, 0]], [[3, 0]]]
    assert [record.getMessage() for record in caplog.records] == [
        "skipped 3 caption(s) that encode to no word before the end token"
    ] * 2


def test_references_do_not_depend_on_the_vocabulary():
    split = CaptionSplit(["p"], [0], [["zebra", "a dog"]])
    evaluation = CaptionEvaluationSet(CaptionData(torch.zeros(1, 1), {"train": split}), encode, split="train")
    assert evaluation.references == [["zebra", "a dog"]]  # "zebra" is no word of `encode`


def test_nothing_to_learn_from_is_an_error():
    data = CaptionData(torch.zeros(1, 1), {"train": CaptionSplit(["p"], [0], [["zebra"]])})
    with pytest.raises(ValueError, match="captions of split 'train' must encode to words"):
        CaptionTrainingSet(data, encode)
    with pytest.raises(ValueError, match="captions of 'p' must encode to words"):
        CaptionEvaluationSet(data, encode, split="train")


def test_an_absent_split_names_those_there_are():
    with pytest.raises(ValueError, match=r"split must be one of \['train', 'validation'\], got 'test'"):
        CaptionEvaluationSet(make_data(), encode, split="test")


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        pytest.param(([], [], []), ValueError, "images must not be empty", id="empty"),
        pytest.param((["p"], [0, 1], [["a"]]), ValueError, r"one entry per image, got \(1, 2, 1\)", id="lengths"),
        pytest.param((["p"], [0], [[]]), ValueError, "captions of 'p' must hold at least one", id="no-caption"),
        pytest.param(
            (["p"], [0], ["a dog"]), TypeError, "captions of 'p' must be a list of str, got 'a dog'", id="str"
        ),
        pytest.param((["p"], [0], [[None]]), TypeError, "captions of 'p' must be a list of str", id="none"),
    ],
)
def test_a_broken_split_is_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        CaptionSplit(*arguments)


GOOD = CaptionSplit(["p"], [0], [["a"]])


@pytest.mark.parametrize(
    ("features", "splits", "message"),
    [
        pytest.param(torch.zeros(1, 2, 3), {"train": GOOD}, r"must be \(images, dims\) float32", id="shape"),
        pytest.param(torch.zeros(1, 2).half(), {"train": GOOD}, r"got \(1, 2\) torch.float16", id="dtype"),
        pytest.param(torch.zeros(1, 2), {"validation": GOOD}, r"got \['validation'\]", id="no-train"),
        pytest.param(torch.zeros(1, 2), {"train": GOOD, "dev": GOOD}, r"got \['train', 'dev'\]", id="unknown-split"),
        pytest.param(torch.zeros(1, 2), {"train": CaptionSplit(["p"], [1], [["a"]])}, "got 1 to 1", id="row"),
        pytest.param(torch.tensor([[0.0, torch.nan]]), {"train": GOOD}, "first 'p'", id="nan"),
        pytest.param(torch.tensor([[0.0, torch.inf]]), {"train": GOOD}, "first 'p'", id="infinity"),
        pytest.param(torch.zeros(1, 2), {"train": GOOD, "test": GOOD}, "got 'p' more than once", id="same-image"),
    ],
)
def test_broken_data_is_refused(features, splits, message):
    with pytest.raises(ValueError, match=message):
        CaptionData(features, splits)


def test_an_unused_row_may_be_anything():
    data = CaptionData(torch.tensor([[1.0], [torch.nan]]), {"train": GOOD})
    assert data.dims == 1


def test_a_part_of_the_training_images_keeps_everything_else():
    data = make_data()
    one = data.with_train_size(1, seed=0)
    assert one.split("train") == CaptionSplit(["p"], [2], [["a dog", "dog runs"]])
    assert one.split("validation") is data.split("validation")
    assert one.features is data.features
    assert data.with_train_size(2).split("train") == data.split("train")
    with pytest.raises(ValueError, match=r"train_size must be in \[1, 2\], got 3"):
        data.with_train_size(3)


def test_a_smaller_part_lies_in_a_larger_one():
    parts = [set(draw_rows(size, 100, seed=4)) for size in (1, 10, 50, 100)]
    assert [len(part) for part in parts] == [1, 10, 50, 100]
    assert all(small < large for small, large in zip(parts, parts[1:], strict=False))
    assert draw_rows(10, 100, seed=4) != draw_rows(10, 100, seed=5)
