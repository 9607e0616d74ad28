"""The files that a comparison reads of each run: how it ended, `seed-S/ARM.json`, and its `dsd_summary.json`.

Layer: files only.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hf_dsd.files import read_json
from hf_dsd.runs.folder import SUMMARY_FILE_NAME

_REMEDY = "restore it, or remove the run's folder, and the same command trains it again"
_PLANNED = {"index", "kind"}
_RECORDED = {"name", "end", "seconds", "finished", "metrics"}


def seeds_in(out: Path) -> list[int]:
    """Seeds of the folders `seed-S`, in order."""
    names = [path.name.removeprefix("seed-") for path in out.glob("seed-*") if path.is_dir()]
    return sorted(int(name) for name in names if name.isdigit())


def status_file(out: Path, seed: int, arm: str) -> Path:
    """Where the runner notes how an arm's run with a seed ended."""
    return out / f"seed-{seed}" / f"{arm}.json"


def read_status(out: Path, seed: int, arm: str) -> dict[str, Any]:
    """How a run ended when it was last at work; empty if it never was.

    Raises:
        ValueError: If the file is damaged.
    """
    return read_json(status_file(out, seed, arm), "remove it, and the same command goes on with that run") or {}


def read_summary(folder: Path) -> dict[str, Any] | None:
    """A run's summary; None if it has not written one.

    Raises:
        ValueError: If the file is damaged, or tells nothing of the phases.
    """
    path = folder / SUMMARY_FILE_NAME
    summary = read_json(path, _REMEDY)
    if summary is None:
        return None
    planned, recorded = summary.get("schedule"), summary.get("phases")
    if not planned or not _have(planned, _PLANNED) or not _have(recorded, _RECORDED):
        raise ValueError(
            f"{path} must hold the planned schedule and the phases, each with {', '.join(sorted(_RECORDED))}: {_REMEDY}"
        )
    return summary


def _have(entries: Any, keys: set[str]) -> bool:
    return isinstance(entries, list) and all(isinstance(one, Mapping) and keys <= one.keys() for one in entries)
