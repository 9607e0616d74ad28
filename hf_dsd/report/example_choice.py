"""Which examples a report shows, by a rule that cannot pick cherries, and which of their words are right.

The rule: of all scored examples those with the largest gain of one model over the other, those with the largest loss,
and evenly spaced ones whatever they say; ties go to the earlier example. Wins and losses are counted over all of them.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import partial

import numpy as np
import sacrebleu
from numpy.typing import NDArray

from hf_dsd.metrics import label_statistics, wer_statistics
from hf_dsd.runs.scores import PhaseScores, ScoredExample

EXTREMES = 2
SPACED = 2
_MEASURES = {"wer": "number of word errors", "cer": "number of word errors", "error": "top-1 error"}


@dataclass(frozen=True)
class ShownExample:
    """One example, by its place in the split and its name, that every model answered.

    Attributes:
        why: `gain`, `loss` or `evenly spaced`.
        references: What people said.
        predictions: What each model said, in the order of the models.
        qualities: How good each answer is: see `example_qualities`; None without a measure.
    """

    row: int
    why: str
    id: str
    references: Sequence[str]
    predictions: Sequence[str]
    qualities: Sequence[float | None]


@dataclass(frozen=True)
class ExampleChoice:
    """The shown examples, in the order gains, losses, evenly spaced, and how all of them came out.

    Attributes:
        labels: The names of the models.
        baseline: Index of the model compared with, which answers better where the system has `losses`.
        system: Index of the model compared, with `wins` and `draws`.
        measure: What ranks the examples, in words; "" without one.
    """

    labels: Sequence[str]
    baseline: int
    system: int
    measure: str
    wins: int
    losses: int
    draws: int
    shown: Sequence[ShownExample]


def choose_examples(models: Sequence[tuple[str, PhaseScores]], baseline: int, system: int) -> ExampleChoice | None:
    """Applies the rule to (label, scores) of models on one split; None if they did not answer the same examples.

    `baseline` and `system` are the indices of the model compared with and of the one compared.
    """
    answers = [scores.examples for _, scores in models]
    if not answers[0] or any([row.id for row in found] != [row.id for row in answers[0]] for found in answers):
        return None
    metric = models[0][1].metric
    qualities = [found for answer in answers if (found := example_qualities(metric, answer)) is not None]
    difference = qualities[system] - qualities[baseline] if qualities else np.zeros(len(answers[0]))
    shown = [
        ShownExample(
            row,
            why,
            answers[0][row].id,
            answers[0][row].references,
            [answer[row].prediction for answer in answers],
            [float(quality[row]) for quality in qualities] or [None] * len(answers),
        )
        for row, why in chosen_rows(difference)
    ]
    return ExampleChoice(
        labels=[label for label, _ in models],
        baseline=baseline,
        system=system,
        measure="sentence BLEU-4 (smoothed)" if metric.startswith("bleu") else _MEASURES.get(metric, ""),
        wins=int(np.count_nonzero(difference > 0)),
        losses=int(np.count_nonzero(difference < 0)),
        draws=int(np.count_nonzero(difference == 0)),
        shown=shown,
    )


def chosen_rows(
    difference: NDArray[np.float64], extremes: int = EXTREMES, spaced: int = SPACED
) -> list[tuple[int, str]]:
    """(row, why) by the rule, no row twice: at most `extremes` gains and as many losses, then `spaced` rows.

    `difference` is (examples,) quality of the system minus the baseline's.
    """
    order = np.argsort(-difference, kind="stable")
    gains = [int(row) for row in order[:extremes] if difference[row] > 0]
    losses = [int(row) for row in np.argsort(difference, kind="stable")[:extremes] if difference[row] < 0]
    count = len(difference)
    even = [(2 * index + 1) * count // (2 * spaced) for index in range(spaced)] if count >= spaced else range(count)
    rows: dict[int, str] = {}
    for why, found in (("gain", gains), ("loss", losses), ("evenly spaced", even)):
        for row in found:
            rows.setdefault(row, why)
    return list(rows.items())


def example_qualities(metric: str, examples: Sequence[ScoredExample]) -> NDArray[np.float64] | None:
    """How good every answer is, greater is better; None for a metric that has no value per example.

    WER and CER: minus the number of word errors. BLEU: sentence BLEU-4, 0..100, smoothed (sacrebleu's "exp"). Top-1
    error of a classifier: 0 for the right class, -1 for a wrong one.
    """
    if metric.startswith("bleu"):
        score = partial(sacrebleu.sentence_bleu, tokenize="none", lowercase=True)
        return np.array([score(row.prediction, list(row.references)).score for row in examples], np.float64)
    texts = [row.prediction for row in examples], [row.references[0] for row in examples]
    if metric == "error":
        return -label_statistics(*texts)[:, 0].astype(np.float64)
    return -wer_statistics(*texts)[:, :3].sum(axis=1).astype(np.float64) if metric in ("wer", "cer") else None


def mark_words(prediction: str, references: Sequence[str]) -> list[tuple[str, bool]]:
    """The words of a prediction and whether each is wrong.

    A transcript has one reference and is aligned with it. A caption has several, and a word of it is right if one of
    them holds it, at most as often as the one that has it most: what BLEU counts of single words.
    """
    words = prediction.split()
    if len(references) == 1:
        blocks = SequenceMatcher(None, references[0].split(), words, autojunk=False).get_matching_blocks()
        right = {index for block in blocks for index in range(block.b, block.b + block.size)}
        return [(word, index not in right) for index, word in enumerate(words)]
    left: Counter[str] = Counter()
    for reference in references:
        left |= Counter(reference.split())
    marked = []
    for word in words:
        marked.append((word, left[word] <= 0))
        left[word] -= 1
    return marked
