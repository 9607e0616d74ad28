"""Macro F1 of a classifier: the mean over the classes of 2 TP / (2 TP + FP + FN), a fraction."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .bootstrap import Scores, Statistics, score_with_interval
from .conventions import check_pairs


def f1_statistics(predictions: Sequence[str], references: Sequence[str]) -> Statistics:
    """(examples, 2 x classes) counts: whether an example is a hit of each class, then how often it names the class.

    An example names a class once as a prediction and once as a reference, which is 2 TP + FP + FN over a split.

    Raises:
        ValueError: If the two differ in length, or are empty.
    """
    check_pairs(predictions, references, "example", "give those of one split")
    classes = np.unique([*predictions, *references])
    predicted, true = (np.asarray(names)[:, None] == classes for names in (predictions, references))
    return np.hstack([predicted & true, predicted.astype(np.int64) + true]).astype(np.int64)


def macro_f1(totals: Statistics) -> Scores:
    """From (..., 2 x classes) sums of `f1_statistics` to (...) F1; a class that nobody named is left out."""
    hits, named = np.split(totals, 2, axis=-1)
    f1 = np.divide(2 * hits, named, out=np.full(hits.shape, np.nan), where=named > 0)
    return np.asarray(np.nanmean(f1, axis=-1))


def score_f1(
    predictions: Sequence[str], references: Sequence[str], *, n_bootstrap: int = 0, seed: int = 0
) -> dict[str, Any]:
    """`f1` of a split and, with resamples, its 95 % interval `f1_ci`.

    Raises:
        ValueError: If the two differ in length, or are empty.
    """
    statistics = f1_statistics(predictions, references)
    return score_with_interval("f1", macro_f1, statistics, n_bootstrap, seed)
