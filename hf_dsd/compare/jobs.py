"""The runs of a comparison as jobs: which have finished, where one goes on, and one sitting that does the others."""

import logging
import os
import shutil
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from hf_dsd.files import read_json, write_json
from hf_dsd.runs.checkpoints import first_whole, written_checkpoints
from hf_dsd.runs.folder import SUMMARY_FILE_NAME, checkpoints_in, kept_checkpoint
from hf_dsd.runs.json_checks import is_count

try:
    import fcntl
except ImportError:  # Windows: no lock
    fcntl = None  # type: ignore[assignment]

logger = logging.getLogger(__name__)

_FIRST_PHASE = "phase-0-dense"


@dataclass(frozen=True)
class Job:
    """One arm with one seed.

    Attributes:
        out: Folder of the comparison.
        seed: Of the run.
        arm: One that is trained.
        options: DSD fields that the arm sets.
        digest: Of everything that decides the result but the seed.
        donors: Arms whose first dense phase may stand for this one's, in the order they are asked.
    """

    out: Path
    seed: int
    arm: str
    options: Mapping[str, Any]
    digest: str
    donors: Sequence[str] = ()

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return self.out / f"seed-{self.seed}" / self.arm

    @property
    def log(self) -> Path:
        """Where the script's output goes."""
        return self.folder.with_name(f"{self.arm}.log")

    @property
    def is_finished(self) -> bool:
        """True if this very job has been finished before, and what it reached is still there."""
        status = self.read_status()
        is_done = status.get("status") == "finished" and status.get("recipe") == self.digest
        return is_done and (self.folder / SUMMARY_FILE_NAME).is_file()

    def read_status(self) -> dict[str, Any]:
        """How the job ended when it last ran; empty if it never did.

        Raises:
            ValueError: If the file that says it is damaged.
        """
        return read_status(self.out, self.seed, self.arm)

    def write_status(self, error: str | None, seconds: float) -> None:
        """Notes that the job has finished, or why it failed, and the seconds of this sitting."""
        status = "finished" if error is None else "failed"
        content = {"recipe": self.digest, "status": status, "error": error, "seconds": round(seconds, 3)}
        write_json(_status_file(self.out, self.seed, self.arm), content)

    def begin(self) -> None:
        """Makes the folder; while the job runs, and after it was killed, it has no status."""
        _status_file(self.out, self.seed, self.arm).unlink(missing_ok=True)
        self.folder.mkdir(parents=True, exist_ok=True)

    def start(self) -> tuple[Path | None, dict[str, Any]]:
        """The checkpoint that the run goes on from, None: anew, and the options that it trains with.

        It is the run's own last whole one, else the end of the first dense phase, as whichever arm that shares it
        trained it with this seed and kept it; without one, this run keeps it for the others. Every file is compared
        with what was written, and what is damaged is passed over with a warning.
        """
        shared = first_whole(self._kept())
        own = first_whole(found := checkpoints_in(self.folder))
        checkpoint = shared if own is None else own
        if found and own is None:
            logger.warning("%s has no whole checkpoint: begins again from %s", self.folder, shared or "its first step")
        return checkpoint, dict(self.options) if shared else {**self.options, "keep_phase_checkpoints": [0]}

    def has_start(self) -> bool:
        """True if there seems to be a checkpoint to go on from; a glance, several times a second."""
        return bool(self._kept()) or any(written_checkpoints(self.folder))

    def _kept(self) -> list[Path]:
        """The ends of the first dense phase that are there, of the arms that share it."""
        kept = [
            kept_checkpoint(self.folder.with_name(name), _FIRST_PHASE)
            for name in dict.fromkeys((self.arm, *self.donors))
        ]
        return [path for path in kept if path.is_dir()]


def _status_file(out: Path, seed: int, arm: str) -> Path:
    return out / f"seed-{seed}" / f"{arm}.json"


def read_status(out: Path, seed: int, arm: str) -> dict[str, Any]:
    """How a run ended when it was last at work; empty if it never was.

    Raises:
        ValueError: If the file is damaged.
    """
    path, remedy = _status_file(out, seed, arm), "remove it, and the same command goes on with that run"
    status = read_json(path, remedy) or {}
    if status and status.get("status") not in ("finished", "failed"):
        raise ValueError(f"{path} is damaged (its status is neither finished nor failed): {remedy}")
    if not isinstance(status.get("error"), str | None):
        raise ValueError(f"{path} is damaged (its error is no text): {remedy}")
    return status


def progress(folder: Path) -> float:
    """Fraction of its optimizer steps that a run has done, by its last checkpoint; 0 without one."""
    for _, state in written_checkpoints(folder):
        steps: list[Any] = [state.get("global_step"), state.get("max_steps")]
        if all(map(is_count, steps)):
            done: float = steps[0] / max(steps[1], 1)
            return done
    return 0.0


def remove_runs(out: Path, arm: str) -> None:
    """Removes an arm's runs of every seed, logs and notes included."""
    for folder in out.glob(f"seed-*/{arm}"):
        shutil.rmtree(folder)
    for pattern in (f"seed-*/{arm}.log", f"seed-*/{arm}.json"):
        for file in out.glob(pattern):
            file.unlink()


@contextmanager
def locked(folder: Path) -> Iterator[int | None]:
    """Locks a folder: one comparison at a time, and none while a run that a killed one left still trains there.

    Gives the lock's descriptor: a child process that inherits it keeps the folder locked while it lives.

    Raises:
        RuntimeError: If another process holds the lock.
    """
    if fcntl is None:
        yield None
        return
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RuntimeError(
                f"another comparison, or a run that a killed one left, is at work in {folder}: wait for it, or end it"
            ) from error
        yield descriptor
    finally:
        os.close(descriptor)


Training = Generator[None, None, str | None]
"""A run at work: advanced a few times a second, it ends by returning what went wrong, or None; closed, it is ended."""

_GLANCE = 0.2  # seconds between two looks at runs that are at work


def run_jobs(
    jobs: Sequence[Job], console: Console, train: Callable[[Job, int], Training], *, at_once: int = 1
) -> list[Job]:
    """Does the jobs that have not finished; returns those that failed, which stop no other.

    Args:
        jobs: All jobs, in the order they should begin.
        console: Where to show the progress.
        train: Begins one in a place 0 .. at_once - 1, which no other job has meanwhile.
        at_once: How many are at work together. A job waits while another one trains the first phase that it shares.
    """
    failed = []
    waiting = [job for job in jobs if not job.is_finished]
    at_work: dict[int, tuple[Job, Training, float]] = {}
    with RunProgress(jobs, console) as shown, ExitStack() as ending:
        while waiting or at_work:
            for place in sorted(set(range(at_once)) - at_work.keys()):
                job = next((job for job in waiting if _can_begin(job, [one for one, *_ in at_work.values()])), None)
                if job is not None:
                    waiting.remove(job)
                    job.begin()
                    at_work[place] = (job, ending.enter_context(closing(train(job, place))), time.monotonic())
            shown.update([job for job, *_ in at_work.values()])
            for place, (job, training, since) in list(at_work.items()):
                try:
                    next(training)
                except StopIteration as end:
                    del at_work[place]
                    job.write_status(end.value, time.monotonic() - since)
                    shown.end(job, end.value, time.monotonic() - since)
                    failed += [job] if end.value is not None else []
            if at_work:
                time.sleep(_GLANCE)
    return failed


def _can_begin(job: Job, at_work: Iterable[Job]) -> bool:
    """False while a run at work is about to leave the first phase that this one would otherwise train again."""
    rivals = [other for other in at_work if other.seed == job.seed and other.arm in job.donors]
    return not rivals or job.has_start()


class RunProgress:
    """How far a comparison is: the runs at work, runs done, time gone and time left. A context manager around all runs.

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
            TimeRemainingColumn(),
            console=console,
            transient=True,
            speed_estimate_period=float("inf"),  # by all runs of this sitting: one may take hours
        )
        self._done = sum(job.is_finished for job in jobs)
        self._task = self._bar.add_task("", total=len(jobs), completed=self._done)
        self._looked = 0.0

    def __enter__(self) -> "RunProgress":
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def update(self, at_work: Sequence[Job]) -> None:
        """Shows how far the runs at work are, by their last checkpoints; reads these once a second."""
        if time.monotonic() - self._looked < 1:
            return
        self._looked = time.monotonic()
        done = [progress(job.folder) for job in at_work]
        runs = " · ".join(f"seed {job.seed} {job.arm} {part:.0%}" for job, part in zip(at_work, done, strict=True))
        self._bar.update(self._task, description=runs, completed=self._done + sum(min(part, 0.99) for part in done))

    def end(self, job: Job, error: str | None, seconds: float) -> None:
        """A run has finished or failed; prints one line, also where there is no terminal to draw in."""
        self._done += 1
        self._bar.update(self._task, completed=self._done)
        minutes, rest = divmod(round(seconds), 60)
        outcome = "finished" if error is None else "[red]failed[/red]"
        line = f"seed {job.seed} {job.arm}: {outcome} after {minutes}:{rest:02}, see {escape(str(job.log))}"
        self._console.print(line, highlight=False)
