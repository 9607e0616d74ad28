"""The drawn reviews: the same for the same seed, apart from one another, and about as hard as the docstring says."""

import pytest

from hf_dsd.data import OPINIONS, make_reviews


def test_the_same_seed_writes_the_same_reviews() -> None:
    assert make_reviews(seed=3) == make_reviews(seed=3)
    assert make_reviews(seed=3) != make_reviews(seed=4)
    first = make_reviews()["train"]
    assert (first.sentences[0], OPINIONS[first.labels[0]]) == ("my bread was clever", "positive")
    assert (first.sentences[1], OPINIONS[first.labels[1]]) == ("that song was rather stale", "negative")


def test_no_sentence_is_written_twice() -> None:
    splits = make_reviews({"train": 2000, "validation": 300, "test": 300})
    sentences = [sentence for split in splits.values() for sentence in split.sentences]
    assert (len(sentences), len(set(sentences))) == (2600, 2600)


def test_the_test_sentences_do_not_depend_on_the_training_size() -> None:
    small, large = (make_reviews({"train": size, "validation": 50, "test": 50}) for size in (10, 1000))
    assert small["test"] == large["test"]
    assert small["validation"] == large["validation"]


def test_sizes_are_checked() -> None:
    with pytest.raises(ValueError, match=r"split_sizes\['train'\] must be in \[1, 100000\], got 0"):
        make_reviews({"train": 0})
