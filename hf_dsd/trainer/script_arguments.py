"""A training script's arguments: options, and before them a recipe file with more: `script.py recipe.yaml --seed 2`.

A recipe is YAML or JSON, one key per option, as `HfArgumentParser` has it. Options on the command line win.
"""

import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn

import yaml
from transformers import HfArgumentParser, PreTrainedConfig

from hf_dsd.files import parse_json, without_repeats

RECIPE_SUFFIXES = (".yaml", ".yml", ".json")


class _Loader(yaml.SafeLoader):
    """YAML whose plain scalars mean what JSON's do: `1e-3` is a number; `no`, `0:1280` and dates are texts."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        without_repeats((key.value, value) for key, value in node.value if isinstance(key, yaml.ScalarNode))
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping


for _kind, _pattern, _first in (
    ("null", r"null|~|", [*"n~", ""]),
    ("bool", r"true|false|True|False", [*"tTfF"]),
    ("int", r"[-+]?(0|[1-9][0-9]*)", [*"-+0123456789"]),
    ("float", r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?", [*"-+.0123456789"]),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_kind}", re.compile(f"(?:{_pattern})$"), _first)


class _Parser(HfArgumentParser):
    """Says what is wrong by an exception: argparse would print the usage of all 150 options before it."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(message)


def parse_arguments(*classes: type, arguments: Sequence[str] | None = None) -> tuple[Any, ...]:
    """Reads the command line of a training script into its dataclasses, in their order.

    Args:
        classes: Dataclasses, as `HfArgumentParser` takes them.
        arguments: Without the script's name; None takes the command line's, and leaves there the options that a
            recipe stands for, since a run's summary records them and the file may change.

    Raises:
        ValueError: If an option is unknown, missing or has a wrong value, or the recipe cannot be read.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = _Parser(classes, usage="%(prog)s [RECIPE.yaml | RECIPE.json] [--OPTION VALUE ...]")
    known = sorted({action.dest for action in parser._actions})
    options = given
    if given and is_recipe(given[0]):
        recipe = read_recipe(given[0])
        for key in recipe:
            if key not in known:
                raise ValueError(f"{given[0]} has {key!r}, which is no option of this script{_nearest(key, known)}")
        options = _written_out(recipe) + given[1:]
    if arguments is None:
        sys.argv[1:] = options
    try:
        *parsed, rest = parser.parse_args_into_dataclasses(options, return_remaining_strings=True)
    except (ValueError, TypeError, ImportError) as error:  # whoever found it: raised here it is a message to the user
        raise ValueError(" ".join(str(error).split())) from error
    for word in rest:
        if word.startswith("--"):
            name = word[2:].partition("=")[0].replace("-", "_")
            raise ValueError(f"{word} is no option of this script{_nearest(name, known, '--')}")
        raise ValueError(f"{word!r} belongs to no option: options begin with --, and a recipe file stands before them")
    return tuple(parsed)


def expand_recipe(arguments: Sequence[str]) -> list[str]:
    """A script's arguments as options alone: a recipe file in the first place is written out, the others follow.

    Raises:
        ValueError: As `read_recipe`.
    """
    if not arguments or not is_recipe(arguments[0]):
        return list(arguments)
    return _written_out(read_recipe(arguments[0])) + list(arguments[1:])


def expand_script(words: Sequence[str]) -> list[str]:
    """A script with its arguments, whatever stands before it: its recipe file is written out.

    Raises:
        ValueError: As `read_recipe`.
    """
    after = next((index for index, word in enumerate(words, start=1) if word.endswith(".py")), len(words))
    return [*words[:after], *expand_recipe(words[after:])]


def is_recipe(argument: str) -> bool:
    """True for what names a recipe file, whether or not it is there."""
    return not argument.startswith("-") and Path(argument).suffix in RECIPE_SUFFIXES


def read_recipe(path: str) -> dict[str, Any]:
    """Option -> value of a recipe file; None leaves the option's default.

    Raises:
        ValueError: If the file is not there, is no YAML or JSON, repeats a key, or holds something else than options.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
        read = parse_json(text) if path.endswith(".json") else yaml.load(text, _Loader)
    except OSError as error:
        raise ValueError(
            f"the recipe {path} cannot be read ({error.strerror}): give its path from {Path.cwd()}"
        ) from error
    except (ValueError, yaml.YAMLError) as error:
        raise ValueError(f"the recipe {path} cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(read, dict):
        raise ValueError(f"the recipe {path} must hold options, such as sparsity: 0.5, got {type(read).__name__}")
    return {str(key).replace("-", "_"): value for key, value in read.items()}


def read_overrides(text: str, config: PreTrainedConfig) -> dict[str, Any]:
    """The fields of a model's configuration that a script's `config_overrides` changes.

    Args:
        text: JSON.
        config: A configuration of the kind that they belong to, whatever its values.

    Raises:
        ValueError: If the text is no JSON object, or names what is no field; transformers would keep that unread.
    """
    try:
        overrides = parse_json(text)
    except ValueError as error:
        raise ValueError(f"config_overrides must be JSON ({error}), got {text!r}") from error
    if not isinstance(overrides, dict):
        raise ValueError(f'config_overrides must be a JSON object, such as {{"hidden_size": 64}}, got {text!r}')
    for name in overrides:
        if not hasattr(config, name):
            nearest = _nearest(name, [*vars(config), *config.attribute_map], remedy="; leave it out")
            raise ValueError(f"config_overrides has {name!r}, which is no field of {type(config).__name__}{nearest}")
    return overrides


def _written_out(recipe: Mapping[str, Any]) -> list[str]:
    """A recipe as words of a command line; None leaves an option's default."""
    return [word for key, value in recipe.items() if value is not None for word in _option(key, value)]


def _option(key: str, value: Any) -> list[str]:
    """One option as words of a command line: `{"a": 1}` is JSON, `[1, 2]` two words."""
    words = [_word(item) for item in value] if isinstance(value, list) else [_word(value)]
    if not words:
        raise ValueError(f"{key} is an empty list, which a command line cannot say: leave it out")
    if len(words) == 1 and words[0].startswith("-"):
        return [f"--{key}={words[0]}"]
    return [f"--{key}", *words]


def _word(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _nearest(name: str, known: Iterable[str], prefix: str = "", remedy: str = "; --help lists them") -> str:
    near = get_close_matches(name, known, n=1)
    return f": did you mean {prefix}{near[0]}?" if near else remedy
