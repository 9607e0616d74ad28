"""Checks of values that were read from JSON, which may hold anything: each says whether a value is as it should be."""

import math
from collections.abc import Callable, Mapping
from dataclasses import is_dataclass
from itertools import starmap
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


_PLAIN: dict[Any, Check] = {int: is_int, float: is_number, str: is_text, bool: is_flag}
_PLAIN |= {NoneType: lambda value: value is None, Any: lambda value: True}


def misfit(value: Any, hint: Any, name: str) -> str:
    """The path to the first value that is not as a dataclass field of that type is written, or "".

    Args:
        value: Of JSON, or built of it: an object of JSON stands for a dataclass, whose unknown keys may hold anything.
        hint: The type that it should have.
        name: The path to it: of an entry `runs` has, the answer may be `runs[2].seed`.
    """
    kind, parts = get_origin(hint), get_args(hint)
    inside: list[tuple[Any, Any, str]] = []
    if is_dataclass(hint):
        hints, held = get_type_hints(hint), value if isinstance(value, dict) else getattr(value, "__dict__", None)
        if held is None:
            return name
        inside = [(item, hints.get(key, Any), f"{name}.{key}") for key, item in held.items()]
    elif kind in (Union, UnionType):
        wrong = [misfit(value, part, name) for part in parts if value is not None or part is NoneType]
        return "" if "" in wrong else next(iter(wrong), name)
    elif kind is Literal:
        return "" if value in parts else name
    elif kind in (dict, Mapping):
        if not isinstance(value, dict):
            return name
        inside = [(item, parts[1], f"{name}[{key!r}]") for key, item in value.items()]
    elif kind is not None:  # a list, a pair, or another kind of sequence
        if not isinstance(value, list | tuple) or (kind is tuple and len(value) != len(parts)):
            return name
        inside = [(item, parts[at if kind is tuple else 0], f"{name}[{at}]") for at, item in enumerate(value)]
    else:
        return "" if _PLAIN[hint](value) else name
    return next(filter(None, starmap(misfit, inside)), "")


def or_none(check: Check) -> Check:
    """Also takes null."""
    return lambda value: value is None or check(value)


def list_of(check: Check, length: int | None = None) -> Check:
    """Takes a list of such values, of any length or of one."""
    return lambda value: isinstance(value, list) and (length is None or len(value) == length) and all(map(check, value))


def values(check: Check) -> Check:
    """Takes an object whose values are such."""
    return lambda value: isinstance(value, dict) and all(map(check, value.values()))
