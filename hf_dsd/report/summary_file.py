"""`dsd_summary.json` as a report needs it: checked once, so that no section meets half of one.

Layer: files only.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hf_dsd.files import read_json_object
from hf_dsd.runs.folder import SUMMARY_FILE_NAME

# List -> what every entry must hold.
_ENTRIES: Mapping[str, Sequence[str]] = {
    "schedule": ("index", "kind", "start", "end", "sparsity"),
    "phases": ("name", "start", "end", "learning_rate", "sparsity", "seconds", "finished", "metrics", "layers"),
    "layers": ("name", "shape", "weights", "pruned", "sparsity", "threshold"),
    "parameters": ("name", "shape", "weights", "override", "dense_reason"),
}


def read_summary_file(folder: Path) -> dict[str, Any]:
    """A run's summary.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it is damaged; the message names the file.
    """
    path = folder / SUMMARY_FILE_NAME
    try:
        summary = read_json_object(path)
        _check(summary)
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}): restore it, or remove it to report on the rest") from error
    return summary


def _check(summary: Mapping[str, Any]) -> None:
    for name in ("schedule", "phases"):
        if name not in summary:
            raise ValueError(f"it has no {name!r}")
    for name in ("schedule", "phases", "parameters"):
        _check_entries(name, summary.get(name, []))
    for record in summary["phases"]:
        _check_entries("layers", record["layers"])


def _check_entries(name: str, entries: Any) -> None:
    if not isinstance(entries, list):
        raise ValueError(f"{name!r} is no list")
    for entry in entries:
        if not isinstance(entry, dict):
            raise ValueError(f"an entry of {name!r} is no object")
        missing = [key for key in _ENTRIES[name] if key not in entry]
        if missing:
            raise ValueError(f"an entry of {name!r} has no {missing[0]!r}")
