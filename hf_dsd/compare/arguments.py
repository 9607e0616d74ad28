"""Arguments of a training script: fields as a command line, and back."""

from argparse import ArgumentTypeError
from collections.abc import Mapping, Sequence
from typing import Any

from transformers.hf_argparser import string_to_bool


def as_arguments(options: Mapping[str, Any]) -> list[str]:
    """Fields as a command line: `{"sparsity": [0.5, 0.25]}` becomes `--sparsity 0.5 0.25`."""
    arguments = []
    for name, value in options.items():
        values = value if isinstance(value, list | tuple) else [value]
        arguments += [f"--{name}", *(str(v).lower() if isinstance(v, bool) else _plain(v) for v in values)]
    return arguments


def parse_options(arguments: Sequence[str]) -> dict[str, list[str]]:
    """The options of a command line and their values, as `HfArgumentParser` would read `--name value value`."""
    options: dict[str, list[str]] = {}
    values: list[str] = []
    for argument in arguments:
        if argument.startswith("--"):
            name, equals, value = argument[2:].partition("=")
            values = options[name.replace("-", "_")] = [value] if equals else []
        else:
            values.append(argument)
    return options


def is_on(options: Mapping[str, Any], name: str) -> bool:
    """True if an option is given, and as true: by itself, or with a word that `HfArgumentParser` takes for that.

    Raises:
        ValueError: For a word that it would refuse.
    """
    words = as_arguments({name: options[name]})[1:] if name in options else ["false"]
    try:
        return not words or bool(string_to_bool(words[0]))
    except ArgumentTypeError as error:
        raise ValueError(f"{name} must be true or false, got {words[0]!r}: write --{name} true") from error


def option_values(value: Any) -> list[float | str]:
    """An option's values, as numbers where they are: `0.10` on a command line is 0.1 from Python."""
    return [_number(word) for word in as_arguments({"x": value})[1:]]


def _number(word: str) -> float | str:
    try:
        return float(word)
    except ValueError:
        return word


def _plain(value: Any) -> str:
    return f"{value:.12g}" if isinstance(value, float) else str(value)
