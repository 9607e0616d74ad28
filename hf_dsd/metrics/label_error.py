"""Top-1 and top-5 error of a classifier, in the shape of the other scores: counts per example whose sums make the rate.

The paper's tables give top-1 and top-5 error.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from .bootstrap import Scores, Statistics, score_with_interval
from .conventions import check_pairs, signature

if TYPE_CHECKING:
    from transformers import EvalPrediction

TOP = 5
"""How many classes count for the second error."""
LABEL_COLUMNS = ("errors", "examples")
"""Columns of `label_statistics`."""


def ranked_labels(logits: Tensor | tuple[Tensor, ...], labels: Tensor | None = None) -> Tensor:
    """The best classes of every example: `Trainer(preprocess_logits_for_metrics=ranked_labels)`.

    Args:
        logits: (batch, classes) float, or a model's outputs after the loss with the logits first; a ValueError for
            another number of dimensions.
        labels: Ignored; the Trainer passes them.

    Returns:
        (batch, 5) int64, the best first; as many as there are where there are fewer classes.
    """
    classes = logits[0] if isinstance(logits, (tuple, list)) else logits
    if classes.ndim != 2:
        raise ValueError(f"logits must be (batch, classes), got shape {tuple(classes.shape)}; give a classifier's")
    return classes.topk(min(TOP, classes.shape[1])).indices


def label_metrics(evaluation: EvalPrediction) -> dict[str, float]:
    """`compute_metrics` of a classifier whose logits went through `ranked_labels`: `error` and `error_top5`, fractions.

    A hidden (negative) label is a ValueError.
    """
    labels = np.ravel(evaluation.label_ids)
    check_labels(labels.tolist())
    return {name: float(wrong.mean()) for name, wrong in ranked_errors(evaluation.predictions, labels).items()}


def ranked_errors(ranked: Any, labels: Any) -> dict[str, NDArray[np.bool_]]:
    """`error` and, of at least five classes, `error_top5`: (examples,) bool, True where no best class is the label.

    Args:
        ranked: (examples, 5) of `ranked_labels`.
        labels: (examples,) int.
    """
    hits = np.asarray(ranked) == np.asarray(labels)[:, None]
    tops = {"error": 1} | ({f"error_top{TOP}": TOP} if hits.shape[1] == TOP else {})
    return {name: ~hits[:, :top].any(axis=1) for name, top in tops.items()}


def check_labels(labels: Sequence[int], classes: int | None = None) -> None:
    """Refuses hidden labels: -1 says nothing about a class, though Python takes it for the last one.

    Args:
        labels: Index of each example's class; a ValueError if one is negative or no class.
        classes: How many there are; None checks the sign only.
    """
    wrong = [row for row, label in enumerate(labels) if label < 0 or (classes is not None and label >= classes)]
    if wrong:
        limit = "" if classes is None else f" and below {classes}"
        raise ValueError(
            f"labels must be at least 0{limit}, got {labels[wrong[0]]} in row {wrong[0]} and {len(wrong)} row(s) in "
            "all; a hidden label cannot be scored: leave the rows out, or score another split"
        )


def label_statistics(predictions: Sequence[str], references: Sequence[str]) -> Statistics:
    """(examples, 2) counts of errors and examples, `LABEL_COLUMNS`; a ValueError for lists that are empty or differ."""
    check_pairs(predictions, references, "example", "give those of one split")
    return error_counts(
        [prediction != reference for prediction, reference in zip(predictions, references, strict=True)]
    )


def error_counts(wrong: Any) -> Statistics:
    """The counts of `label_statistics`, from (examples,) bool."""
    return np.stack([np.array(wrong, dtype=np.int64), np.ones(len(wrong), dtype=np.int64)], axis=1)


def label_error(totals: Statistics) -> Scores:
    """From (..., 2) sums of `label_statistics` to (...) errors, fractions."""
    return totals[..., 0] / totals[..., 1]


def score_labels(
    predictions: Sequence[str], references: Sequence[str], *, n_bootstrap: int = 0, seed: int = 0
) -> dict[str, Any]:
    """Scores the predicted classes of a split.

    Args:
        predictions: Name of the predicted class of each example.
        references: Name of the true one; a ValueError if the two are empty or differ in length.
        n_bootstrap: Resamples for the 95 % interval `error_ci`; 0 leaves it out.
        seed: Seed of the resamples, at least 0.

    Returns:
        `error` and `accuracy` (fractions), `error_ci`, `examples` and `signature`.
    """
    statistics = label_statistics(predictions, references)
    scores = score_with_interval("error", label_error, statistics, n_bootstrap, seed)
    return scores | {
        "accuracy": 1 - scores["error"],  # which the Hub knows
        "examples": len(statistics),
        "signature": signature(top=1, bs=n_bootstrap, seed=seed),
    }
