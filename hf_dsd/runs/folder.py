"""The names of a run's folder: its summary and the models of its phases."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

SUMMARY_FILE_NAME = "dsd_summary.json"


def read_run(folder: str | os.PathLike[str]) -> str | None:
    """The `RunSummary.run` of the training whose summary lies in a folder; None without, or of an old version."""
    path = Path(folder) / SUMMARY_FILE_NAME
    return json.loads(path.read_text(encoding="utf-8")).get("run") if path.is_file() else None


def phase_name(planned: Mapping[str, Any]) -> str:
    """`phase-1-sparse` of an entry of a summary's schedule."""
    return f"phase-{planned['index']}-{planned['kind']}"


def has_finished(schedule: Sequence[Mapping[str, Any]], phases: Sequence[Mapping[str, Any]]) -> bool:
    """True if a run has trained its last phase to its end.

    Records are not counted: a first phase of length 0, which starts from a trained model, has none.

    Args:
        schedule: The planned phases, as `Schedule.to_dict` gives them; empty where unknown.
        phases: The records of those that have begun.
    """
    return bool(schedule) and any(
        record["finished"] and record["name"] == phase_name(schedule[-1]) for record in phases
    )


def finished_phases(folder: str | os.PathLike[str]) -> list[str]:
    """Names of the phases whose models the run in `folder` has finished and left there, in order.

    Folders that an earlier run left do not count, nor does a phase of a run that was resumed from another folder.
    """
    path = Path(folder) / SUMMARY_FILE_NAME
    if not path.is_file():
        return []
    summary = json.loads(path.read_text(encoding="utf-8"))
    names = [phase["name"] for phase in summary["phases"] if phase["finished"]]
    return [name for name in names if (Path(folder) / name).is_dir()]


def finished_models(folder: str | os.PathLike[str]) -> list[str]:
    """Names of all models that the run in `folder` finished: each phase's, and before the last phase its averages."""
    phases = finished_phases(folder)
    if not phases:
        return []
    summary = json.loads((Path(folder) / SUMMARY_FILE_NAME).read_text(encoding="utf-8"))
    averages = [f"{phases[-1]}-{kind}" for kind in summary.get("weight_averages", ())]
    return [*phases[:-1], *(name for name in averages if (Path(folder) / name).is_dir()), phases[-1]]
