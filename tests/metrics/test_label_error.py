"""Top-1 error: counts, rate, interval, and how it is called."""

import numpy as np
import pytest
import torch
from scipy import stats
from transformers import EvalPrediction

from hf_dsd.compare.statistics import approximate_randomization, example_counts
from hf_dsd.metrics import argmax_labels, label_metrics, label_scorer, score_labels
from hf_dsd.runs.metric_names import greater_is_better, score_title
from hf_dsd.runs.numbers import difference_text, score_with_unit
from hf_dsd.runs.scores import ScoredExample


def test_a_split_is_scored_with_its_interval() -> None:
    scorer = label_scorer(["cat", "dog"], [str(n) for n in range(200)], [0] * 100 + [1] * 100)
    texts = scorer.decode(np.array([0] * 90 + [1] * 110))
    assert texts == ["cat"] * 90 + ["dog"] * 110
    scores = scorer.score(texts)
    assert (scores["error"], scores["accuracy"], scores["examples"]) == (0.05, 0.95, 200)
    low, high = scores["error_ci"]
    exact = stats.binom.ppf([0.025, 0.975], 200, 0.05) / 200  # what resampling 200 answers of 10 errors draws from
    assert (low, high) == pytest.approx(tuple(exact), abs=0.006)
    assert scores["signature"] == "top:1|bs:1000|seed:0"
    assert (scorer.metric, scorer.greater_is_better, scorer.references[-1]) == ("error", False, ["dog"])


def test_the_hooks_of_a_trainer() -> None:
    logits = torch.tensor([[1.0, 3.0, 2.0], [5.0, 4.0, 0.0], [0.0, 0.0, 1.0], [0.0, 9.0, 1.0]])
    best = argmax_labels((logits, torch.zeros(4, 2)))
    assert best.tolist() == [1, 0, 2, 1]
    found = label_metrics(EvalPrediction(predictions=best.numpy(), label_ids=np.array([1, 0, 0, 0])))
    assert found == {"error": 0.5}
    with pytest.raises(ValueError, match=r"^logits must be \(batch, classes\), got shape \(4, 1, 3\)"):
        argmax_labels(logits[:, None])


def test_two_classifiers_are_told_apart_as_the_sign_test_does() -> None:
    """Only pictures that one of them has right count: 14 against 4. The truth is "a"."""
    first = ["a"] * 80 + ["b"] * 20
    second = ["b"] * 4 + ["a"] * 90 + ["b"] * 6
    counts = [
        example_counts("error", [ScoredExample(str(n), text, ["a"]) for n, text in enumerate(texts)])
        for texts in (first, second)
    ]
    assert counts[0] is not None
    assert counts[1] is not None
    assert (counts[0].value, counts[1].value) == (0.2, 0.1)
    p = approximate_randomization(counts[1], counts[0])
    assert p == pytest.approx(stats.binomtest(4, 18).pvalue, abs=0.01)


def test_its_name_and_unit() -> None:
    assert (score_title("eval_error"), score_title("error")) == ("top-1 error [%]", "top-1 error [%]")
    assert score_with_unit(0.175, "error") == "17.50 %"
    assert difference_text(-0.0125, "error") == "-1.25 points of top-1 error"
    assert greater_is_better("error") is False


@pytest.mark.parametrize("predictions", [[], ["a"]])
def test_what_cannot_be_scored_is_refused(predictions: list[str]) -> None:
    with pytest.raises(ValueError, match=f"one per example, got {len(predictions)} and {2 * len(predictions)}"):
        score_labels(predictions, predictions * 2)
