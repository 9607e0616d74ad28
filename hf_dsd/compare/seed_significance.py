"""Would the method win again from another start? A paired t test over seeds, and how many seeds it would need.

Layer: numpy and scipy.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

CONFIDENCE = 0.95
ALPHA = 0.05
POWER = 0.80
_MOST_SEEDS = 10_000


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
    sd = float(values.std(ddof=1))
    if is_constant(differences):
        return SeedTest(n, mean, 0.0, (mean, mean), None if mean else 1.0)
    test = stats.ttest_1samp(values, 0.0)
    interval = test.confidence_interval(CONFIDENCE)
    return SeedTest(n, mean, sd, (float(interval.low), float(interval.high)), float(test.pvalue))


def is_constant(values: Sequence[float]) -> bool:
    """True if all are equal but for rounding."""
    numbers = np.asarray(values, dtype=np.float64)
    return bool(np.ptp(numbers) <= 1e-12 * max(1.0, float(np.abs(numbers).max())))


def seeds_needed(mean: float, sd: float) -> int | None:
    """Seeds with which a paired t test would find a difference of this size in 80 % of the tries, at alpha 0.05.

    The smallest n >= 2 with `P(|T| > t) >= 0.8`, where t is the two-sided 5 % point of Student's t with n - 1 degrees
    of freedom and T is noncentral t with noncentrality `mean / sd * sqrt(n)`. It takes the observed mean and standard
    deviation for the true ones, which few seeds estimate badly: an order of magnitude, not a promise.

    Args:
        mean: Of the paired differences.
        sd: Their sample standard deviation, > 0 for an answer.

    Returns:
        The number, or None where there is no answer: no difference, no spread, or more than 10,000.
    """
    if mean == 0 or sd <= 0:
        return None
    effect = abs(mean) / sd
    if effect * math.sqrt(_MOST_SEEDS) < 1:  # far below what the limit could find
        return None
    low, high = 2, _MOST_SEEDS
    if _power(effect, high) < POWER:
        return None
    while low < high:  # the power grows with n
        middle = (low + high) // 2
        low, high = (low, middle) if _power(effect, middle) >= POWER else (middle + 1, high)
    return low


def _power(effect: float, n: int) -> float:
    limit = stats.t.isf(ALPHA / 2, n - 1)
    noncentrality = effect * math.sqrt(n)
    upper = float(stats.nct.sf(limit, n - 1, noncentrality))
    lower = float(stats.nct.cdf(-limit, n - 1, noncentrality))
    # Far from the critical value scipy's noncentral t gives nan instead of 1 and 0.
    return (1.0 if math.isnan(upper) else upper) + (0.0 if math.isnan(lower) else lower)
