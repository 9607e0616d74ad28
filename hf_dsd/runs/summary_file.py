"""What a `dsd_summary.json` must hold, checked once, so that nobody above meets half of one.

The file comes from a folder that may be another person's. Names in it become names of folders, so they are checked as
names: no summary can make a command read or write outside its run.
"""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hf_dsd.files import read_json

from .folder import AVERAGES, SUMMARY_FILE_NAME, phase_name

REMEDY = "restore it, or train the run again"

Check = Callable[[Any], bool]


def read_summary(folder: Path) -> dict[str, Any] | None:
    """A run's summary; None where it has not written one.

    Raises:
        ValueError: If the file is damaged, or no summary of a run; names the file, what is wrong, and the remedy.
    """
    path = folder / SUMMARY_FILE_NAME
    summary = read_json(path, REMEDY)
    if summary is None:
        return None
    try:
        _check(summary)
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}): {REMEDY}") from error
    return summary


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return _is_int(value) or isinstance(value, float)


def _is_amount(value: Any) -> bool:
    return _is_number(value) and math.isfinite(value) and value >= 0


def _is_count(value: Any) -> bool:
    return _is_int(value) and value >= 0


def _is_fraction(value: Any) -> bool:
    return _is_amount(value) and value <= 1


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _or_none(check: Check) -> Check:
    return lambda value: value is None or check(value)


def _list_of(check: Check) -> Check:
    return lambda value: isinstance(value, list) and all(check(item) for item in value)


def _values(check: Check) -> Check:
    return lambda value: isinstance(value, dict) and all(check(item) for item in value.values())


_SHAPE = _list_of(_is_count)
_LAYER: Mapping[str, Check] = {
    "name": _is_text,
    "shape": _SHAPE,
    "weights": _is_count,
    "pruned": _is_count,
    "sparsity": _is_fraction,
    "threshold": _or_none(_is_number),
}
_PARAMETER: Mapping[str, Check] = {
    "name": _is_text,
    "shape": _SHAPE,
    "weights": _is_count,
    "override": _or_none(_is_fraction),
    "dense_reason": _or_none(_is_text),
}
_EARLY_STOP: Mapping[str, Check] = {"step": _is_count, "metric": _is_text, "value": _is_number}


def _is_stop(value: Mapping[str, Any]) -> bool:
    return all(key in value and check(value[key]) for key, check in _EARLY_STOP.items())


_PLANNED: Mapping[str, Check] = {
    "index": _is_count,
    "kind": lambda kind: kind in ("dense", "sparse"),
    "start": _is_count,
    "end": _is_count,
    "sparsity": _is_fraction,
}
_RECORD: Mapping[str, Check] = {
    "name": _is_text,
    "start": _is_count,
    "end": _is_count,
    "learning_rate": _or_none(_is_number),
    "sparsity": _is_fraction,
    "seconds": _is_amount,
    "finished": lambda value: isinstance(value, bool),
    "metrics": _values(_is_number),
    "layers": lambda value: isinstance(value, list),
}
_OPTIONAL_IN_RECORD: Mapping[str, Check] = {
    "left_early": lambda value: isinstance(value, bool),
    "learning_rates": lambda rates: (
        isinstance(rates, list)
        and all(isinstance(row, list) and len(row) == 2 and all(map(_is_amount, row)) for row in rates)
    ),
}
# Top-level entries that older versions may lack.
_OPTIONAL: Mapping[str, Check] = {
    "run": _is_text,
    "model": _is_text,
    "arm": _is_text,
    "seed": _is_int,
    "data_seed": _or_none(_is_int),
    "world_size": _is_count,
    "optimizer": _is_text,
    "lr_scheduler_type": _is_text,
    "batch_size": _is_count,
    "steps_per_epoch": _or_none(_is_count),
    "mask_criterion": _is_text,
    "reset_optimizer_state": _is_text,
    "weight_averages": _list_of(lambda kind: kind in AVERAGES),
    "evaluations": _values(_is_number),
    "best_model": _or_none(lambda value: isinstance(value, dict)),
    "early_stop": _or_none(lambda value: isinstance(value, dict) and _is_stop(value)),
    "seconds": _is_amount,
    "command": _list_of(_is_text),
    "versions": _values(_or_none(_is_text)),
}


def _check(summary: Mapping[str, Any]) -> None:
    for name in ("schedule", "phases"):
        if name not in summary:
            raise ValueError(f"it has no {name!r}")
    for name, check in _OPTIONAL.items():
        if name in summary and not check(summary[name]):
            raise ValueError(f"{name!r} cannot be {_shortly(summary[name])}")
    _check_entries("schedule", summary["schedule"], _PLANNED)
    _check_entries("phases", summary["phases"], _RECORD)
    _check_entries("parameters", summary.get("parameters", []), _PARAMETER)
    for record in summary["phases"]:
        _check_entries("layers", record["layers"], _LAYER)
        there = {name: check for name, check in _OPTIONAL_IN_RECORD.items() if name in record}
        _check_entries("phases", [record], there)
    _check_phases(summary["schedule"], summary["phases"])


def _check_entries(name: str, entries: Any, checks: Mapping[str, Check]) -> None:
    if not isinstance(entries, list):
        raise ValueError(f"{name!r} is no list")
    for entry in entries:
        if not isinstance(entry, dict):
            raise ValueError(f"an entry of {name!r} is no object")
        for key, check in checks.items():
            if key not in entry:
                raise ValueError(f"an entry of {name!r} has no {key!r}")
            if not check(entry[key]):
                raise ValueError(f"{key!r} in {name!r} cannot be {_shortly(entry[key])}")


def _check_phases(schedule: list[dict[str, Any]], phases: list[dict[str, Any]]) -> None:
    """Phases are planned in order, and those that have begun are planned ones."""
    if not schedule:
        raise ValueError("'schedule' is empty")
    if [planned["index"] for planned in schedule] != list(range(len(schedule))):
        raise ValueError("'schedule' does not count its phases 0, 1, 2, ...")
    if any(entry["end"] < entry["start"] for entry in [*schedule, *phases]):
        raise ValueError("a phase ends before it starts")
    names = [phase_name(planned) for planned in schedule]
    begun = [record["name"] for record in phases]
    unplanned = [name for name in begun if name not in names]
    if unplanned:
        raise ValueError(f"'phases' has {_shortly(unplanned[0])}, which 'schedule' does not plan")
    if begun != sorted(set(begun), key=names.index):
        raise ValueError("'phases' are not in the order of 'schedule'")


def _shortly(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
