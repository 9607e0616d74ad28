"""Shows how far a comparison is: the run at work, runs done, time gone and time left.

Layer: rich.
"""

import time
from collections.abc import Sequence
from types import TracebackType

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from .jobs import Job, progress


class RunProgress:
    """A context manager around all runs.

    Args:
        jobs: All runs, finished ones included.
        console: Where to draw.
    """

    def __init__(self, jobs: Sequence[Job], console: Console) -> None:
        self._console = console
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            console=console,
            transient=True,
        )
        done = [job for job in jobs if job.is_finished]
        self._durations = [float(job.read_status()["seconds"]) for job in done]
        self._task = self._bar.add_task("", total=len(jobs), completed=len(done), left="")
        self._remaining = len(jobs) - len(done)
        self._since = self._from = 0.0

    def __enter__(self) -> "RunProgress":
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def begin(self, job: Job) -> None:
        """A run begins."""
        self._since, self._from = time.monotonic(), progress(job.folder)
        self._bar.update(self._task, description=f"seed {job.seed} {job.arm}", left=self._time_left(0.0, 0.0))

    def update(self, job: Job) -> None:
        """A run goes on; call this about once a second."""
        elapsed, done = time.monotonic() - self._since, progress(job.folder)
        description = f"seed {job.seed} {job.arm} {done:.0%}"
        self._bar.update(self._task, description=description, left=self._time_left(elapsed, done))

    def end(self, job: Job, error: str | None) -> None:
        """A run has finished or failed; prints one line, also where there is no terminal to draw in."""
        seconds = time.monotonic() - self._since
        self._remaining -= 1
        if error is None:
            self._durations.append(seconds)
        self._bar.advance(self._task)
        outcome = "finished" if error is None else "[red]failed[/red]"
        line = f"seed {job.seed} {job.arm}: {outcome} after {_clock(seconds)}, see {escape(str(job.log))}"
        self._console.print(line, highlight=False)

    def _time_left(self, elapsed: float, done: float) -> str:
        """By the mean of the finished runs, else by this run's own pace since it began."""
        if self._durations:
            whole = sum(self._durations) / len(self._durations)
        elif done > self._from:
            whole = elapsed / (done - self._from)
        else:
            return "time left unknown"
        return f"{_clock(max(whole * self._remaining - elapsed, 0.0))} left"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
