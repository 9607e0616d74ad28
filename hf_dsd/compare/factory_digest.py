"""What tells one `make_trainer` from another: its source, and the values that it holds beside its arguments.

Layer: Python's own inspection.
"""

import hashlib
import inspect
import os
from collections.abc import Mapping
from functools import partial
from types import FunctionType, MethodType
from typing import Any


def factory_name(make_trainer: Any) -> str:
    """The function's qualified name.

    Raises:
        ValueError: If it is neither a function nor `functools.partial` of one.
    """
    name: str = _function(make_trainer).__qualname__
    return name


def factory_source(make_trainer: Any) -> str:
    """The function's source text.

    Raises:
        ValueError: If there is none, as of a function typed into an interpreter, or it is no function.
    """
    try:
        return inspect.getsource(_function(make_trainer))
    except OSError as error:
        raise ValueError(_refusal(make_trainer)) from error


def factory_values(make_trainer: Any) -> dict[str, str]:
    """Name -> digest of each value that it holds: what it closes over, defaults, and arguments of a `partial`.

    Numbers, texts, None, paths and lists, tuples, sets and dictionaries of them count by their content; functions by
    their source and their own values; classes by their name; everything else by its type alone. Digests, since a token
    may be among them.

    Raises:
        ValueError: If it is neither a function nor `functools.partial` of one.
    """
    _function(make_trainer)
    values = {name: _describe(value, ()) for name, value in _held(make_trainer).items()}
    return {name: hashlib.sha256(text.encode()).hexdigest()[:16] for name, text in values.items()}


def _function(make_trainer: Any) -> Any:
    inner = _innermost(make_trainer)
    if not isinstance(inner, FunctionType | MethodType):
        raise ValueError(_refusal(make_trainer))
    return inner


def _innermost(function: Any) -> Any:
    """What a partial, or a partial of one, calls in the end."""
    while isinstance(function, partial):
        function = function.func
    return function


def _refusal(make_trainer: Any) -> str:
    return (
        "make_trainer must be a function, or functools.partial of one, since its source tells one recipe from another; "
        f"got {make_trainer!r}: define it by def in a file"
    )


def _held(function: Any) -> dict[str, Any]:
    """Name -> value; of a partial its arguments and what its function holds."""
    if isinstance(function, partial):
        places = {f"argument {index}": value for index, value in enumerate(function.args, start=1)}
        return {**_held(function.func), **places, **function.keywords}
    if isinstance(function, MethodType):
        return {**_held(function.__func__), "self": getattr(function.__self__, "__dict__", None)}
    parameters = inspect.signature(function).parameters.values()
    defaults = {one.name: one.default for one in parameters if one.default is not one.empty}
    closed = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    return {**defaults, **{name: _content(cell) for name, cell in closed}}


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not assigned yet
        return None


def _describe(value: Any, around: tuple[int, ...]) -> str:
    """A text that is equal for equal plain values; `around` are the ids of what holds it, since a circle must end."""
    if value is None or isinstance(value, bool | int | float | complex | str | bytes):
        return repr(value)
    if isinstance(value, os.PathLike):
        return repr(os.fspath(value))
    if id(value) in around:
        return "..."
    around = (*around, id(value))
    if isinstance(value, Mapping):
        return f"{{{', '.join(sorted(f'{_describe(k, around)}: {_describe(v, around)}' for k, v in value.items()))}}}"
    if isinstance(value, list | tuple | set | frozenset):
        items = [_describe(item, around) for item in value]
        return f"{type(value).__name__}({', '.join(sorted(items) if isinstance(value, set | frozenset) else items)})"
    if isinstance(value, partial | FunctionType | MethodType):
        return f"{_text(value)}{_describe(_held(value), around)}"
    if isinstance(value, type):
        return f"type {value.__module__}.{value.__qualname__}"
    return f"{type(value).__module__}.{type(value).__qualname__}"


def _text(function: Any) -> str:
    inner = _innermost(function)
    try:
        return inspect.getsource(inner)
    except (OSError, TypeError):  # of an interpreter, or a class
        return getattr(inner, "__qualname__", type(inner).__qualname__)
