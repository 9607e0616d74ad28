"""The comparison of a folder of runs, up to date.

Layer: the comparison and the report's rule of when it is up to date.
"""

import os
from pathlib import Path

from hf_dsd.compare import Comparison
from hf_dsd.compare.comparison import COMPARISON_FILE_NAME
from hf_dsd.report.current_comparison import changed_runs
from hf_dsd.runs.folder import seeds_in


def read_comparison(out: str | os.PathLike[str]) -> Comparison:
    """The folder's comparison.json where it tells of the runs that are there, else a comparison of these runs.

    Raises:
        FileNotFoundError: If the folder holds neither the file nor a finished run.
        ValueError: If the runs were scored differently.
    """
    out = Path(out)
    if not (out / COMPARISON_FILE_NAME).is_file():
        return Comparison.from_folder(out)
    kept = Comparison.read(out)
    if not seeds_in(out) or not changed_runs(kept, out):  # without runs, the file alone was kept
        return kept
    return Comparison.from_folder(out, kept.split, kept.metric, greater_is_better=kept.greater_is_better)
