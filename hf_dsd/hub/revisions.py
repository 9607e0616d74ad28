"""Which phase's model becomes which revision of the repository."""

import json
import os
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from hf_dsd.runs.folder import SUMMARY_FILE_NAME, has_finished, phase_name
from hf_dsd.runs.run import finished_models

MAIN = "main"


@dataclass(frozen=True)
class Revision:
    """One branch of the repository.

    Attributes:
        name: Of the branch: `main`, `dense`, `sparse`, `dense-2`, `ema`.
        phase: Folder of the run that holds its model: `phase-2-dense`.
    """

    name: str
    phase: str


def plan_revisions(run_dir: str | os.PathLike[str]) -> list[Revision]:
    """The revisions that a finished run is published as, in the order in which they are sent: `main` is last.

    `main` is the last phase's model. Each earlier phase is a branch of its kind, counted from the second on: `dense`,
    `sparse`, and in an iterative run `dense-2`, `sparse-2`. Averages of the last phase are `ema` and `swa`. A first
    phase of length 0 left no model, and has no branch.

    Raises:
        FileNotFoundError: If the folder is not a run's, or has lost the last phase's model.
        ValueError: If the run has not finished its last phase.
    """
    path = Path(run_dir) / SUMMARY_FILE_NAME
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: give the output_dir of a run that DSDTrainer has finished")
    summary = json.loads(path.read_text(encoding="utf-8"))
    last = phase_name(summary["schedule"][-1])
    if not has_finished(summary["schedule"], summary["phases"]):
        done = {phase["name"] for phase in summary["phases"] if phase["finished"]}
        raise ValueError(
            f"{run_dir} has not finished {last}, only {sorted(done) or 'no phase'}: resume it by "
            "train(resume_from_checkpoint=True), then publish"
        )
    if not (Path(run_dir) / last).is_dir():
        raise FileNotFoundError(f"{Path(run_dir) / last} is missing: it holds the model that main would be")
    branches = earlier_branches(run_dir, summary)
    return [*(Revision(name, phase) for phase, name in branches.items()), Revision(MAIN, last)]


def earlier_branches(run_dir: str | os.PathLike[str], summary: Mapping[str, Any]) -> dict[str, str]:
    """Phase or average whose model lies in a run's folder -> its branch, in order; without the last phase, `main`.

    Args:
        run_dir: The run's folder.
        summary: Its `dsd_summary.json`.
    """
    *earlier, last = summary["schedule"]
    counts: Counter[str] = Counter()
    names = {}
    for planned in earlier:
        kind = planned["kind"]
        counts[kind] += 1
        names[phase_name(planned)] = kind if counts[kind] == 1 else f"{kind}-{counts[kind]}"
    names |= {f"{phase_name(last)}-{kind}": kind for kind in summary.get("weight_averages", ())}
    models = finished_models(run_dir)
    return {phase: name for phase, name in names.items() if phase in models}


def is_our_branch(name: str) -> bool:
    """Whether a branch is called as publications call theirs: `sparse`, `dense-2`, `ema`."""
    return re.fullmatch(r"(dense|sparse)(-\d+)?|ema|swa", name) is not None


def release_tag() -> str:
    """The tag of a publication: the package's version, `v0.1.0`."""
    return f"v{version('hf-dsd')}"
