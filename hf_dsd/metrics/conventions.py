"""What all scores here have in common: wrong shapes are refused before they are counted, and a signature says how."""

from collections.abc import Sequence
from typing import Any


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


def signature(**fields: object) -> str:
    """How a number was made, in sacrebleu's style, `case:lc|tok:none`; fields that are None are left out."""
    return "|".join(f"{name}:{value}" for name, value in fields.items() if value is not None)
