"""Would the method win again from another start? A paired t test over seeds decides, adjusted for all that are made."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.optimize import brentq
from scipy.special import stdtr, stdtrit

from hf_dsd.runs.numbers import ALPHA

CONFIDENCE = 0.95
POWER = 0.80


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
    sd = float(values.std(ddof=1))
    error = sd / math.sqrt(n)
    half = float(stdtrit(n - 1, (1 + CONFIDENCE) / 2)) * error
    return SeedTest(n, mean, sd, (mean - half, mean + half), 2 * float(stdtr(n - 1, -abs(mean) / error)))


def is_constant(values: Sequence[float]) -> bool:
    """True if all are equal but for rounding."""
    numbers = np.asarray(values, dtype=np.float64)
    return bool(np.ptp(numbers) <= 1e-12 * max(1.0, float(np.abs(numbers).max())))


def detectable_difference(sd: float | None, n: int, tests: int = 1) -> float | None:
    """The smallest true difference that a paired t test over `n` seeds finds in 80 % of the tries, among so many tests.

    A lone effect must pass the first step of Holm's rule, alpha / tests, at alpha 0.05: 5 seeds find 1.68 standard
    deviations as the only test, 2.29 as one of 3, and 2.76 as one of 6.

    It needs the spread of the seeds alone, not the difference that was seen: unlike the power "of what was observed" it
    says something before and after the runs. The spread of few seeds is itself a rough estimate.

    Args:
        sd: Sample standard deviation of the paired differences.
        n: Number of seeds.
        tests: Number of tests in the family that Holm's rule adjusts, this one included.

    Returns:
        In the score's unit, > 0; None for one seed, or without a spread.
    """
    if n < 2 or not sd:
        return None
    limit = float(stats.t.isf(ALPHA / tests / 2, n - 1))
    reach = (limit * float(_spreads(n - 1).max()) + 2.0) / math.sqrt(n)
    return sd * float(brentq(lambda effect: _power(effect, n, limit) - POWER, 0.0, reach, xtol=1e-9))


def _power(effect: float, n: int, limit: float) -> float:
    """P(|T| > limit) of noncentral t with n - 1 degrees of freedom and noncentrality `effect * sqrt(n)`."""
    shift = effect * math.sqrt(n)
    return 1.0 - _noncentral_cdf(limit, n - 1, shift) + _noncentral_cdf(-limit, n - 1, shift)


def _noncentral_cdf(t: float, degrees: int, shift: float) -> float:
    """P(T <= t) of noncentral t; far from its centre scipy's is nan."""
    return float(stats.norm.cdf(t * _spreads(degrees) - shift).mean())


@cache
def _spreads(degrees: int) -> NDArray[np.float64]:
    """The standard deviations that so few normal values of variance 1 can have, each as likely as the other."""
    variances = np.asarray(stats.chi2.ppf((np.arange(20_000) + 0.5) / 20_000, degrees) / degrees, dtype=np.float64)
    return np.sqrt(variances)


def effect_size(test: SeedTest) -> tuple[float, tuple[float, float]] | None:
    """Cohen's dz, the mean difference in standard deviations of the differences, with its exact 95 % interval.

    The interval holds the noncentralities of t under which the t that was seen is neither too small nor too large. It
    is wide for few seeds: dz tells how a gain compares with the luck of a start, not how much it is worth.

    Returns:
        None for one seed, or without a spread.

    References:
        Cumming and Finch, `A Primer on the Understanding, Use, and Calculation of Confidence Intervals that are Based
        on Central and Noncentral Distributions <https://doi.org/10.1177/0013164401614002>`_, 2001.
    """
    if not test.sd:
        return None
    size = test.mean / test.sd
    t, degrees, tail = size * math.sqrt(test.n), test.n - 1, (1 - CONFIDENCE) / 2
    reach = abs(t) * math.sqrt(stats.chi2.isf(1e-3, degrees) / degrees) + 6.0
    ends = [brentq(lambda shift, p=p: _noncentral_cdf(t, degrees, shift) - p, -reach, reach) for p in (1 - tail, tail)]
    return size, (float(ends[0]) / math.sqrt(test.n), float(ends[1]) / math.sqrt(test.n))


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
