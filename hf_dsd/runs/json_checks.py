"""Checks of values that were read from JSON, which may hold anything: each says whether a value is as it should be."""

import math
from collections.abc import Callable
from typing import Any

Check = Callable[[Any], bool]


def is_int(value: Any) -> bool:
    """True for a whole number; JSON's true and false are none."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """True for any number, NaN and infinities included."""
    return is_int(value) or isinstance(value, float)


def is_amount(value: Any) -> bool:
    """True for a finite number of at least 0."""
    return is_number(value) and math.isfinite(value) and value >= 0


def is_count(value: Any) -> bool:
    """True for a whole number of at least 0."""
    return is_int(value) and value >= 0


def is_fraction(value: Any) -> bool:
    """True for a number in [0, 1]."""
    return is_amount(value) and value <= 1


def is_text(value: Any) -> bool:
    """True for a string."""
    return isinstance(value, str)


def is_flag(value: Any) -> bool:
    """True for true and false."""
    return isinstance(value, bool)


def or_none(check: Check) -> Check:
    """Also takes null."""
    return lambda value: value is None or check(value)


def list_of(check: Check, length: int | None = None) -> Check:
    """Takes a list of such values, of any length or of one."""
    return lambda value: isinstance(value, list) and (length is None or len(value) == length) and all(map(check, value))


def values(check: Check) -> Check:
    """Takes an object whose values are such."""
    return lambda value: isinstance(value, dict) and all(map(check, value.values()))
