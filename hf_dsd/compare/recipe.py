"""`recipe.json`: what the runs in a comparison's folder were made by, so that two recipes never share one table.

A recipe is the script's text and arguments and the local modules that it imports; from Python it is the source of
`make_trainer` and the values that it holds.
"""

import ast
import hashlib
import inspect
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import FunctionType, MethodType
from typing import Any

from hf_dsd.files import read_json, write_json
from hf_dsd.runs.folder import SUMMARY_FILE_NAME

from .arms import ARMS, BASELINE, in_order, is_name
from .first_phase import donors
from .jobs import Job, remove_runs

COMPARISON_FILE_NAME = "comparison.json"
RECIPE_FILE_NAME = "recipe.json"
_REMEDY = "restore it, or remove it, and compare by --collect, or train anew by --force"


def is_comparison(out: Path) -> bool:
    """True if a folder has a comparison's recipe or result, whether or not it can be read."""
    return any(os.path.lexists(out / name) for name in (RECIPE_FILE_NAME, COMPARISON_FILE_NAME))


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


def _is_call(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == {"arms", "seeds"} and _is_texts(value["arms"])


_CHECKS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "command": (lambda value: isinstance(value, str), "text"),
    "recipe": (lambda value: isinstance(value, str), "text"),
    "script": (_is_texts, "list of texts"),
    "baseline": (is_name, "name of an arm"),
    "arms": (lambda value: not isinstance(value, dict) or all(map(is_name, value)), "object of arms by their names"),
    "settings": (_is_texts, "list of texts"),
    "calls": (lambda value: isinstance(value, list) and all(map(_is_call, value)), "list of arms and seeds"),
}
"""What a comparison takes from the file; `check_recipe` looks at the rest."""


def read_recipe(out: Path) -> dict[str, Any]:
    """What `out/recipe.json` holds; empty without one.

    Raises:
        ValueError: If it is damaged.
    """
    path = out / RECIPE_FILE_NAME
    content = read_json(path, _REMEDY) or {}
    for key, (check, kind) in _CHECKS.items():
        if key in content and not check(content[key]):
            raise ValueError(f"{path} is damaged ({key!r} is no {kind}): {_REMEDY}")
    return content


def digest(*parts: Any) -> str:
    """A short hexadecimal digest of JSON-ready parts."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def plan_jobs(
    out: Path,
    base: Mapping[str, Any],
    arms: Mapping[str, Mapping[str, Any]],
    seeds: Sequence[int],
    *,
    options: Mapping[str, Any],
    baseline: str = BASELINE,
    force: bool,
) -> list[Job]:
    """The jobs of a recipe, seed after seed.

    Args:
        out: As at `check_recipe`, like the errors.
        base: Likewise.
        arms: Likewise.
        seeds: Of the runs.
        options: Option -> value or values, of the arguments that all runs have: they tell who shares a first phase.
        baseline: As at `check_recipe`.
        force: Likewise.
    """
    common = check_recipe(out, base, arms, baseline=baseline, force=force)
    sharing = donors(read_recipe(out)["arms"], options)
    return [Job(out, seed, arm, arms[arm], digest(common, arms[arm]), sharing[arm]) for seed in seeds for arm in arms]


def check_recipe(
    out: Path,
    base: Mapping[str, Any],
    arms: Mapping[str, Mapping[str, Any]],
    *,
    baseline: str = BASELINE,
    force: bool,
) -> str:
    """Compares the recipe with the one that `out` holds, and writes it there.

    New arms and seeds may join; what is there must have been made by the same recipe.

    Args:
        out: Folder of the comparison.
        base: What all arms have in common: `script` (with its arguments), `source` (digest of the script's text),
            `modules` or `values` (digests of what it imports or holds) and whatever else decides the result.
        arms: Arm -> what it sets.
        baseline: The arm that the others are compared with.
        force: Remove the runs of another recipe instead of refusing.

    Returns:
        The digest of `base`.

    Raises:
        ValueError: If `recipe.json` is damaged, or, unless `force`, runs are there that another recipe made, or that
            none tells of.
    """
    path = out / RECIPE_FILE_NAME
    old = read_recipe(out)
    if old and not all(isinstance(old.get(key), dict) for key in ("base", "arms")):
        raise ValueError(f"{path} must hold base and arms, got {', '.join(old)}: {_REMEDY}")
    base = json.loads(json.dumps(base))  # as it will be read again: tuples are lists
    arms = json.loads(json.dumps(arms))
    changed = _changed(old["base"], base) if old else {}
    old_arms = {arm: set_ for arm, set_ in old.get("arms", {}).items() if any(out.glob(f"seed-*/{arm}"))}
    stale = sorted(old_arms) if changed else [arm for arm in old_arms if arms.get(arm, old_arms[arm]) != old_arms[arm]]
    if stale and not force:
        differences = [_describe(key, *values) for key, values in changed.items()]
        differences += [_describe(arm, old_arms[arm], arms[arm]) for arm in stale if not changed]
        raise ValueError(
            f"{out} holds runs of another recipe ({'; '.join(differences)}): give another --out, or --force to remove "
            f"the runs of {', '.join(stale)} and train them anew"
        )
    untold = _untold(out, [*ARMS, *arms], old.get("arms", {}), force=force)
    if stale or untold:  # first, so that a kill in between leaves no verdict without its runs
        (out / COMPARISON_FILE_NAME).unlink(missing_ok=True)
    for arm in (*stale, *untold):
        remove_runs(out, arm)
    recipe = digest(base)
    kept = {arm: options for arm, options in old_arms.items() if arm not in stale}
    content = {"version": 1, "recipe": recipe, "script": base["script"], "base": base, "arms": kept | dict(arms)}
    content["calls"] = [] if changed else old.get("calls", [])
    content |= {"baseline": baseline, "settings": _settings(old, recipe, arms)}
    out.mkdir(parents=True, exist_ok=True)
    write_json(path, content)
    return recipe


def _changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Key -> old and new value, where they differ; None where there is none."""
    keys = sorted(old.keys() | new.keys())
    return {key: (old.get(key), new.get(key)) for key in keys if old.get(key) != new.get(key)}


def _settings(old: Mapping[str, Any], recipe: str, arms: Mapping[str, Any]) -> list[str]:
    """Digests of every arm of every recipe that this folder was ever asked for, those removed by `force` included."""
    before = old.get("settings") or [digest(old.get("recipe"), options) for options in old.get("arms", {}).values()]
    return list(dict.fromkeys([*before, *(digest(recipe, options) for options in arms.values())]))


def arms_in(out: Path, recipe: Mapping[str, Any]) -> list[str]:
    """Names of the arms that a folder may hold runs of, in the order of a table: known ones, and folders with a run."""
    found = [path.parent.name for path in sorted(out.glob(f"seed-*/*/{SUMMARY_FILE_NAME}"))]
    return in_order([*ARMS, *recipe.get("arms", ()), *found], recipe.get("baseline", BASELINE))


def _untold(out: Path, names: Iterable[str], arms: Mapping[str, Any], *, force: bool) -> list[str]:
    """Arms whose runs are there, though no recipe tells of them: going on from their checkpoints would mix recipes."""
    untold = [arm for arm in dict.fromkeys(names) if arm not in arms and any(out.glob(f"seed-*/{arm}"))]
    if untold and not force:
        raise ValueError(
            f"{out} holds runs that no {RECIPE_FILE_NAME} tells of ({', '.join(untold)}): give another --out, "
            "--collect to compare them as they are, or --force to remove them and train anew"
        )
    return untold


def note_call(out: Path, call: Mapping[str, Sequence[Any]], write: Callable[..., str] | None = None) -> None:
    """Adds a call to those noted, and to the command that a reader can repeat; calls that one covers are one with it.

    Args:
        out: Folder of the comparison.
        call: Its `arms` and `seeds`.
        write: From the options of all arms and a call's `arms` and `seeds` to its command line; None from Python.
    """
    path = out / RECIPE_FILE_NAME
    content = read_recipe(out)
    calls = [old for old in content.get("calls", ()) if not _covers(call, old)]
    if not any(_covers(old, call) for old in calls):
        calls.append({key: list(values) for key, values in call.items()})
    content["calls"] = calls
    if write is not None:
        content["command"] = " && ".join(write(content["arms"], **call) for call in calls)
    write_json(path, content)


def _covers(call: Mapping[str, Sequence[Any]], other: Mapping[str, Sequence[Any]]) -> bool:
    return all(set(other[key]) <= set(call[key]) for key in call)


def _describe(name: str, old: Any, new: Any) -> str:
    if name == "source":
        return "the script's text changed"
    if name == "values":
        return f"make_trainer's {', '.join(_changed(old or {}, new or {}))} changed"
    if name == "modules":
        return f"the local modules {', '.join(_changed(old or {}, new or {}))} changed"
    if isinstance(old, Sequence) and isinstance(new, Sequence) and not isinstance(old, str):
        return f"{name}: {' '.join(map(str, old))} -> {' '.join(map(str, new))}"
    return f"{name}: {old} -> {new}"


# A training script


def module_digests(script: Path) -> dict[str, str]:
    """Path, relative to the script's folder, -> SHA-256 of each module there that it imports, or that these import.

    Imports anywhere in a text count. Installed packages are not followed, nor is a module whose name is only known as
    the script runs.
    """
    script = script.resolve()
    found, unread = {script}, [script]
    while unread:
        new = set(_imported_files(unread.pop(), script.parent)) - found
        found |= new
        unread += new
    paths = sorted(found - {script})
    return {path.relative_to(script.parent).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def _imported_files(file: Path, root: Path) -> Iterator[Path]:
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):  # the run will say it better, and its text is in the digest already
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _files_of(alias.name, root)
        elif isinstance(node, ast.ImportFrom):
            folder = file.parents[node.level - 1] if 0 < node.level <= len(file.parents) else root
            for alias in node.names:  # a name may be a module, too
                yield from _files_of(".".join(filter(None, [node.module, alias.name])), folder)


def _files_of(module: str, folder: Path) -> Iterator[Path]:
    """The files that importing `a.b.c` runs: each package's `__init__.py` and the module's own."""
    for name in module.split("."):
        folder = folder / name
        yield from (path for path in (folder / "__init__.py", folder.with_name(f"{name}.py")) if path.is_file())


# A function that makes trainers


def factory_recipe(make_trainer: Any) -> dict[str, Any]:
    """What tells one `make_trainer` from another, as `base` of `check_recipe`.

    `script` is its name, `source` a digest of its text, and `values`, where there are any, a digest of each value that
    it holds: what it closes over, defaults, and arguments of a `partial`. Numbers, texts, None, paths and lists,
    tuples, sets and dictionaries of them count by their content; functions by their source and their own values;
    classes by their name; everything else by its type alone, since data and models change as they are used. Digests,
    since a token may be among them.

    Raises:
        ValueError: If it is neither a function nor `functools.partial` of one, or has no source, as one typed into an
            interpreter.
    """
    function = _called(make_trainer)
    try:
        if not isinstance(function, FunctionType | MethodType):
            raise TypeError
        source = inspect.getsource(function)
    except (OSError, TypeError) as error:
        raise ValueError(
            "make_trainer must be a function, or functools.partial of one, since its source tells one recipe from "
            f"another; got {make_trainer!r}: define it by def in a file"
        ) from error
    values = {name: _text_digest(_value_text(value, ())) for name, value in _held(make_trainer).items()}
    # A function without any keeps the digest it always had.
    return {"script": [function.__qualname__], "source": digest(source), **({"values": values} if values else {})}


def _text_digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _called(function: Any) -> Any:
    """What a partial, or a partial of one, calls in the end."""
    while isinstance(function, partial):
        function = function.func
    return function


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


def _value_text(value: Any, around: tuple[int, ...]) -> str:
    """A text that is equal for equal plain values; `around` are the ids of what holds it, since a circle must end."""
    if value is None or isinstance(value, bool | int | float | complex | str | bytes):
        return repr(value)
    if isinstance(value, os.PathLike):
        return repr(os.fspath(value))
    if id(value) in around:
        return "..."
    around = (*around, id(value))
    if isinstance(value, Mapping):
        return (
            f"{{{', '.join(sorted(f'{_value_text(k, around)}: {_value_text(v, around)}' for k, v in value.items()))}}}"
        )
    if isinstance(value, list | tuple | set | frozenset):
        items = [_value_text(item, around) for item in value]
        return f"{type(value).__name__}({', '.join(sorted(items) if isinstance(value, set | frozenset) else items)})"
    if isinstance(value, partial | FunctionType | MethodType):
        return f"{_source_or_name(_called(value))}{_value_text(_held(value), around)}"
    kind = value if isinstance(value, type) else type(value)
    return f"{'type ' if kind is value else ''}{kind.__module__}.{kind.__qualname__}"


def _source_or_name(function: Any) -> str:
    try:
        return inspect.getsource(function)
    except (OSError, TypeError):  # of an interpreter, or a class
        return getattr(function, "__qualname__", type(function).__qualname__)
