"""What a report is about: one run, the runs of a comparison, or runs side by side."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hf_dsd.compare import ARMS, Comparison
from hf_dsd.runs.folder import seeds_in
from hf_dsd.runs.run import Run, is_run, run_label

REPORT_FILE_NAME = "report.html"
FIGURES_FOLDER_NAME = "figures"
FIGURES = ("timeline", "weights", "fate", "landscape")
"""The figures of a report, as far as a folder holds what they show; `weights` is the paper's Figure 2."""

FIGURE_FILES = tuple(f"{FIGURES_FOLDER_NAME}/{name}.png" for name in FIGURES)
"""Where a report puts them, relative to its page: other pictures in that folder are somebody else's."""

_ARM_ALIASES = {"dense-control": "dense"}  # how the demo of version 0.1.0 called its control's folder


@dataclass(frozen=True)
class ReportFolder:
    """The runs of a folder, in the order of seeds and arms.

    Attributes:
        folder: The folder.
        runs: At least one.
        problems: Which runs were left out because a file of theirs is damaged, a line each.
        comparison: What the arms' seeds say together, if the folder is a comparison's and a run has finished.
        comparison_note: Why there is no comparison, or what the stored one lacks, or "".
    """

    folder: Path
    runs: Sequence[Run]
    problems: Sequence[str] = ()
    comparison: Comparison | None = None
    comparison_note: str = ""

    @property
    def primary(self) -> Run:
        """The run whose weights are shown: the first DSD run of the lowest seed, else the first with a sparse phase."""
        return min(self.runs, key=lambda run: (run.arm != "dsd", not run.prunes, self.runs.index(run)))


def read_report_folder(folder: Path, known: Iterable[Run] = ()) -> ReportFolder:
    """Finds the runs in a folder: itself, `seed-S/ARM/`, or its subfolders; `known` ones are not read again.

    Raises:
        FileNotFoundError: If there is no run.
        ValueError: If no run can be read.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is no folder: give the output_dir of a run or the --out of a comparison")
    if is_run(folder):
        return ReportFolder(folder, [next((run for run in known if run.folder == folder), None) or Run.read(folder)])
    seeded = [(path, path.name, seed) for seed in seeds_in(folder) for path in _runs_in(folder / f"seed-{seed}")]
    if seeded:
        runs, problems = _read_runs(seeded, known)
        try:
            comparison, note = Comparison.current(folder, runs if not problems else None)
        except (FileNotFoundError, ValueError) as error:
            comparison, note = None, str(error)
        return ReportFolder(folder, runs, problems, comparison, note)
    paths = _runs_in(folder)
    if not paths:
        raise FileNotFoundError(
            f"{folder} is no run and holds none: there must be a dsd_summary.json or a whole checkpoint-N/ in it, in "
            "seed-S/ARM/ or in its subfolders; give the output_dir of a run or the --out of a comparison"
        )
    return ReportFolder(folder, *_read_runs((path, _ARM_ALIASES.get(path.name, path.name), None) for path in paths))


def _runs_in(folder: Path) -> list[Path]:
    return sorted((path for path in folder.iterdir() if path.is_dir() and is_run(path)), key=_arm_order)


def _read_runs(found: Iterable[tuple[Path, str, int | None]], known: Iterable[Run] = ()) -> tuple[list[Run], list[str]]:
    """Reads (folder, arm, seed) of every run that can be read, and says which cannot."""
    runs, errors = [], {}
    already = {run.folder: run for run in known}
    for path, arm, seed in found:
        try:
            runs.append(already.get(path) or Run.read(path, arm))
        except (FileNotFoundError, ValueError) as error:
            errors[run_label(arm, seed)] = str(error)
    if not runs:
        raise ValueError("; ".join(errors.values()))
    return runs, [f"{label} is left out: {error}" for label, error in errors.items()]


def _arm_order(path: Path) -> tuple[int, str]:
    arms = ["dsd", *ARMS]
    name = _ARM_ALIASES.get(path.name, path.name)
    return (arms.index(name) if name in arms else len(arms), path.name)
