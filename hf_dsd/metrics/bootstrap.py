"""Confidence intervals by resampling: draw the images or utterances of a test set again, with replacement."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Statistics = NDArray[np.int64]
"""Counts, one row per image or utterance; the column sums make a score."""

Scores = NDArray[np.float64]


def bootstrap_totals(statistics: Statistics, n_bootstrap: int, seed: int) -> Statistics:
    """Sums of `n_bootstrap` test sets drawn with replacement from the rows of one.

    Two systems scored on the same rows get the same draws from the same seed, so their resamples are paired.

    Args:
        statistics: (rows, counts), for example from `bleu_statistics` or `wer_statistics`.
        n_bootstrap: Number of resamples, at least 1; a ValueError for less, as for a negative seed.
        seed: Seed of the draws, at least 0.

    Returns:
        (n_bootstrap, counts) int64 sums.

    References:
        Koehn, `Statistical Significance Tests for Machine Translation Evaluation
        <https://aclanthology.org/W04-3250>`_, 2004, section 3.

        Bisani and Ney, `Bootstrap Estimates for Confidence Intervals in ASR Performance Evaluation
        <https://doi.org/10.1109/ICASSP.2004.1326009>`_, 2004.
    """
    if n_bootstrap < 1:
        raise ValueError(f"n_bootstrap must be at least 1, got {n_bootstrap}; 1000 is customary")
    if seed < 0:
        raise ValueError(f"seed must be at least 0, got {seed}; choose any non-negative integer")
    generator = np.random.default_rng(seed)
    rows = len(statistics)
    totals = np.empty((n_bootstrap, statistics.shape[1]), dtype=np.int64)
    for resample in range(n_bootstrap):  # one draw at a time: memory stays at one test set
        drawn = np.bincount(generator.integers(rows, size=rows), minlength=rows)  # how often each row
        totals[resample] = drawn @ statistics
    return totals


def cluster_sums(statistics: Statistics, clusters: Sequence[str]) -> Statistics:
    """Sums the rows of each cluster, such as a speaker's utterances, so that whole clusters are drawn.

    The utterances of a speaker are alike: an interval that draws them one by one is too narrow for other speakers.

    Args:
        statistics: (rows, counts).
        clusters: Of each row; a ValueError if there is not one per row.

    Returns:
        (clusters, counts), in the order of the clusters' names.

    References:
        Bisani and Ney, 2004, as for `bootstrap_totals`.
    """
    if len(clusters) != len(statistics):
        raise ValueError(
            f"clusters must be one per row, got {len(clusters)} of {len(statistics)} rows; name each row's"
        )
    names, members = np.unique(np.asarray(clusters), return_inverse=True)
    sums = np.zeros((len(names), statistics.shape[1]), dtype=np.int64)
    np.add.at(sums, members, statistics)
    return sums


def percentile_interval(samples: Scores, confidence: float = 0.95) -> Scores:
    """The central interval of resampled scores.

    Args:
        samples: (resamples, ...) scores.
        confidence: Share of the resamples inside, in (0, 1); a ValueError for another.

    Returns:
        (2, ...): lower and upper bound.
    """
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence must be in (0, 1), got {confidence!r}; 0.95 is customary")
    tail = (1.0 - confidence) / 2.0
    return np.quantile(samples, [tail, 1.0 - tail], axis=0)


def score_with_interval(
    name: str, score: Callable[[Statistics], Scores], statistics: Statistics, n_bootstrap: int, seed: int
) -> dict[str, Any]:
    """One score of a split under its name and, of resamples, its 95 % interval under `name_ci`.

    Args:
        name: Key of the score.
        score: From (..., counts) sums to (...) scores.
        statistics: (rows, counts).
        n_bootstrap: Number of resamples; 0 leaves the interval out.
        seed: Seed of the draws.
    """
    scores: dict[str, Any] = {name: float(score(statistics.sum(axis=0)))}
    if n_bootstrap:
        samples = score(bootstrap_totals(statistics, n_bootstrap, seed))
        scores[f"{name}_ci"] = [float(bound) for bound in percentile_interval(samples)]
    return scores
