"""The comparison of a folder of runs, up to date.

Layer: the comparison.
"""

import os
from collections.abc import Iterable
from pathlib import Path

from hf_dsd.compare import Comparison, RunResult
from hf_dsd.compare.comparison import COMPARISON_FILE_NAME
from hf_dsd.compare.run_results import read_runs, seeds_in


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
    if not seeds_in(out):  # the file alone was kept
        return kept
    found = [run.result for run in read_runs(out, kept.split, kept.metric)]
    return kept if _values(kept.runs) == _values(found) else Comparison.from_folder(out, kept.split, kept.metric)


def _values(runs: Iterable[RunResult]) -> set[tuple[str, int, float]]:
    return {(run.arm, run.seed, run.value) for run in runs if run.value is not None}
