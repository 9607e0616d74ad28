import math
import time

import evaluate
import numpy as np
import pytest

from hf_dsd.metrics import (
    BLEU,
    bleu_from_statistics,
    bleu_statistics,
    bootstrap_totals,
    percentile_interval,
    score_captions,
)
from hf_dsd.metrics.bleu import corpus_counter

# Every expected number is counted by hand from the words in its row.
CASES = [
    pytest.param(
        ["a dog runs on the grass"],
        [["a dog runs on the grass"]],
        {"bleu1": 100.0, "bleu2": 100.0, "bleu3": 100.0, "bleu4": 100.0, "brevity_penalty": 1.0},
        id="identical",
    ),
    pytest.param(  # clipping: "the" counts twice at most; Papineni's own example, 2/7
        ["the the the the the the the"],
        [["the cat is on the mat", "there is a cat on the mat"]],
        {"bleu1": 200 / 7, "bleu2": 0.0, "bleu3": 0.0, "bleu4": 0.0, "hyp_length": 7, "ref_length": 7},
        id="clipped-counts",
    ),
    pytest.param(  # 5/6 words, 3/5 pairs, 2/4 triples, 1/3 quadruples: "a man rides a", lengths 6 and 6
        ["a man rides a red bike"],
        [["a man rides a blue bike"]],
        {
            "bleu1": 100 * 5 / 6,
            "bleu2": 100 * math.sqrt(5 / 6 * 3 / 5),
            "bleu3": 100 * (5 / 6 * 3 / 5 * 2 / 4) ** (1 / 3),
            "bleu4": 100 * (5 / 6 * 3 / 5 * 2 / 4 * 1 / 3) ** (1 / 4),
            "brevity_penalty": 1.0,
        },
        id="one-word-wrong",
    ),
    pytest.param(  # all n-grams right, 4 words instead of 6: exp(1 - 6/4) on every order
        ["a dog runs on"],
        [["a dog runs on the grass"]],
        {f"bleu{order}": 100 * math.exp(-0.5) for order in range(1, 5)} | {"brevity_penalty": math.exp(-0.5)},
        id="brevity-penalty",
    ),
    pytest.param(  # 3 words, references of 2 and 4 are equally close: the shorter counts, so no penalty
        ["a b c"],
        [["a b c d", "a b"]],
        {"bleu1": 100.0, "bleu2": 100.0, "bleu3": 100.0, "bleu4": 0.0, "ref_length": 2, "brevity_penalty": 1.0},
        id="closest-reference-tie",
    ),
    pytest.param(  # corpus level: counts add up before dividing, (2 + 1)/(2 + 2) words, 1/2 pairs; references 1 and 2
        ["a b", "c d"],
        [["a b"], ["c x", "y z w"]],
        {"bleu1": 75.0, "bleu2": 100 * math.sqrt(0.75 * 0.5), "bleu3": 0.0, "ref_length": 4},
        id="corpus-not-mean",
    ),
    pytest.param(
        ["A DOG runs"],
        [["a dog Runs"]],
        {"bleu1": 100.0, "bleu2": 100.0, "bleu3": 100.0, "bleu4": 0.0},
        id="case-and-too-short-for-order-4",
    ),
    pytest.param(
        ["", "a b c d"],
        [["a b"], ["a b c d"]],
        {"bleu4": 100 * math.exp(1 - 6 / 4), "hyp_length": 4, "ref_length": 6},
        id="one-empty-prediction",
    ),
    pytest.param([""], [["a"]], {"bleu1": 0.0, "bleu4": 0.0, "brevity_penalty": 0.0}, id="only-empty-predictions"),
    pytest.param(["x y"], [["a b"]], {"bleu1": 0.0, "bleu4": 0.0, "brevity_penalty": 1.0}, id="no-match"),
]


@pytest.mark.parametrize(("predictions", "references", "expected"), CASES)
def test_scores_are_the_hand_counted_ones(predictions, references, expected):
    result = BLEU().compute(predictions=predictions, references=references)
    assert {name: result[name] for name in expected} == pytest.approx(expected, abs=1e-9)


def test_without_brevity_penalty_the_cumulative_precisions_remain():
    result = BLEU().compute(
        predictions=["a dog runs on"], references=[["a dog runs on the grass"]], brevity_penalty=False
    )
    assert [result[f"bleu{order}"] for order in range(1, 5)] == pytest.approx([100.0] * 4)
    assert result["brevity_penalty"] == 1.0
    assert "|brevity:no|" in result["signature"]


def test_precisions_are_per_order_and_not_cumulative():
    result = score_captions(["a man rides a red bike"], [["a man rides a blue bike"]])
    assert result["precisions"] == pytest.approx([500 / 6, 60.0, 50.0, 100 / 3])


@pytest.mark.parametrize(
    ("references", "options", "expected"),
    [
        pytest.param(
            [["a", "b"], ["a", "c"]], {}, "nrefs:2|case:lc|eff:no|tok:none|smooth:none|brevity:yes|", id="same"
        ),
        pytest.param([["a"], ["a", "c"]], {}, "nrefs:var|case:lc|", id="different-counts"),
        pytest.param([["a"], ["a"]], {"n_bootstrap": 5, "seed": 7}, "nrefs:1|bs:5|seed:7|case:lc|", id="bootstrap"),
    ],
)
def test_signature_says_how_the_number_was_made(references, options, expected):
    signature = score_captions(["a", "a"], references, **options)["signature"]
    assert signature.startswith(expected)
    assert "|order:1-4 cumulative|version:" in signature


@pytest.mark.parametrize(
    ("predictions", "references", "error", "message"),
    [
        pytest.param("a dog", [["a"]], TypeError, "predictions must be a list .* got 'a dog'", id="prediction-str"),
        pytest.param(["a"], ["a dog"], TypeError, r"references\[0\] must be a list of str, got 'a dog'", id="flat"),
        pytest.param(["a"], [[]], ValueError, r"references\[0\] must hold at least one", id="no-reference"),
        pytest.param([], [], ValueError, "predictions must not be empty, got 0", id="nothing"),
        pytest.param(["a"], [["a"], ["b"]], ValueError, "got 1 and 2; pass references as", id="lengths"),
        pytest.param([3], [["a"]], TypeError, r"predictions\[0\] must be a str, got 3", id="ids"),
        pytest.param(["a"], [["a", None]], TypeError, r"references\[0\]\[1\] must be a str, got None", id="none"),
        pytest.param(["a"], None, TypeError, "references must be a list .* got None", id="references-missing"),
    ],
)
def test_wrong_shapes_say_what_to_do(predictions, references, error, message):
    with pytest.raises(error, match=message):
        BLEU().compute(predictions=predictions, references=references)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"n_bootstrap": -1}, "n_bootstrap must be at least 0, got -1", id="resamples"),
        pytest.param({"n_bootstrap": 1, "seed": -2}, "seed must be at least 0, got -2", id="seed"),
    ],
)
def test_wrong_options_say_what_to_do(options, message):
    with pytest.raises(ValueError, match=message):
        score_captions(["a"], [["a"]], **options)


def test_batches_and_single_rows_add_up_to_the_whole():
    metric = BLEU()
    metric.add(prediction="a b", reference=["a b"])
    metric.add_batch(predictions=["c d"], references=[["c x", "y z w"]])
    assert metric.compute() == score_captions(["a b", "c d"], [["a b"], ["c x", "y z w"]])
    again = metric.compute(predictions=["a"], references=[["a"]])
    assert again["bleu1"] == 100.0  # the object is free for the next evaluation


def test_works_inside_evaluate_combine():
    result = evaluate.combine({"captions": BLEU()}, force_prefix=True).compute(
        predictions=["a b"], references=[["a b"]]
    )
    assert result["captions_bleu2"] == 100.0


def test_statistics_columns():
    statistics = bleu_statistics(["a man rides a red bike", "x"], [["a man rides a blue bike"], ["a", "x y z"]])
    assert statistics.tolist() == [[6, 6, 5, 3, 2, 1, 6, 5, 4, 3], [1, 1, 1, 0, 0, 0, 1, 0, 0, 0]]


def test_scores_of_several_corpora_at_once_equal_those_one_by_one():
    totals = np.array([[6, 6, 5, 3, 2, 1, 6, 5, 4, 3], [4, 6, 4, 3, 2, 1, 4, 3, 2, 1]])
    together = bleu_from_statistics(totals)
    assert together == pytest.approx(np.stack([bleu_from_statistics(row) for row in totals]))
    assert together[1] == pytest.approx([100 * math.exp(-0.5)] * 4)


def test_bootstrap_draws_are_paired_and_keep_the_corpus_size():
    statistics = np.eye(10, dtype=np.int64).repeat(3, axis=0)  # column sums count how often each image was drawn
    first, again = bootstrap_totals(statistics, 50, seed=3), bootstrap_totals(statistics, 50, seed=3)
    assert (first == again).all()
    assert (first.sum(axis=1) == 30).all()
    assert (first != bootstrap_totals(statistics, 50, seed=4)).any()


def test_interval_of_a_mean_is_close_to_the_textbook_one():
    # BLEU-1 of n one-word captions, half of them right, is a binomial share: 50 +- 1.96 * 50 / sqrt(n).
    n = 400
    predictions, references = ["a"] * n, [["a"] if row % 2 else ["b"] for row in range(n)]
    result = score_captions(predictions, references, n_bootstrap=2000, seed=0)
    half_width = 1.96 * 50 / math.sqrt(n)
    assert result["bleu1_ci"] == pytest.approx([50 - half_width, 50 + half_width], abs=0.6)
    assert result["bleu4_ci"] == [0.0, 0.0]


def test_thousand_resamples_of_thousand_images_are_quick():
    statistics = np.ones((1000, 10), dtype=np.int64)
    start = time.process_time()
    percentile_interval(bleu_from_statistics(bootstrap_totals(statistics, 1000, seed=0)))
    assert time.process_time() - start < 1.0


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95], ids=["zero", "one", "percent"])
def test_confidence_outside_its_range_is_refused(confidence):
    with pytest.raises(ValueError, match=r"confidence must be in \(0, 1\), got"):
        percentile_interval(np.zeros((5, 4)), confidence)


def test_counted_references_give_the_same_sums_each_time():
    references = [["A dog runs home", "the dog"], ["a cat"], ["two men sit there", "men sit", "Men sit down"]]
    count = corpus_counter(references)
    for predictions in (["a dog runs", "a cat sits", "two men sit down"], ["", "dog", "men"]):
        assert count(predictions).tolist() == bleu_statistics(predictions, references).sum(axis=0).tolist()
    with pytest.raises(ValueError, match="one entry per image, got 1 and 3"):
        count(["a dog"])
