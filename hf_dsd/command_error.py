"""How a command of `hf-dsd` ends when something is wrong: one line that says what, and an exit status."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

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
        # Without hard line breaks: they would fall into paths and commands that people copy.
        line = f"[red]error[/red] {escape(str(error))}"
        (console or Console()).print(line, highlight=False, soft_wrap=True)
        raise typer.Exit(next(status for kind, status in statuses.items() if isinstance(error, kind))) from error
