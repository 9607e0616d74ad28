"""Top-1 and top-5 error: counts, rates, intervals, and how they are called."""

import numpy as np
import pytest
import torch
from scipy import stats
from transformers import EvalPrediction

from hf_dsd.compare.example_interval import hierarchical_interval, resample_examples
from hf_dsd.metrics import label_metrics, label_scorer, ranked_labels, score_labels
from hf_dsd.runs.metric_names import greater_is_better, score_title
from hf_dsd.runs.numbers import difference_text, score_with_unit
from hf_dsd.runs.scores import ScoredExample


def test_a_split_is_scored_with_its_interval() -> None:
    scorer = label_scorer(["cat", "dog"], [str(n) for n in range(200)], [0] * 100 + [1] * 100)
    texts = scorer.decode(np.array([[0, 1]] * 90 + [[1, 0]] * 110))
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
    best = ranked_labels((logits, torch.zeros(4, 2)))
    assert best[:, 0].tolist() == [1, 0, 2, 1]
    assert best[0].tolist() == [1, 2, 0]
    found = label_metrics(EvalPrediction(predictions=best.numpy(), label_ids=np.array([1, 0, 0, 0])))
    assert found == {"error": 0.5}
    with pytest.raises(ValueError, match=r"^logits must be \(batch, classes\), got shape \(4, 1, 3\)"):
        ranked_labels(logits[:, None])


def test_the_label_among_the_five_best_is_no_top_5_error() -> None:
    """The ranks are the labels' own order: the first five miss the labels 5 and 6, the first misses all but 0."""
    logits = -torch.arange(7.0).repeat(70, 1)
    labels = [row % 7 for row in range(70)]
    ranked = ranked_labels(logits).numpy()
    assert ranked.shape == (70, 5)
    found = label_metrics(EvalPrediction(predictions=ranked, label_ids=np.array(labels)))
    assert found == pytest.approx({"error": 6 / 7, "error_top5": 2 / 7})
    scorer = label_scorer([f"class {n}" for n in range(7)], [str(n) for n in range(70)], labels)
    texts = scorer.decode(ranked)
    scores = {**scorer.score(texts), **scorer.score_predictions(ranked)}
    assert texts == ["class 0"] * 70
    assert (scores["error"], scores["error_top5"]) == pytest.approx((6 / 7, 2 / 7))
    low, high = scores["error_top5_ci"]
    exact = stats.binom.ppf([0.025, 0.975], 70, 2 / 7) / 70
    assert (low, high) == pytest.approx(tuple(exact), abs=0.03)
    assert "error_top5" not in scorer.score(texts)


def test_the_interval_of_two_classifiers_is_students_over_pictures() -> None:
    """Only pictures that one of them alone has right differ: 14 against 4 of 100. The truth is "a"."""
    answers = ["a"] * 80 + ["b"] * 20, ["b"] * 4 + ["a"] * 90 + ["b"] * 6
    first, second = (
        resample_examples("error", [ScoredExample(str(n), text, ["a"]) for n, text in enumerate(texts)])
        for texts in answers
    )
    assert first is not None
    assert second is not None
    assert (first.value, second.value, first.units) == (0.2, 0.1, 100)
    each = np.subtract([text == "a" for text in answers[0]], [text == "a" for text in answers[1]], dtype=float)
    low, high = stats.ttest_1samp(each, 0).confidence_interval()
    assert hierarchical_interval([second], [first]) == pytest.approx((low, high), abs=5e-3)


def test_its_name_and_unit() -> None:
    assert (score_title("eval_error"), score_title("error")) == ("top-1 error [%]", "top-1 error [%]")
    assert score_with_unit(0.175, "error") == "17.50 %"
    assert difference_text(-0.0125, "error") == "-1.25 points of top-1 error"
    assert score_title("error_top5") == "top-5 error [%]"
    assert (greater_is_better("error"), greater_is_better("eval_error_top5")) == (False, False)


@pytest.mark.parametrize("predictions", [[], ["a"]])
def test_what_cannot_be_scored_is_refused(predictions: list[str]) -> None:
    with pytest.raises(ValueError, match="one entry per example, got 1 and 2|predictions must not be empty, got 0"):
        score_labels(predictions, predictions * 2)


def test_hidden_labels_are_no_errors_of_the_model() -> None:
    with pytest.raises(ValueError, match=r"labels must be at least 0, got -1 in row 1 and 2 row\(s\) in all"):
        label_metrics(EvalPrediction(predictions=np.array([[0], [1], [1]]), label_ids=np.array([0, -1, -1])))
