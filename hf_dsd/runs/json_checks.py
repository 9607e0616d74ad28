"""Checks of values that were read from JSON, which may hold anything: each says whether a value is as it should be."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import is_dataclass
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

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


def fits(value: Any, hint: Any) -> bool:
    """True if a value is what a dataclass field of that type is written as, fields of fields included."""
    kind, parts = get_origin(hint), get_args(hint)
    if is_dataclass(hint):
        hints = get_type_hints(hint)
        return isinstance(value, dict) and all(fits(item, hints.get(name, Any)) for name, item in value.items())
    if kind in (Union, UnionType):
        return any(fits(value, part) for part in parts)
    if kind is Literal:
        return value in parts
    if kind is tuple:
        return isinstance(value, list) and len(value) == len(parts) and all(map(fits, value, parts))
    if kind is Sequence:
        return list_of(lambda item: fits(item, parts[0]))(value)
    if kind is Mapping:
        return values(lambda item: fits(item, parts[1]))(value)
    checks: dict[Any, Check] = {int: is_int, float: is_number, str: is_text, bool: is_flag, Any: lambda value: True}
    return value is None if hint is NoneType else checks[hint](value)


def or_none(check: Check) -> Check:
    """Also takes null."""
    return lambda value: value is None or check(value)


def list_of(check: Check, length: int | None = None) -> Check:
    """Takes a list of such values, of any length or of one."""
    return lambda value: isinstance(value, list) and (length is None or len(value) == length) and all(map(check, value))


def values(check: Check) -> Check:
    """Takes an object whose values are such."""
    return lambda value: isinstance(value, dict) and all(map(check, value.values()))
