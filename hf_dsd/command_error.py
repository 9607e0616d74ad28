"""How a command of `hf-dsd`, or a training script, ends when something is wrong: one line that says what."""

import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from traceback import walk_tb

import typer
from rich.console import Console
from rich.markup import escape


@contextmanager
def errors_end_command(statuses: Mapping[type[Exception], int], console: Console | None = None) -> Iterator[None]:
    """Turns errors within the block into a line for people; a script reads the status.

    Args:
        statuses: Kind of error -> exit status; the first kind that fits counts.
        console: Where to print.

    Raises:
        typer.Exit: With that status.
    """
    try:
        yield
    except tuple(statuses) as error:
        _print_error(error, console or Console())
        raise typer.Exit(next(status for kind, status in statuses.items() if isinstance(error, kind))) from error


def run_script(main: Callable[[], object]) -> None:
    """Runs the main function of a training script; an error that its user can mend is a line, and status 2.

    Such are the errors that this package or the script itself finds, and files that are not there or cannot be read.
    Others are faults, and keep their traceback.

    Args:
        main: A function that takes no argument and was defined in the script.
    """
    try:
        main()
    except (ValueError, ImportError, OSError) as error:
        *_, (frame, _line) = walk_tb(error.__traceback__)
        raised_in = Path(frame.f_code.co_filename).resolve()
        ours = raised_in.is_relative_to(Path(__file__).resolve().parent)
        if not (ours or isinstance(error, OSError) or raised_in == Path(inspect.getfile(main)).resolve()):
            raise
        _print_error(error, Console(stderr=True))
        sys.exit(2)


def _print_error(error: Exception, console: Console) -> None:
    # Without hard line breaks: they would fall into paths and commands that people copy.
    text = escape(str(error).replace("\n", " "))  # a library may have written several lines
    console.print(f"[red]error[/red] {text}", highlight=False, soft_wrap=True)
