import math
import random

import evaluate
import jiwer
import numpy as np
import pytest

from hf_dsd.metrics import (
    WER,
    WER_COLUMNS,
    bootstrap_totals,
    error_rates,
    normalize_transcript,
    score_transcripts,
    wer_statistics,
)

# Every expected number is counted by hand from the words in its row.
CASES = [
    pytest.param(
        ["one two three"],
        ["one two three"],
        {"wer": 0.0, "cer": 0.0, "substitutions": 0, "insertions": 0, "deletions": 0, "words": 3},
        id="identical",
    ),
    pytest.param(  # "too" for "two": 1 letter of 13 characters, two spaces among them
        ["one too three"],
        ["one two three"],
        {"wer": 1 / 3, "cer": 1 / 13, "substitutions": 1, "insertions": 0, "deletions": 0, "words": 3},
        id="substitution",
    ),
    pytest.param(  # " four" is 5 characters more
        ["one two three four"],
        ["one two three"],
        {"wer": 1 / 3, "cer": 5 / 13, "substitutions": 0, "insertions": 1, "deletions": 0, "words": 3},
        id="insertion",
    ),
    pytest.param(
        ["one three"],
        ["one two three"],
        {"wer": 1 / 3, "cer": 4 / 13, "substitutions": 0, "insertions": 0, "deletions": 1, "words": 3},
        id="deletion",
    ),
    pytest.param(  # words: x for a, c dropped, e added; characters: x, d, f, e for a, c, d, f in place, so 4 of 9
        ["x b d f e"],
        ["a b c d f"],
        {"wer": 3 / 5, "cer": 4 / 9, "substitutions": 1, "insertions": 1, "deletions": 1, "words": 5},
        id="one-of-each",
    ),
    pytest.param(  # three predicted words for one: more errors than words
        ["a b c"],
        ["d"],
        {"wer": 3.0, "cer": 5.0, "substitutions": 1, "insertions": 2, "deletions": 0, "words": 1},
        id="above-one",
    ),
    pytest.param(  # set level: (1 + 0) errors in (1 + 3) words, not the mean of 1 and 0
        ["x", "a b c"],
        ["y", "a b c"],
        {"wer": 1 / 4, "cer": 1 / 6, "words": 4},
        id="whole-set-not-mean",
    ),
    pytest.param(  # one word too few joins two: a substitution and a deletion
        ["twentyone"],
        ["twenty-one"],
        {"wer": 1.0, "cer": 1 / 10, "substitutions": 1, "deletions": 1, "words": 2},
        id="joined-words",
    ),
    pytest.param(["It's  ONE, two!\n"], ["it\u2019s one two"], {"wer": 0.0, "cer": 0.0, "words": 3}, id="normalised"),
    pytest.param(
        ["", "a b"],
        ["one two", "a b"],
        {"wer": 2 / 4, "cer": 7 / 10, "substitutions": 0, "insertions": 0, "deletions": 2, "words": 4},
        id="empty-prediction",
    ),
    pytest.param(
        ["one two", "a b"],
        ["", "a c"],
        {"wer": 3 / 2, "cer": 8 / 3, "substitutions": 1, "insertions": 2, "deletions": 0, "words": 2},
        id="empty-reference",
    ),
    pytest.param(["", "?!"], ["a", "b"], {"wer": 1.0, "cer": 1.0, "deletions": 2}, id="only-empty-predictions"),
    pytest.param(  # nothing to divide by: the number of insertions
        ["one two", "three"],
        ["", "..."],
        {"wer": 3.0, "cer": 12.0, "substitutions": 0, "insertions": 3, "deletions": 0, "words": 0},
        id="only-empty-references",
    ),
    pytest.param(  # one keyboard writes the joiner, another does not: one of two words is wrong, not two of three
        ["\u0645\u06cc\u062e\u0648\u0627\u0647\u0645 x"],
        ["\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645 y"],
        {"wer": 1 / 2, "words": 2},
        id="persian",
    ),
    pytest.param([""], [""], {"wer": 0.0, "cer": 0.0, "insertions": 0, "words": 0}, id="nothing-said-nothing-heard"),
]


@pytest.mark.parametrize(("predictions", "references", "expected"), CASES)
def test_rates_are_the_hand_counted_ones(predictions, references, expected):
    result = WER().compute(predictions=predictions, references=references)
    assert {name: result[name] for name in expected} == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("HELLO World", "hello world", id="case"),
        pytest.param(" one\ttwo\n\u00a0three ", "one two three", id="white-space"),
        pytest.param("well, one... two?!", "well one two", id="punctuation"),
        pytest.param("twenty-one A.T.&T.", "twenty one a t t", id="separating-punctuation"),
        pytest.param("it's the boys' o\u2019clock", "it's the boys' o'clock", id="apostrophes"),
        pytest.param("one ' two '' three", "one two three", id="lone-apostrophes"),
        pytest.param("<unk> snake_case 3 $5", "unk snake case 3 5", id="symbols-and-digits"),
        pytest.param("cafe\u0301 CAF\u00c9", "caf\u00e9 caf\u00e9", id="composed-and-decomposed-accents"),
        pytest.param("\u0939\u093f\u0902\u0926\u0940", "\u0939\u093f\u0902\u0926\u0940", id="marks-of-other-scripts"),
        pytest.param("می\u200cخواهم", "میخواهم", id="persian-non-joiner"),
        pytest.param("क्\u200dष", "क्ष", id="hindi-joiner"),
        pytest.param("co\u00adop\u200b \u200fab\ufeff", "coop ab", id="soft-hyphen-and-marks"),
        pytest.param("\u2764\ufe0f one 1\ufe0f\u20e3", "one 1\u20e3", id="variation-selectors"),
        pytest.param("ΟΔΟΣ οδος", "οδος οδος", id="final-sigma"),
        pytest.param("?!", "", id="nothing-left"),
        pytest.param("", "", id="empty"),
    ],
)
def test_normalize_transcript(text, expected):
    assert normalize_transcript(text) == expected
    assert normalize_transcript(expected) == expected


def test_columns_of_the_statistics():
    statistics = wer_statistics(["x b d f e", "", "one two"], ["a b c d f", "one two", ""])
    assert WER_COLUMNS == ("substitutions", "insertions", "deletions", "words", "character_errors", "characters")
    assert statistics.tolist() == [[1, 1, 1, 5, 4, 9], [0, 0, 2, 2, 7, 7], [0, 2, 0, 0, 7, 0]]
    assert statistics.dtype == np.int64


def test_statistics_of_one_utterance_do_not_depend_on_the_others():
    predictions, references = ["a b", "c", "", "d e f"], ["a", "c d", "x", "f e d"]
    together = wer_statistics(predictions, references)
    alone = [wer_statistics([p], [r])[0] for p, r in zip(predictions, references, strict=True)]
    assert (together == np.stack(alone)).all()


def test_rates_of_several_sets_at_once_equal_those_one_by_one():
    totals = np.array([[1, 1, 1, 5, 5, 9], [0, 2, 0, 0, 7, 0], [0, 0, 0, 0, 0, 0]])
    assert error_rates(totals).tolist() == [[3 / 5, 5 / 9], [2.0, 7.0], [0.0, 0.0]]
    assert [error_rates(row).tolist() for row in totals] == error_rates(totals).tolist()


def test_interval_of_a_share_is_close_to_the_textbook_one():
    # One word per utterance, a quarter of them wrong: a binomial share, 1/4 +- 1.96 * sqrt(1/4 * 3/4 / n).
    n = 400
    predictions = ["b" if row % 4 == 0 else "a" for row in range(n)]
    result = score_transcripts(predictions, ["a"] * n, n_bootstrap=2000, seed=0)
    half_width = 1.96 * math.sqrt(3 / 16 / n)
    assert result["wer_ci"] == pytest.approx([0.25 - half_width, 0.25 + half_width], abs=0.004)
    assert result["cer_ci"] == result["wer_ci"]


def test_interval_is_that_of_the_resampled_counts_and_reproducible():
    predictions, references = ["a b", "c", "x", "d e f"] * 5, ["a", "c d", "x", "f e d"] * 5
    result = score_transcripts(predictions, references, n_bootstrap=200, seed=3)
    samples = error_rates(bootstrap_totals(wer_statistics(predictions, references), 200, seed=3))[:, 0]
    assert result["wer_ci"] == pytest.approx(np.quantile(samples, [0.025, 0.975]))
    assert result["wer_ci"] == pytest.approx([0.451156, 0.677419], abs=1e-6)
    assert result == score_transcripts(predictions, references, n_bootstrap=200, seed=3)
    assert result["wer_ci"] != score_transcripts(predictions, references, n_bootstrap=200, seed=4)["wer_ci"]


def test_whole_speakers_are_drawn_where_they_are_known():
    # Ten speakers of four utterances; three say everything wrong: a share of ten, not of forty.
    speakers = [f"speaker {row % 10}" for row in range(40)]
    predictions = ["b" if row % 10 < 3 else "a" for row in range(40)]
    known = score_transcripts(predictions, ["a"] * 40, n_bootstrap=2000, speakers=speakers)
    unknown = score_transcripts(predictions, ["a"] * 40, n_bootstrap=2000)
    assert known["wer_ci"] == known["cer_ci"] == [0.0, 0.6]
    assert unknown["wer_ci"] == pytest.approx([0.3 - 0.142, 0.3 + 0.142], abs=0.03)
    assert "|bs:2000|seed:0|drawn:speakers|case:lc|" in known["signature"]
    assert "drawn" not in unknown["signature"]
    alone = score_transcripts(predictions, ["a"] * 40, n_bootstrap=2000, speakers=["one"] * 40)
    assert alone == unknown  # of one speaker nobody knows what others would have done to the score
    options = {"predictions": predictions, "references": ["a"] * 40, "speakers": speakers}
    assert WER().compute(**options, n_bootstrap=2000) == known


def test_interval_with_an_utterance_without_words_is_finite():
    result = score_transcripts(["", "a"], ["", "b"], n_bootstrap=50, seed=0)  # some resamples have no reference word
    assert result["wer_ci"] == [0.0, 1.0]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        pytest.param({}, "nrefs:1|case:lc|punct:apostrophes only|unicode:NFC|tok:spaces|cer:with spaces|", id="plain"),
        pytest.param({"n_bootstrap": 5, "seed": 7}, "nrefs:1|bs:5|seed:7|case:lc|", id="bootstrap"),
        pytest.param({"decoding": "greedy"}, "nrefs:1|decoding:greedy|case:lc|", id="decoding"),
    ],
)
def test_signature_says_how_the_number_was_made(options, expected):
    signature = WER().compute(predictions=["a"], references=["a"], **options)["signature"]
    assert signature.startswith(expected)
    assert "|version:rapidfuzz " in signature


@pytest.mark.parametrize(
    ("predictions", "references", "error", "message"),
    [
        pytest.param(
            "one",
            ["one"],
            TypeError,
            "predictions must be a list .* got 'one'",
            id="prediction-str",
        ),
        pytest.param(
            ["one"],
            "one",
            TypeError,
            "references must be a list .* got 'one'",
            id="reference-str",
        ),
        pytest.param(["one"], None, TypeError, "references must be a list .* got None", id="none"),
        pytest.param([[1, 2]], ["one"], TypeError, r"predictions\[0\] must be a str, got \[1, 2\]; decode", id="ids"),
        pytest.param(
            ["a"], [["a"]], TypeError, r"references\[0\] must be a str, got \['a'\].*one reference", id="nest"
        ),
        pytest.param([], [], ValueError, "predictions must not be empty, got 0", id="nothing"),
        pytest.param(["a"], ["a", "b"], ValueError, "got 1 and 2; an utterance without words", id="lengths"),
    ],
)
def test_wrong_shapes_say_what_to_do(predictions, references, error, message):
    with pytest.raises(error, match=message):
        WER().compute(predictions=predictions, references=references)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"n_bootstrap": -1}, "n_bootstrap must be at least 0, got -1", id="resamples"),
        pytest.param({"n_bootstrap": 1, "seed": -2}, "seed must be at least 0, got -2", id="seed"),
        pytest.param(
            {"n_bootstrap": 1, "speakers": ["x", "y"]}, "clusters must be one per row, got 2 of 1 rows", id="who"
        ),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        score_transcripts(["a"], ["a"], **options)


def test_adding_in_parts_gives_the_same():
    metric = WER()
    metric.add(prediction="one too", reference="one two")
    metric.add_batch(predictions=["a", ""], references=["a", "b"])
    assert metric.compute()["wer"] == 2 / 4
    assert metric.compute(predictions=["a"], references=["a"])["wer"] == 0.0  # free for the next evaluation


def test_works_inside_evaluate_combine():
    combined = evaluate.combine({"speech": WER()}, force_prefix=True)
    assert combined.compute(predictions=["a x"], references=["a b"])["speech_wer"] == 0.5


def test_counts_are_jiwers():
    generator = random.Random(0)
    vocabulary = ["a", "ab", "b", "ba", "abc", "it's"]
    texts = [" ".join(generator.choices(vocabulary, k=generator.randrange(12))) for _ in range(600)]
    predictions, references = texts[:300], texts[300:]
    words, letters = jiwer.process_words(references, predictions), jiwer.process_characters(references, predictions)
    totals = wer_statistics(predictions, references).sum(axis=0).tolist()
    assert totals[:3] == [words.substitutions, words.insertions, words.deletions]
    assert totals[4] == letters.substitutions + letters.insertions + letters.deletions


def test_the_signature_says_how_many_utterances_were_skipped():
    signature = WER().compute(predictions=["a"], references=["a"], skipped=3)["signature"]
    assert signature.startswith("nrefs:1|skipped:3|case:lc|")
