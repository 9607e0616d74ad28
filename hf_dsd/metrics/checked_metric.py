"""What the metrics of `evaluate` here have in common: wrong shapes are refused before they are stored."""

from collections.abc import Callable, Sequence
from typing import Any

import datasets
import evaluate


def check_pairs(predictions: Sequence[Any], references: Sequence[Any], unit: str, remedy: str) -> None:
    """Rejects what would otherwise be scored letter by letter, cut to the shorter list or divided by zero.

    Args:
        predictions: One text per example.
        references: One entry per example, in the order of `predictions`.
        unit: What an example is, for messages.
        remedy: What to do about different lengths.

    Raises:
        TypeError: If either is a bare string or no list, or a prediction is no str.
        ValueError: If the lengths differ, or there is no example.
    """
    for name, value in (("predictions", predictions), ("references", references)):
        if isinstance(value, (str, bytes)) or not hasattr(value, "__len__"):
            raise TypeError(f"{name} must be a list with one entry per {unit}, got {value!r:.80}; wrap it in a list")
    for row, prediction in enumerate(predictions):
        if not isinstance(prediction, str):
            raise TypeError(f"predictions[{row}] must be a str, got {prediction!r:.80}; decode the token ids first")
    if len(predictions) != len(references):
        raise ValueError(
            f"predictions and references must have one entry per {unit}, got {len(predictions)} and "
            f"{len(references)}; {remedy}"
        )
    if len(predictions) == 0:
        raise ValueError("predictions must not be empty, got 0; a score of nothing is undefined")


class CheckedMetric(evaluate.Metric):
    """A metric whose inputs go through `check` first: Arrow would turn wrong shapes into its own errors, or letters."""

    check: Callable[[Sequence[Any], Sequence[Any]], None]

    def add(self, *, prediction: Any = None, reference: Any = None, **kwargs: Any) -> None:
        """Stores one prediction with its reference until `compute()`; raises what `check_pairs` raises."""
        type(self).check([prediction], [reference])
        super().add(prediction=prediction, reference=reference, **kwargs)

    def add_batch(self, *, predictions: Any = None, references: Any = None, **kwargs: Any) -> None:
        """Stores a batch until `compute()`, whose own texts pass through here too; raises what `check_pairs` raises."""
        type(self).check(predictions, references)
        super().add_batch(predictions=list(predictions), references=list(references), **kwargs)


def metric_info(metric: type, description: str, citation: str, references: Any) -> evaluate.MetricInfo:
    """What `evaluate` shows of a metric of texts, and stores them as; its class's docstring says how to use it."""
    return evaluate.MetricInfo(
        description=description,
        citation=citation,
        inputs_description=metric.__doc__ or "",
        features=datasets.Features({"predictions": datasets.Value("string"), "references": references}),
    )


def signature(**fields: object) -> str:
    """How a number was made, in sacrebleu's style, `case:lc|tok:none`; fields that are None are left out."""
    return "|".join(f"{name}:{value}" for name, value in fields.items() if value is not None)
