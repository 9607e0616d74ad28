"""Why a run shows no weights around a sparse phase: what its folder lacks, and whether it is still to come.

Layer: the run record and its models next door.
"""

from collections.abc import Mapping
from typing import Any

from hf_dsd.runs.folder import phase_name
from hf_dsd.runs.run import Run

from .weight_moments import pruned_layers


def why_no_weights(run: Run) -> str:
    """One sentence, for a run without a sparse phase whose weights, and those that it began from, are there."""
    if not run.schedule:
        return f"Which phases {run.label} has is not known: its folder holds no dsd_summary.json, and no masks."
    if not run.prunes:
        return f"{run.label} has no sparse phase and so no pruned weights: the dense control has none by design."
    pruned = next((record for record in run.phases if pruned_layers(record)), None)
    if pruned is None:
        return f"{run.label} has pruned no weights yet: its models are written as its phases end."
    lacks = " and ".join(_lacking(run, pruned))
    return (
        f"Figure 2 needs the weights that {pruned['name']} of {run.label} began from and those it ended with: {lacks}."
    )


def _lacking(run: Run, pruned: Mapping[str, Any]) -> list[str]:
    planned = [phase_name(entry) for entry in run.schedule]
    index = planned.index(pruned["name"]) if pruned["name"] in planned else 0
    found = []
    if index == 0 or run.schedule[index - 1]["start"] == run.schedule[index - 1]["end"]:
        found.append("it began from a model trained elsewhere, which is not in the folder")
    elif run.start_of_next(planned[index - 1]) is None:
        found.append(f"{planned[index - 1]}/ with its weights is neither in the folder nor in that of another arm")
    if pruned["name"] not in run.models:
        found.append(f"{pruned['name']}/ with its weights is not in the folder")
    return found
