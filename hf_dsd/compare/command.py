"""What `hf-dsd compare` does with its arguments: run, print, and end with a status that a script can test.

Layer: the package next door; typer for the exit status.
"""

import signal
import sys
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path

import typer
from rich.console import Console
from rich.markup import escape

from hf_dsd.command_error import errors_end_command

from .comparison import Comparison
from .run_results import ARMS
from .runner import ScriptRuns, compare_script
from .table import print_comparison

INTERRUPTED = 130


def compare_command(
    script: Sequence[str],
    arms: Sequence[str],
    seeds: Sequence[int],
    out: Path,
    num_processes: int | None,
    split: str,
    metric: str | None,
    *,
    force: bool,
    greater_is_better: bool | None,
) -> int:
    """Runs the comparison and returns its exit status, 1 if a run failed; ends with 130 if interrupted.

    Without a comparison it ends here: with 2 if the arguments are wrong, 1 if no run finished.

    Args:
        script: The positional arguments. `--arms a b c -- script` reaches typer as one arm and `b c script`, so arm
            names before the script count as arms.
        arms: From `--arms`.
        seeds: As at `ScriptRuns`, like the next two.
        out: Folder.
        num_processes: For accelerate.
        split: Which score files to compare.
        metric: Score to compare.
        force: Train anew what another recipe made.
        greater_is_better: Direction of the score; None where the score file or its name tells.
    """
    console = Console()
    more = list(takewhile(lambda word: word in ARMS, script)) if arms else []
    runs = ScriptRuns(script[len(more) :], [*arms, *more] or ["dsd", "dense"], list(seeds), out, num_processes)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # end the run at work, too
    try:
        with errors_end_command({FileNotFoundError: 1, ValueError: 2, RuntimeError: 2}, console):
            comparison, failed = compare_script(
                runs, force=force, split=split, metric=metric, greater_is_better=greater_is_better, console=console
            )
    except KeyboardInterrupt:
        console.print("stopped: the same command goes on from the last checkpoints")
        raise typer.Exit(INTERRUPTED) from None
    _show(comparison, out, console)
    return 1 if failed else 0


def collect_command(out: Path, split: str, metric: str | None, *, greater_is_better: bool | None) -> int:
    """Compares the runs that are there, writes `comparison.json` and returns the exit status; ends with 2 without."""
    console = Console()
    with errors_end_command({ValueError: 2, FileNotFoundError: 2}, console):
        comparison = Comparison.from_folder(out, split, metric, greater_is_better=greater_is_better)
    comparison.write(out)
    _show(comparison, out, console)
    return 0


def _show(comparison: Comparison, out: Path, console: Console) -> None:
    print_comparison(comparison, console)
    console.print(f"Written to {escape(str(out / 'comparison.json'))}.", highlight=False)
