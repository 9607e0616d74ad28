"""`recipe.json`: what the runs in a comparison's folder were made by, so that two recipes never share one table.

Layer: files only.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hf_dsd.files import read_json, write_json

from .jobs import remove_runs
from .run_results import ARMS, COMPARISON_FILE_NAME

RECIPE_FILE_NAME = "recipe.json"
_REMEDY = "restore it, or remove it, and compare by --collect, or train anew by --force"


def read_recipe(out: Path) -> dict[str, Any]:
    """What `out/recipe.json` holds; empty without one.

    Raises:
        ValueError: If it is damaged.
    """
    return read_json(out / RECIPE_FILE_NAME, _REMEDY) or {}


def digest(*parts: Any) -> str:
    """A short hexadecimal digest of JSON-ready parts."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def check_recipe(out: Path, base: Mapping[str, Any], arms: Mapping[str, Mapping[str, Any]], *, force: bool) -> str:
    """Compares the recipe with the one that `out` holds, and writes it there.

    New arms and seeds may join; what is there must have been made by the same recipe.

    Args:
        out: Folder of the comparison.
        base: What all arms have in common: `script` (with its arguments), `source` (digest of the script's text),
            `modules` or `values` (digests of what it imports or holds) and whatever else decides the result.
        arms: Arm -> what it sets.
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
    untold = _untold(out, old.get("arms", {}), force=force)
    if stale or untold:  # first, so that a kill in between leaves no verdict without its runs
        (out / COMPARISON_FILE_NAME).unlink(missing_ok=True)
    for arm in (*stale, *untold):
        remove_runs(out, arm)
    recipe = digest(base)
    kept = {arm: options for arm, options in old_arms.items() if arm not in stale}
    content = {"version": 1, "recipe": recipe, "script": base["script"], "base": base, "arms": kept | dict(arms)}
    content["calls"] = [] if changed else old.get("calls", [])
    out.mkdir(parents=True, exist_ok=True)
    write_json(path, content)
    return recipe


def _changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Key -> old and new value, where they differ; None where there is none."""
    keys = sorted(old.keys() | new.keys())
    return {key: (old.get(key), new.get(key)) for key in keys if old.get(key) != new.get(key)}


def _untold(out: Path, arms: Mapping[str, Any], *, force: bool) -> list[str]:
    """Arms whose runs are there, though no recipe tells of them: going on from their checkpoints would mix recipes."""
    untold = [arm for arm in ARMS if arm not in arms and any(out.glob(f"seed-*/{arm}"))]
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
        write: From a call's `arms` and `seeds` to its command line; None from Python, where there is none.
    """
    path = out / RECIPE_FILE_NAME
    content = read_recipe(out)
    calls = [old for old in content.get("calls", ()) if not _covers(call, old)]
    if not any(_covers(old, call) for old in calls):
        calls.append({key: list(values) for key, values in call.items()})
    content["calls"] = calls
    if write is not None:
        content["command"] = " && ".join(write(**call) for call in calls)
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
