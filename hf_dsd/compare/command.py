"""What `hf-dsd compare` does with its arguments: run, print, and end with a status that a script can test."""

import signal
import sys
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path

import typer
from rich.console import Console
from rich.markup import escape

from hf_dsd.command_error import errors_end_command
from hf_dsd.runs.run import Run

from .arms import ARMS, SUGGESTED, Arm
from .comparison import Comparison
from .run_results import read_runs
from .runner import ScriptRuns
from .table import print_comparison

INTERRUPTED = 130


def run_command(
    script: Sequence[str],
    arms: Sequence[str],
    own: Sequence[str],
    seeds: Sequence[int],
    out: Path,
    *,
    baseline: str,
    num_processes: int | None,
    at_once: int,
    force: bool,
) -> int:
    """Trains what has not finished, and says what failed; returns the command's exit status, 1 if a run failed.

    Ends the command here if the arguments are wrong (2), or if it is interrupted (130).

    Args:
        script: The positional arguments. `--arms a b c -- script` reaches typer as one arm and `b c script`, so arm
            names before the script count as arms.
        arms: From `--arms`.
        own: From `--arm`: `NAME=--option value`.
        seeds: As at `ScriptRuns`, like the next four.
        out: Folder.
        baseline: Name of an arm.
        num_processes: For accelerate.
        at_once: Number of runs.
        force: Train anew what another recipe made.
    """
    console = Console()
    more = list(takewhile(lambda word: word in ARMS, script)) if arms else []
    # Beside arms of the user's own only the control goes without saying.
    named = [*arms, *more] or [arm for arm in SUGGESTED if not own or arm == baseline]
    with errors_end_command({ValueError: 2}, console):
        all_arms: list[str | Arm] = [*named, *map(Arm.parse, own)]
    runs = ScriptRuns(script[len(more) :], all_arms, list(seeds), out, num_processes, baseline, at_once)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # end the run at work, too
    try:
        with errors_end_command({ValueError: 2, RuntimeError: 2}, console):
            failed = runs.run(force=force, console=console)
    except KeyboardInterrupt:
        console.print("stopped: the same command goes on from the last checkpoints")
        raise typer.Exit(INTERRUPTED) from None
    for job in failed:
        log = escape(str(job.log))
        console.print(f"\n[red]{job.arm}, seed {job.seed}, failed[/red]; the end of {log}:", highlight=False)
        console.print(str(job.read_status()["error"]), markup=False, highlight=False)
    return 1 if failed else 0


def collect_command(
    out: Path,
    split: str | None,
    metric: str | None,
    *,
    greater_is_better: bool | None,
    baseline: str | None = None,
    without_runs: int = 2,
) -> list[Run]:
    """Compares the runs that are there, prints the table and writes `comparison.json`; returns the runs.

    Without a comparison it ends the command here, with 2, or with `without_runs` if no run has finished.
    """
    console = Console()
    with errors_end_command({ValueError: 2, FileNotFoundError: without_runs}, console):
        runs = read_runs(out)
        comparison = Comparison.from_folder(
            out, split, metric, greater_is_better=greater_is_better, baseline=baseline, runs=runs
        )
    path = comparison.write(out)
    print_comparison(comparison, console)
    console.print(f"Written to {escape(str(path))}.", highlight=False, soft_wrap=True)
    return runs
