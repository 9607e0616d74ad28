"""A comparison as it may be published.

Layer: the comparison.
"""

from dataclasses import replace

from hf_dsd.compare import Comparison
from hf_dsd.runs.privacy import without_folders, without_paths


def public_comparison(comparison: Comparison) -> Comparison:
    """A comparison whose command, script and errors name no folder of the machine."""
    runs = [replace(run, error=without_paths(run.error)) for run in comparison.runs]
    command = without_folders(comparison.command)
    return replace(comparison, command=command, script=without_paths(comparison.script), runs=runs)
