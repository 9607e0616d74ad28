"""How far other examples and other seeds could have moved a difference: one interval over both.

Seeds and examples are crossed: every seed's models answered the same test set. The variance that the choice of seeds
adds is that of their differences; what the choice of examples adds is found by drawing the test set again, and with it
whole clusters, such as a speaker's utterances, where the data names them.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from hf_dsd.metrics import (
    bleu_from_statistics,
    bleu_statistics,
    error_rates,
    label_error,
    label_statistics,
    wer_statistics,
)
from hf_dsd.metrics.bootstrap import Scores, Statistics, bootstrap_totals, cluster_sums
from hf_dsd.runs.scores import ScoredExample

from .statistics import CONFIDENCE

N_RESAMPLES = 1000
_SEED = 0  # one for all runs: two models' resamples are of the same examples


@dataclass(frozen=True)
class ExampleCounts:
    """The counts of one model's answers to one test set, and how their sums make its score.

    Attributes:
        counts: (examples, columns) int64.
        score: From (..., columns) sums to (...) scores.
    """

    counts: Statistics
    score: Callable[[Statistics], Scores]

    @property
    def value(self) -> float:
        """The score of the whole set."""
        return float(self.score(self.counts.sum(axis=0)))


def example_counts(metric: str, examples: Sequence[ScoredExample]) -> ExampleCounts | None:
    """The counts behind `bleu1` .. `bleu4`, `wer`, `cer` or `error`; None for any other metric.

    Args:
        metric: A key of `PhaseScores.scores`.
        examples: Of one model, in the order of the data.
    """
    texts = [example.prediction for example in examples]
    if metric in ("bleu1", "bleu2", "bleu3", "bleu4"):
        order = int(metric[-1]) - 1
        counts = bleu_statistics(texts, [example.references for example in examples])
        return ExampleCounts(counts, lambda totals: bleu_from_statistics(totals)[..., order])
    references = [example.references[0] for example in examples]
    if metric in ("wer", "cer"):
        column = ("wer", "cer").index(metric)
        return ExampleCounts(wer_statistics(texts, references), lambda totals: error_rates(totals)[..., column])
    return ExampleCounts(label_statistics(texts, references), label_error) if metric == "error" else None


@dataclass(frozen=True)
class Resamples:
    """One model's score on test sets that were drawn again.

    Attributes:
        value: Its score on the test set as it is.
        scores: (resamples,) scores.
        units: How many examples, or clusters of them, were drawn each time.
    """

    value: float
    scores: Scores
    units: int


def resample(counts: ExampleCounts, clusters: Sequence[str] | None, n_resamples: int = N_RESAMPLES) -> Resamples:
    """Draws the examples of a test set again with replacement: whole clusters where there are any.

    Args:
        counts: Of one model's answers.
        clusters: Of each example, such as its speaker; None draws examples.
        n_resamples: Number of test sets.
    """
    rows = counts.counts if clusters is None else cluster_sums(counts.counts, clusters)
    return Resamples(counts.value, counts.score(bootstrap_totals(rows, n_resamples, _SEED)), len(rows))


def resample_examples(metric: str, examples: Sequence[ScoredExample]) -> Resamples | None:
    """Resamples of one model's examples; None without examples, or of a metric that no texts tell."""
    counts = example_counts(metric, examples) if examples else None
    if counts is None:
        return None
    clusters = [example.cluster or "" for example in examples]
    return resample(counts, clusters if all(clusters) else None)


def hierarchical_interval(own: Sequence[Resamples], other: Sequence[Resamples]) -> tuple[float, float] | None:
    """95 % interval of a mean difference over other seeds and other examples.

    Student's t of a variance that adds up what seeds and what examples contribute, with Satterthwaite's degrees of
    freedom, and never narrower than Student's interval over the seeds alone: of few seeds the degrees of freedom are a
    guess. Percentiles of resampled seeds are far too narrow (`tests/benchmarks/check_statistics.py`). One seed's
    interval is over examples alone: it is about two models, not about two methods.

    Args:
        own: Of an arm, one per seed.
        other: Of its control, with the same seeds and examples.

    Returns:
        None where there are fewer than two examples or clusters to draw from.

    References:
        Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapters 6 and 8; Satterthwaite, `An Approximate
        Distribution of Estimates of Variance Components <https://doi.org/10.2307/3002019>`_, 1946.
    """
    units, seeds = own[0].units, len(own)
    if units < 2:
        return None
    differences = np.array([one.value - two.value for one, two in zip(own, other, strict=True)])
    drawn = np.array([one.scores - two.scores for one, two in zip(own, other, strict=True)])  # (seeds, resamples)
    correction = units / (units - 1)  # drawn again with replacement, a sample varies by this much too little
    of_examples = correction * float(drawn.mean(axis=0).var(ddof=1))
    of_seeds = 0.0
    if seeds > 1:
        of_seeds = float(differences.var(ddof=1)) / seeds
        # Seeds differ in which examples they get right: that is in their spread already, and is not counted twice.
        alone = correction * float(drawn.var(axis=1, ddof=1).mean())
        of_examples = max((seeds * of_examples - alone) / (seeds - 1), 0.0)
    variance, mean = of_seeds + of_examples, float(differences.mean())
    if variance == 0:
        return mean, mean
    degrees = variance**2 / (of_seeds**2 / max(seeds - 1, 1) + of_examples**2 / (units - 1))
    half = float(stats.t.isf((1 - CONFIDENCE) / 2, degrees)) * math.sqrt(variance)
    if seeds > 1:
        half = max(half, float(stats.t.isf((1 - CONFIDENCE) / 2, seeds - 1)) * math.sqrt(of_seeds))
    return mean - half, mean + half
