"""The comparison of the runs that are in a folder now; a stored `comparison.json` may be one of other runs.

Layer: the comparison.
"""

import shlex
from collections.abc import Iterable
from pathlib import Path

from hf_dsd.compare import Comparison, RunResult
from hf_dsd.compare.comparison import COMPARISON_FILE_NAME
from hf_dsd.compare.run_results import read_runs


def read_current_comparison(out: Path) -> tuple[Comparison | None, str]:
    """Compares the runs in `out/seed-S/ARM/`, by the stored file's split and metric where there is one.

    Args:
        out: Folder of a comparison, as the user named it.

    Returns:
        The comparison, and a note: what the stored file lacks, or, with None, why the runs cannot be compared.
    """
    try:
        if not (out / COMPARISON_FILE_NAME).is_file():
            return Comparison.from_folder(out), ""
        stored, damage = _read_stored(out)
        if stored is None:
            command = shlex.join(["hf-dsd", "compare", "--collect", "--out", str(out)])
            note = (
                f"{COMPARISON_FILE_NAME} cannot be read ({damage}): the table is computed from the runs that are here"
            )
            return Comparison.from_folder(out), f"{note}; {command} writes the file anew"
        changed = changed_runs(stored, out)
        if not changed:
            return stored, ""
        known = stored.greater_is_better
        found = Comparison.from_folder(out, stored.split, stored.metric, greater_is_better=known)
        return found, _outdated(stored, out, changed)
    except (FileNotFoundError, ValueError) as error:
        return None, str(error)


def changed_runs(stored: Comparison, out: Path) -> list[tuple[str, int]]:
    """(arm, seed) of the runs whose folder or score is not what a stored comparison says; empty if it is up to date.

    Runs without a score, which have failed or not finished, do not count.

    Raises:
        ValueError: If a run's file is damaged, or its scores lack the stored metric.
    """
    found = [run.result for run in read_runs(out, stored.split, stored.metric)]
    return sorted({(arm, seed) for arm, seed, *_ in _reached(stored.runs) ^ _reached(found)})


def _reached(runs: Iterable[RunResult]) -> set[tuple[str, int, str, float]]:
    return {(run.arm, run.seed, run.folder, run.value) for run in runs if run.value is not None}


def _read_stored(out: Path) -> tuple[Comparison | None, str]:
    try:
        return Comparison.read(out), ""
    except ValueError as error:
        return None, str(error)


def _outdated(stored: Comparison, out: Path, changed: Iterable[tuple[str, int]]) -> str:
    runs = "; ".join(f"{arm}, seed {seed}" for arm, seed in changed)
    words = ["hf-dsd", "compare", "--collect", "--out", str(out), "--split", stored.split, "--metric", stored.metric]
    return (
        f"{COMPARISON_FILE_NAME} does not say what {runs} reached: the table is computed from the runs that are here; "
        f"{shlex.join(words)} writes the file anew"
    )
