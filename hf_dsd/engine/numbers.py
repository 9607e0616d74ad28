"""What counts as a number, and as a list, in an option that a person, a configuration file or a search sets."""

from collections.abc import Sequence
from decimal import Decimal
from numbers import Integral, Real
from typing import Any


def as_number(value: Any) -> int | float | None:
    """A number of any library as Python's own, or None if `value` is none.

    Numbers are Python's (fractions and decimals too), NumPy's scalars, and arrays or tensors without dimensions.
    Booleans and texts are none: `True` is no length of a phase, and "0.3" is a slip in a configuration file.
    """
    value = as_scalar(value)
    if isinstance(value, bool) or not isinstance(value, Real | Decimal):
        return None
    try:
        number = float(value)
    except (OverflowError, ValueError):  # 10**400; Decimal("sNaN")
        return None
    return int(value) if isinstance(value, Integral) else number


def as_scalar(value: Any) -> Any:
    """A NumPy scalar, or an array or tensor without dimensions, as Python's own; any other value as it is."""
    return value.item() if getattr(value, "ndim", None) == 0 and hasattr(value, "item") else value


def as_list(value: Any) -> list[Any] | None:
    """A sequence, or an array or tensor of one dimension, as a list; None if `value` is neither. Text is no list."""
    if getattr(value, "ndim", None) == 1 and hasattr(value, "tolist"):
        return list(value.tolist())
    if isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray):
        return list(value)
    return None
