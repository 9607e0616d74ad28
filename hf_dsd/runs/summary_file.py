"""What a `dsd_summary.json` must hold, checked once, so that nobody above meets half of one.

The file comes from a folder that may be another person's. Names in it become names of folders, so they are checked as
names: no summary can make a command read or write outside its run.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hf_dsd.files import read_json

from .folder import AVERAGES, SUMMARY_FILE_NAME, phase_name
from .json_checks import (
    Check,
    is_amount,
    is_count,
    is_flag,
    is_fraction,
    is_int,
    is_number,
    is_text,
    list_of,
    or_none,
    values,
)

REMEDY = "restore it, or train the run again"


def read_summary(folder: Path) -> dict[str, Any] | None:
    """A run's summary; None where it has not written one.

    A file that is damaged, or no summary of a run, is a ValueError that names it, what is wrong, and the remedy.
    """
    return read_json(folder / SUMMARY_FILE_NAME, REMEDY, _check)


def _table(*rows: tuple[Check, str]) -> Mapping[str, Check]:
    """Name -> its check, of checks and the names that they are for."""
    return {name: check for check, names in rows for name in names.split()}


_SIZES = ((is_text, "name"), (list_of(is_count), "shape"), (is_count, "weights"))
_LAYER = _table(*_SIZES, (is_count, "pruned"), (is_fraction, "sparsity"), (or_none(is_number), "threshold"))
_PARAMETER = _table(*_SIZES, (or_none(is_fraction), "override"), (or_none(is_text), "dense_reason"))
_PLANNED = _table(
    (is_count, "index"),
    (lambda kind: kind in ("dense", "sparse"), "kind"),
    (is_count, "start end"),
    (is_fraction, "sparsity"),
)
_RECORD = _table(
    (is_text, "name"),
    (is_count, "start end"),
    (or_none(is_number), "learning_rate"),
    (is_fraction, "sparsity"),
    (is_amount, "seconds"),
    (is_flag, "finished"),
    (values(is_number), "metrics"),
    (lambda value: isinstance(value, list), "layers"),
)
_OPTIONAL_IN_RECORD = _table((is_flag, "left_early"), (list_of(list_of(is_amount, 2)), "learning_rates"))
_STOP = _table((is_count, "step"), (is_text, "metric"), (is_number, "value"))


def _is_stop(value: Any) -> bool:
    return isinstance(value, dict) and all(name in value and check(value[name]) for name, check in _STOP.items())


# Top-level entries that older versions may lack.
_OPTIONAL = _table(
    (is_text, "run model arm optimizer lr_scheduler_type mask_criterion reset_optimizer_state"),
    (is_int, "seed"),
    (or_none(is_int), "data_seed"),
    (is_count, "world_size batch_size"),
    (or_none(is_count), "steps_per_epoch"),
    (list_of(lambda kind: kind in AVERAGES), "weight_averages"),
    (values(is_number), "evaluations"),
    (or_none(lambda value: isinstance(value, dict)), "best_model"),
    (or_none(_is_stop), "early_stop"),
    (is_amount, "seconds"),
    (list_of(is_text), "command saved_phases"),
    (values(or_none(is_text)), "versions"),
)


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
