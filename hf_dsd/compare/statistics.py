"""Would the method win again from another start, and would other examples tell these two models apart?

Seeds carry a claim about a *method*: a paired t test over them decides. Examples carry a claim about two *models*:
their answers to one test set are swapped at random.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats
from scipy.optimize import brentq

from hf_dsd.metrics import (
    bleu_from_statistics,
    bleu_statistics,
    error_rates,
    label_error,
    label_statistics,
    wer_statistics,
)
from hf_dsd.metrics.bootstrap import Scores, Statistics
from hf_dsd.runs.numbers import ALPHA
from hf_dsd.runs.scores import ScoredExample

CONFIDENCE = 0.95
POWER = 0.80

N_TRIALS = 10_000
"""Random swaps of an approximate randomisation, as sacrebleu's default."""

_TRIALS_AT_ONCE = 512


@dataclass(frozen=True)
class SeedTest:
    """A paired t test over seeds.

    Attributes:
        n: Number of pairs.
        mean: Of the differences.
        sd: Their sample standard deviation; None for one pair.
        interval: 95 % confidence interval of the mean; None for one pair.
        p: Two-sided; None where the test says nothing: one pair, or the same non-zero difference in every pair.
    """

    n: int
    mean: float
    sd: float | None
    interval: tuple[float, float] | None
    p: float | None


def paired_t(differences: Sequence[float]) -> SeedTest:
    """Student's paired t test of the differences of two arms, one per seed.

    Differences that are all 0 have p = 1. Differences that are all equal and not 0 have no p: without a spread their t
    is infinite, whether the seeds change nothing or the scores are coarse.

    Raises:
        ValueError: If there is no difference or one is not finite.
    """
    values = np.asarray(differences, dtype=np.float64)
    if values.size == 0 or not np.isfinite(values).all():
        raise ValueError(f"differences must be finite numbers, one per seed, got {list(differences)}; rerun that seed")
    n, mean = len(values), float(values.mean())
    if n == 1:
        return SeedTest(1, mean, None, None, None)
    if is_constant(differences):
        return SeedTest(n, mean, 0.0, (mean, mean), None if mean else 1.0)
    test = stats.ttest_1samp(values, 0.0)
    interval = test.confidence_interval(CONFIDENCE)
    return SeedTest(n, mean, float(values.std(ddof=1)), (float(interval.low), float(interval.high)), float(test.pvalue))


def is_constant(values: Sequence[float]) -> bool:
    """True if all are equal but for rounding."""
    numbers = np.asarray(values, dtype=np.float64)
    return bool(np.ptp(numbers) <= 1e-12 * max(1.0, float(np.abs(numbers).max())))


def detectable_difference(sd: float | None, n: int) -> float | None:
    """The smallest true difference that a paired t test over `n` seeds finds in 80 % of the tries, at alpha 0.05.

    It needs the spread of the seeds alone, not the difference that was seen: unlike the power "of what was observed" it
    says something before and after the runs. The spread of few seeds is itself a rough estimate.

    Args:
        sd: Sample standard deviation of the paired differences.
        n: Number of seeds.

    Returns:
        In the score's unit, > 0; None for one seed, or without a spread.
    """
    if n < 2 or not sd:
        return None
    return sd * float(brentq(lambda effect: _power(effect, n) - POWER, 0.0, 100.0, xtol=1e-9))


def _power(effect: float, n: int) -> float:
    """P(|T| > t) of noncentral t with n - 1 degrees of freedom and noncentrality `effect * sqrt(n)`."""
    limit = stats.t.isf(ALPHA / 2, n - 1)
    noncentrality = effect * math.sqrt(n)
    upper = float(stats.nct.sf(limit, n - 1, noncentrality))
    lower = float(stats.nct.cdf(-limit, n - 1, noncentrality))
    # Far from the critical value scipy's noncentral t gives nan instead of 1 and 0.
    return (1.0 if math.isnan(upper) else upper) + (0.0 if math.isnan(lower) else lower)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p values of a family of tests: the chance of one false finding among them stays below alpha.

    References:
        Holm, `A Simple Sequentially Rejective Multiple Test Procedure <https://www.jstor.org/stable/4615733>`_, 1979.
    """
    values = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    adjusted = np.empty_like(values)
    adjusted[order] = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    return [float(value) for value in np.minimum(adjusted, 1.0)]


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


def approximate_randomization(
    system: ExampleCounts, baseline: ExampleCounts, n_trials: int = N_TRIALS, seed: int = 0
) -> float:
    """How often swapping answers between two models at random makes a difference as large as theirs (two-sided p).

    Under the null hypothesis it does not matter which model gave which of an example's two answers.

    Args:
        system: One model.
        baseline: The other, on the same examples.
        n_trials: Random swaps of the whole test set.
        seed: Of the swaps.

    Raises:
        ValueError: If the two were not scored on the same number of examples.

    References:
        Riezler and Maxwell, `On Some Pitfalls in Automatic Evaluation and Significance Testing for MT
        <https://aclanthology.org/W05-0908>`_, 2005, section 4.2.
    """
    if len(system.counts) != len(baseline.counts):
        raise ValueError(
            f"both models must be scored on the same examples, got {len(system.counts)} and {len(baseline.counts)}; "
            "score them on one split"
        )
    generator = np.random.default_rng(seed)
    # A swap moves (baseline - system) of its example from one total to the other, so a trial is one matrix product.
    moved = (baseline.counts - system.counts).astype(np.float64)
    base, other = system.counts.sum(axis=0), baseline.counts.sum(axis=0)
    observed = abs(system.value - baseline.value)
    far = 0
    for start in range(0, n_trials, _TRIALS_AT_ONCE):  # memory stays small
        trials = min(_TRIALS_AT_ONCE, n_trials - start)
        swaps = generator.integers(2, size=(trials, len(moved)), dtype=bool)  # sacrebleu's draws from the same seed
        shift = np.rint(swaps @ moved).astype(np.int64)
        differences = system.score(base + shift) - baseline.score(other - shift)
        far += int((np.abs(differences) >= observed - 1e-12).sum())  # the observed arrangement itself counts
    return (far + 1) / (n_trials + 1)
