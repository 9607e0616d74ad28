"""Which examples are shown: the rule, on literal answers."""

import numpy as np
import pytest
from report_runs import REFERENCES, write_scores

from hf_dsd.report.example_choice import choose_examples, chosen_rows, example_qualities, mark_words
from hf_dsd.runs.scores import PhaseScores, ScoredExample


def test_gains_losses_and_evenly_spaced_rows():
    difference = np.array([0, 2, -1, 0, 5, 2, -4, 0, 0, 0, 0, 1], float)
    assert chosen_rows(difference, extremes=2, spaced=4) == [
        (4, "gain"),
        (1, "gain"),  # as large as row 5, and earlier
        (6, "loss"),
        (2, "loss"),
        (7, "evenly spaced"),  # of 1, 4, 7, 10 the first two are shown already
        (10, "evenly spaced"),
    ]


def test_without_gains_and_losses_only_even_rows_are_left():
    assert chosen_rows(np.zeros(8), spaced=4) == [(1, "evenly spaced"), (3, "evenly spaced"), (5, "evenly spaced")] + [
        (7, "evenly spaced")
    ]
    assert [row for row, _ in chosen_rows(np.zeros(2))] == [0, 1]
    assert len(chosen_rows(np.arange(-8.0, 9.0))) == 6  # two gains, two losses, two whatever they say


def test_wins_and_losses_are_counted_over_all_examples(tmp_path):
    for arm, heard in (("dense", ["one two x four", *REFERENCES[1:]]), ("dsd", [*REFERENCES[:3], "x x five six"])):
        (tmp_path / arm).mkdir()
        write_scores(tmp_path / arm, "phase-2-dense", heard)
    models = [(arm, PhaseScores.read(tmp_path / arm, "phase-2-dense")) for arm in ("dsd", "dense")]
    choice = choose_examples(models, baseline=1, system=0)
    assert (choice.wins, choice.losses, choice.draws, choice.measure) == (1, 1, 2, "number of word errors")
    assert [(shown.id, shown.why, shown.qualities) for shown in choice.shown] == [
        ("a", "gain", [0, -1]),
        ("d", "loss", [-2, 0]),
        ("b", "evenly spaced", [0, 0]),
    ]
    assert choice.shown[1].predictions == ["x x five six", "three four five six"]


def test_models_that_answered_other_examples_are_not_compared(tmp_path):
    write_scores(tmp_path, "phase-2-dense", REFERENCES)
    scores = PhaseScores.read(tmp_path, "phase-2-dense")
    fewer = PhaseScores(**{**vars(scores), "examples": scores.examples[:2]})
    assert choose_examples([("a", scores), ("b", fewer)], 0, 1) is None


def test_captions_are_ranked_by_sentence_bleu():
    examples = [ScoredExample("a", "a red dog", ["a cat", "a red dog runs"]), ScoredExample("b", "x", ["y z"])]
    first, second = example_qualities("bleu4", examples)
    assert first > 50 > second
    assert example_qualities("perplexity", examples) is None


@pytest.mark.parametrize(
    ("prediction", "references", "wrong"),
    [
        ("one two four", ["one two three four"], []),
        ("one too three", ["one two three"], ["too"]),
        ("a a b", ["a b"], ["a"]),
        ("anything", ["this", "that"], ["anything"]),  # captions: no reference holds the word
        ("a dog a cat a", ["a cat", "the dog sees a dog"], ["a", "a"]),  # at most as often as one of them does
        ("", ["one"], []),
    ],
)
def test_wrong_words_are_marked(prediction, references, wrong):
    marked = mark_words(prediction, references)
    assert " ".join(word for word, _ in marked) == prediction
    assert [word for word, is_wrong in marked if is_wrong] == wrong


def test_classes_are_right_or_wrong():
    examples = [ScoredExample(name, told, [true]) for name, told, true in (("a", "cat", "cat"), ("b", "cat", "dog"))]
    assert example_qualities("error", examples).tolist() == [0, -1]
    right, wrong = (
        PhaseScores("phase-2-dense", "test", "error", False, {"error": 0.5}, 1.0, [example] * 2)
        for example in (examples[0], ScoredExample("a", "fire engine", ["cat"]))
    )
    choice = choose_examples([("dsd", right), ("dense", wrong)], baseline=1, system=0)
    assert (choice.wins, choice.losses, choice.draws, choice.measure) == (2, 0, 0, "top-1 error")
