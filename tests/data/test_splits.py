"""Which of a source's splits are ours, and parts of a training split."""

import pytest

from hf_dsd.data.splits import choose_splits, draw_rows, hold_out

BOTH = ["train", "validation"]


@pytest.mark.parametrize(
    ("available", "split_names", "chosen"),
    [
        (["test", "train", "validation"], None, {"train": ["train"], "validation": ["validation"], "test": ["test"]}),
        (["train", "dev", "eval"], None, {"train": ["train"], "validation": ["dev"], "test": ["eval"]}),
        (["train_si284", "dev93", "test_eval92"], None, ["train_si284", "dev93", "test_eval92"]),
        (["an4_train_manifest", "an4_val_manifest"], None, ["an4_train_manifest", "an4_val_manifest"]),
        (["train", "train_sp", "dev"], None, ["train", "dev"]),  # the plain name is the one that is meant
        (["train", "validated", "invalidated", "other"], None, ["train"]),
        (["cv-valid-train", "train", "dev"], None, ["train", "dev"]),
        (["a", "b"], {"train": "a", "validation": "b"}, ["a", "b"]),
        (["a", "b", "test"], {"train": "a+b"}, {"train": ["a", "b"]}),
        (["train", "test"], {"train": None, "validation": "test", "test": None}, ["train", "test"]),  # no test split
        (["a+b", "a", "b"], {"train": "a+b"}, {"train": ["a+b"]}),
        (
            ["train-clean-100", "dev-clean"],
            {"train": "train.clean.100", "validation": None},
            ["train-clean-100", "dev-clean"],
        ),
    ],
    ids=str,
)
def test_choice(available, split_names, chosen):
    found = choose_splits(available, split_names, ["train"], "the data")
    if isinstance(chosen, list):
        found, chosen = [name for names in found.values() for name in names], chosen
    assert found == chosen


@pytest.mark.parametrize(
    ("available", "split_names", "message"),
    [
        (
            ["a", "dev"],
            None,
            r"^the data must have a train split, got \['a', 'dev'\] without one; name it by --train_split ",
        ),
        (["train"], {"train": None, "validation": None}, "must have a validation split.* or take a part of train by"),
        (["train"], {"train": None, "test": "x"}, r"must have a test split, got \['train'\] without x; name it by"),
        (["train", "dev-a", "dev-b"], None, r"the validation split must be one, got \['dev-a', 'dev-b'\]; choose by"),
        (
            ["train", "test"],
            {"train": None, "validation": "test", "test": "test"},
            "got 'test' for validation and test",
        ),
        (["train", "test"], {"train": None, "validation": "train"}, "must have a train split, got .* without one"),
        (["train"], {"train": None, "dev": None}, r"split_names must be 'train' and any of .* got \['train', 'dev'\]"),
    ],
    ids=str,
)
def test_no_choice(available, split_names, message):
    with pytest.raises(ValueError, match=message):
        choose_splits(available, split_names, BOTH, "the data")


def test_shares_are_drawn_once_and_leave_the_rest():
    parts = hold_out(list("abcdefghij"), {"validation": 0.2, "test": 0.1}, seed=3)
    assert {split: len(rows) for split, rows in parts.items()} == {"train": 7, "validation": 2, "test": 1}
    assert sorted(row for rows in parts.values() for row in rows) == list("abcdefghij")
    assert all(rows == sorted(rows) for rows in parts.values())
    assert parts == hold_out(list("abcdefghij"), {"validation": 0.2, "test": 0.1}, seed=3)
    assert parts["validation"] != hold_out(list("abcdefghij"), {"validation": 0.2}, seed=4)["validation"]
    assert len(hold_out([1, 2, 3], {"test": 0.01}, seed=0)["test"]) == 1


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, float("nan")])
def test_a_share_out_of_range_is_refused(share):
    with pytest.raises(ValueError, match=f"validation_share must be above 0 and below 1, got {share}"):
        hold_out([1, 2, 3], {"validation": share}, seed=0)


def test_shares_that_leave_nothing_are_refused():
    with pytest.raises(ValueError, match="shares must leave rows to train on, got .* of 3 rows"):
        hold_out([1, 2, 3], {"validation": 0.5, "test": 0.5}, seed=0)


def test_a_smaller_set_is_a_part_of_a_larger_one():
    small, large = draw_rows(3, 10, seed=1), draw_rows(6, 10, seed=1)
    assert set(small) < set(large)
    assert small == sorted(small) != draw_rows(3, 10, seed=2)
