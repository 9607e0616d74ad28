"""What a report is about: one run, the runs of a comparison, or runs side by side.

Layer: the run record next door and the comparison.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hf_dsd.compare import ARMS, Comparison
from hf_dsd.compare.comparison import COMPARISON_FILE_NAME
from hf_dsd.compare.run_results import seeds_in

from .run_record import RunRecord, is_run, read_run

logger = logging.getLogger(__name__)

_ARM_ALIASES = {"dense-control": "dense"}  # how `hf-dsd demo` calls its control's folder


@dataclass(frozen=True)
class ReportFolder:
    """The runs of a folder, in the order of seeds and arms.

    Attributes:
        folder: The folder.
        runs: At least one.
        comparison: What the arms' seeds say together, if the folder is a comparison's and a run has finished.
        comparison_note: Why there is no comparison, or what it does not count yet, or "".
    """

    folder: Path
    runs: Sequence[RunRecord]
    comparison: Comparison | None = None
    comparison_note: str = ""

    @property
    def primary(self) -> RunRecord:
        """The run whose weights are shown: the first DSD run of the lowest seed, else the first with a sparse phase."""
        return min(self.runs, key=lambda run: (run.arm != "dsd", not _prunes(run), self.runs.index(run)))

    @property
    def is_single(self) -> bool:
        """True if the folder is a run itself."""
        return len(self.runs) == 1 and self.runs[0].folder == self.folder


def read_report_folder(folder: Path) -> ReportFolder:
    """Finds the runs in a folder: itself, `seed-S/ARM/`, or its subfolders.

    Raises:
        FileNotFoundError: If there is no run.
        ValueError: If a file of a run is damaged.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is no folder: give the output_dir of a run or the --out of a comparison")
    if is_run(folder):
        return ReportFolder(folder, [read_run(folder)])
    if seeds_in(folder):
        runs = [
            read_run(path, path.name, seed)
            for seed in seeds_in(folder)
            for path in sorted((folder / f"seed-{seed}").iterdir(), key=_arm_order)
            if path.is_dir() and is_run(path)
        ]
        if runs:
            return ReportFolder(folder, runs, *_read_comparison(folder, runs))
    paths = sorted((path for path in folder.iterdir() if path.is_dir() and is_run(path)), key=_arm_order)
    if not paths:
        raise FileNotFoundError(
            f"{folder} is no run and holds none: there must be a dsd_summary.json or a whole checkpoint-N/ in it, in "
            "seed-S/ARM/ or in its subfolders; give the output_dir of a run or the --out of a comparison"
        )
    return ReportFolder(folder, [read_run(path, _ARM_ALIASES.get(path.name, path.name)) for path in paths])


def _read_comparison(folder: Path, runs: Sequence[RunRecord]) -> tuple[Comparison | None, str]:
    try:
        if (folder / COMPARISON_FILE_NAME).is_file():
            comparison = Comparison.read(folder)
            return comparison, _what_is_new(comparison, folder, runs)
        return Comparison.from_folder(folder), ""
    except (FileNotFoundError, ValueError) as error:
        logger.warning("no comparison of the arms: %s", error)
        return None, str(error)


def _what_is_new(comparison: Comparison, folder: Path, runs: Sequence[RunRecord]) -> str:
    """Names the finished runs that `comparison.json` does not count yet, "" without any."""
    known = {run.folder for run in comparison.runs if run.status == "finished"}
    new = [run.label for run in runs if run.is_finished and run.folder.relative_to(folder).as_posix() not in known]
    if not new:
        return ""
    return f"{COMPARISON_FILE_NAME} does not count {'; '.join(new)}: hf-dsd compare --collect --out {folder.name}"


def _arm_order(path: Path) -> tuple[int, str]:
    arms = ["dsd", *ARMS]
    name = _ARM_ALIASES.get(path.name, path.name)
    return (arms.index(name) if name in arms else len(arms), path.name)


def _prunes(run: RunRecord) -> bool:
    return any(phase["kind"] == "sparse" for phase in run.schedule)
