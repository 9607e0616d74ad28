"""JSON to dataclasses: the boundary where `results.json`, which a person may have edited, is checked.

Layer: the comparison; the types themselves are checked by huggingface_hub's `strict`.
"""

from dataclasses import fields, is_dataclass
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from huggingface_hub.errors import StrictDataclassError

from hf_dsd.compare import Comparison


def decode(kind: Any, value: Any, source: str) -> Any:
    """Makes a value of a type out of JSON, through lists, dictionaries and dataclasses.

    Args:
        kind: A type, such as a strict dataclass or `list[Study]`.
        value: What `json.loads` gave.
        source: How an error calls the value: the file, then the names of the fields.

    Raises:
        ValueError: If a field is unknown, missing or of the wrong kind.
    """
    origin, parts = get_origin(kind), get_args(kind)
    if origin is UnionType:
        (kind, *others) = [part for part in parts if part is not type(None)]
        return value if value is None or others else decode(kind, value, source)
    if origin is list and isinstance(value, list):
        return [decode(parts[0], item, f"{source}[{index}]") for index, item in enumerate(value)]
    if origin is dict and isinstance(value, dict):
        return {name: decode(parts[1], item, f"{source}[{name!r}]") for name, item in value.items()}
    if kind is Comparison:
        return _comparison(value, source)
    return _dataclass(kind, value, source) if is_dataclass(kind) else value


def _dataclass(kind: Any, value: Any, source: str) -> Any:
    if not isinstance(value, dict):
        raise ValueError(f"{source} must be an object, got {type(value).__name__}")
    names = [one.name for one in fields(kind)]
    if unknown := sorted(value.keys() - set(names)):
        raise ValueError(f"{source} has unknown fields {unknown}; known are {names}")
    kinds = get_type_hints(kind)
    values = {name: decode(kinds[name], item, f"{source}.{name}") for name, item in value.items()}
    try:
        return kind(**values)
    except (StrictDataclassError, TypeError) as error:  # TypeError: a required field is missing
        raise ValueError(f"{source}: {error}") from error


def _comparison(value: Any, source: str) -> Comparison:
    try:
        return Comparison.from_dict(value, source)
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"{source} is not as comparison.json holds it ({error!r}); copy that file's content"
        ) from error
