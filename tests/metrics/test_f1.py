"""Macro F1 on numbers worked out by hand, and its interval."""

import numpy as np
import pytest

from hf_dsd.metrics import label_scorer
from hf_dsd.metrics.f1 import f1_statistics, macro_f1, score_f1

TRUE = ["a"] * 6 + ["b"] * 3 + ["c"]
SAID = ["a", "a", "a", "a", "b", "c", "b", "b", "a", "b"]
# a: 4 hits, named 5 + 6; b: 2 hits, named 4 + 3; c: none, named 1 + 1
EXPECTED = (8 / 11 + 4 / 7 + 0) / 3


def test_macro_f1_by_hand() -> None:
    assert score_f1(SAID, TRUE) == {"f1": pytest.approx(EXPECTED)}
    assert score_f1(TRUE, TRUE) == {"f1": 1.0}


def test_a_class_that_a_resample_lacks_is_left_out_of_its_mean() -> None:
    statistics = f1_statistics(SAID, TRUE)
    without_c = [row for row, (said, true) in enumerate(zip(SAID, TRUE, strict=True)) if "c" not in (said, true)]
    assert macro_f1(statistics[without_c].sum(axis=0)) == pytest.approx((8 / 10 + 4 / 6) / 2)


def test_the_scorer_gives_it_with_its_interval_where_asked() -> None:
    names, labels = ["no", "yes"], [0] * 100 + [1] * 100
    said = ["no"] * 90 + ["yes"] * 110
    plain = label_scorer(names, [str(row) for row in range(200)], labels)
    with_f1 = label_scorer(names, [str(row) for row in range(200)], labels, with_f1=True)
    assert "f1" not in plain.score(said)
    scores = with_f1.score(said)
    assert scores["f1"] == pytest.approx((2 * 90 / 190 + 2 * 100 / 210) / 2)
    low, high = scores["f1_ci"]
    # 10 errors of 200: the F1 of a balanced pair of classes is close to the accuracy, 0.95 +- 1.96 * 0.0154
    assert (low, high) == pytest.approx((0.92, 0.98), abs=0.006)
    assert {**scores, **plain.score(said)} == scores


def test_it_refuses_what_the_other_scores_refuse() -> None:
    with pytest.raises(ValueError, match="one entry per example"):
        score_f1(["a"], ["a", "b"])
    assert np.array_equal(f1_statistics(["a"], ["b"]), [[0, 0, 1, 1]])
