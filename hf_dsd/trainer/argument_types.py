"""The type of every field of `DSDArgumentsMixin`: one table, and one message for all of them.

A configuration file has types of its own (YAML reads `1e-3` and `"false"` as text), a search hands over NumPy's or
torch's numbers, and Python accepts anything. What leaves this file is plain Python: the ranges are checked on that.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from hf_dsd.engine.numbers import as_list, as_number, as_scalar
from hf_dsd.engine.targets import check_overrides
from hf_dsd.files import parse_json


class _WrongType(Exception):
    """What within a field's value has another type, and the remedy."""

    def __init__(self, culprit: Any, remedy: str) -> None:
        self.culprit, self.remedy = culprit, remedy


class FieldType(NamedTuple):
    """The type that one field must have."""

    rule: str  # what the field must be, as a message says it
    read: Callable[[Any], Any]  # returns a value as plain Python, or raises `_WrongType`
    optional: bool = False  # None means that the field is not set


def _number(value: Any) -> int | float:
    number = as_number(value)
    if number is None:
        raise _WrongType(value, _number_remedy(value))
    return number


def _number_remedy(value: Any) -> str:
    if isinstance(value, bool):
        return "true and false are no numbers"
    if isinstance(value, str):
        return "write it without quotes, and in YAML with a point, 1.0e-3: 1e-3 is text there"
    return "write a plain number"


def _whole(value: Any) -> int:
    number = _number(value)
    if not (isinstance(number, int) or number.is_integer()):
        raise _WrongType(value, "leave out the fraction" if math.isfinite(number) else "write a finite number")
    return int(number)


def _boolean(value: Any) -> bool:
    scalar = as_scalar(value)
    if not isinstance(scalar, bool):
        quoted = isinstance(value, str) and value.strip().lower() in ("true", "false")
        remedy = "write it without quotes" if quoted else "write True or False, in a file true or false"
        raise _WrongType(value, remedy)
    return scalar


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise _WrongType(value, "write it as text, in quotes")
    return value


def _list_of(read: Callable[[Any], Any], remedy: str) -> Callable[[Any], list[Any]]:
    def read_list(value: Any) -> list[Any]:
        items = as_list(value)
        if items is None:
            raise _WrongType(value, remedy)
        return [read(item) for item in items]

    return read_list


def _one_or_list_of(read: Callable[[Any], Any], remedy: str) -> Callable[[Any], list[Any]]:
    read_list = _list_of(read, remedy)
    return lambda value: read_list(value) if as_list(value) is not None else [read(value)]


def _fractions_by_pattern(value: Any) -> dict[str, float]:
    if isinstance(value, str):
        value = _parse_json(value)
    if not isinstance(value, Mapping):
        raise _WrongType(value, "write a dictionary, or JSON such as '{\"lstm\": 0.5}'")
    return check_overrides({_text(pattern): _number(fraction) for pattern, fraction in value.items()})


def _parse_json(text: str) -> Any:
    try:
        return parse_json(text)
    except ValueError as error:
        raise _WrongType(text, f"write JSON such as '{{\"lstm\": 0.5}}' ({error})") from error


_PER_PHASE = "write one number per phase, such as [10, 10, 10]"
_PHASES = "write phases counted from 0, such as [0]"
_RATE_PER_PHASE = "write one rate per phase, such as [1e-3, 1e-3, 1e-4]"
FIELD_TYPES = {
    "sparsity": FieldType("a fraction in [0, 1), or a list of them", _one_or_list_of(_number, "")),
    "phase_epochs": FieldType("a list of numbers", _list_of(_number, _PER_PHASE), optional=True),
    "phase_steps": FieldType("a list of whole numbers", _list_of(_whole, _PER_PHASE), optional=True),
    "phase_learning_rates": FieldType("a list of numbers", _list_of(_number, _RATE_PER_PHASE), optional=True),
    "phase_patience": FieldType("a whole number of evaluations", _whole, optional=True),
    "phase_start": FieldType("text", _text),
    "dense_modules": FieldType("a list of regexes", _one_or_list_of(_text, ""), optional=True),
    "sparsity_overrides": FieldType("a dictionary from regex to fraction", _fractions_by_pattern, optional=True),
    "mask_criterion": FieldType("text", _text),
    "reset_optimizer_state": FieldType("text", _text),
    "mask_gradients": FieldType("true or false", _boolean),
    "dsd_control": FieldType("true or false", _boolean),
    "weight_averages": FieldType("a list of names", _one_or_list_of(_text, ""), optional=True),
    "keep_early_stop": FieldType("true or false", _boolean),
    "keep_phases": FieldType("a list of whole numbers", _list_of(_whole, _PHASES), optional=True),
    "keep_phase_checkpoints": FieldType("a list of whole numbers", _list_of(_whole, _PHASES), optional=True),
    # transformers' own, which the phases are compared with and divided by
    "num_train_epochs": FieldType("a number", _number),
    "max_steps": FieldType("a whole number", _whole),
    "learning_rate": FieldType("a number", _number),
}
"""Field of `DSDArgumentsMixin` -> its type."""


def read_field(field: str, value: Any) -> Any:
    """The value of one field of `FIELD_TYPES` as plain Python, from Python, a command line, JSON or YAML.

    Raises:
        ValueError: Naming the field, the rule, the value and the remedy, if `value` has another type.
    """
    kind = FIELD_TYPES[field]
    if value is None and kind.optional:
        return None
    try:
        return kind.read(value)
    except _WrongType as error:
        within = "" if error.culprit is value else f" in {value!r}"
        raise ValueError(f"{field} must be {kind.rule}, got {error.culprit!r}{within}: {error.remedy}") from error
