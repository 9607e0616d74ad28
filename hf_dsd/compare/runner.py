"""Runs a training script for every arm and seed, through `accelerate launch`."""

import hashlib
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from hf_dsd.runs.privacy import without_secrets

from .arguments import as_arguments, is_on, parse_options
from .arms import ARMS, BASELINE, Arm, check_arguments, plan_arms
from .comparison import Comparison
from .first_phase import sharing_text
from .iterative import Recipe
from .jobs import Job, Training, locked, run_jobs
from .recipe import module_digests, note_call, plan_jobs

LOG_LINES = 15
"""How many of a failed run's last lines are shown."""


@dataclass(frozen=True)
class ScriptRuns:
    """A training script to be run with every arm and seed.

    Attributes:
        script: The Python file and its arguments, without those of the arms and of the runner. The script must parse
            `DSDTrainingArguments` and pass `resume_from_checkpoint` on to `train()`.
        arms: Names of `ARMS`, and the user's own.
        seeds: Passed as `--seed`.
        out: Folder of the comparison.
        num_processes: For `accelerate launch`; None leaves it to accelerate's configuration.
        baseline: The arm that the others are compared with.
        at_once: How many runs train together, each with its share of the GPUs, or without any of the cores.
    """

    script: Sequence[str]
    arms: Sequence[str | Arm]
    seeds: Sequence[int]
    out: Path
    num_processes: int | None = None
    baseline: str = BASELINE
    at_once: int = 1

    def run(self, *, force: bool = False, console: Console | None = None) -> list[Job]:
        """Runs what has not finished yet; returns the jobs that failed.

        A finished run is never repeated, a killed one goes on from its last checkpoint, and a first dense phase that
        arms share is trained once per seed. A run that fails does not stop the others.

        Raises:
            ValueError: If an argument is wrong, or the folder holds runs of another recipe and not `force`.
            RuntimeError: If another comparison is at work in the folder.
        """
        console = console or Console()
        check_arguments(self.script[1:])
        with locked(self.out) as lock:
            jobs = self.plan(force=force)
            arms = {job.arm: job.options for job in jobs}
            console.print(sharing_text(list(arms), arms, parse_options(self.script[1:])), markup=False, highlight=False)
            names = [arm if isinstance(arm, str) else arm.name for arm in self.arms]
            note_call(self.out, {"arms": names, "seeds": self.seeds}, self.command)
            return run_jobs(jobs, console, lambda job, place: self._train(job, place, lock), at_once=self.at_once)

    def command(self, options: Mapping[str, Mapping[str, Any]], arms: Sequence[str], seeds: Sequence[int]) -> str:
        """The command line that makes such runs; the folder is left to the reader.

        Args:
            options: Arm -> what its runs are given, of all that may be named.
            arms: Their names.
            seeds: One after the other.
        """
        words = ["hf-dsd", "compare"]
        if known := [arm for arm in arms if arm in ARMS]:
            words += ["--arms", *known]
        for arm in arms:
            words += ["--arm", f"{arm}={shlex.join(as_arguments(options[arm]))}"] if arm not in ARMS else []
        words += ["--baseline", self.baseline] if self.baseline != BASELINE else []
        words += ["--seeds", str(len(seeds)), "--first-seed", str(seeds[0])]
        words += ["--num_processes", str(self.num_processes)] if self.num_processes is not None else []
        return shlex.join([*words, "--out", "OUT", "--", *without_secrets(self.script)])

    def plan(self, *, force: bool = False) -> list[Job]:
        """The jobs of all arms and seeds, finished ones included; writes the recipe. Errors as at `run`."""
        recipe = Recipe.from_arguments(self.script[1:]) if "iterative" in self.arms else None
        options = parse_options(self.script[1:])
        kept = is_on(options, "keep_early_stop")
        arms = plan_arms(self.arms, self.baseline, recipe, all_keep_early_stop=kept)
        script = _script_file(self.script)
        modules = module_digests(script)
        base = {
            "script": without_secrets(self.script),  # to be published; another token is no other recipe
            "source": hashlib.sha256(script.read_bytes()).hexdigest(),
            "num_processes": self.num_processes,
            **({"modules": modules} if modules else {}),  # a script without any keeps the digest it always had
        }
        return plan_jobs(self.out, base, arms, self.seeds, options=options, baseline=self.baseline, force=force)

    def _train(self, job: Job, place: int, lock: int | None) -> Training:
        """Runs the script; returns its exit status and last lines if it failed.

        The guardian between it and us ends it when we are gone, however that came. It has a session of its own, so that
        Ctrl-C reaches us alone: closing its input ends the run and everything that this started.
        """
        command = self.launch_command(job)
        guarded = [sys.executable, str(Path(__file__).with_name("guardian.py")), *command]
        environment = {**os.environ, **share_of(place, self.at_once)}
        with job.log.open("a", encoding="utf-8") as log:
            log.write(f"\n$ {shlex.join(without_secrets(command))}\n")
            log.flush()
            process = subprocess.Popen(
                guarded,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=() if lock is None else (lock,),
                env=environment,
                start_new_session=True,
            )
        with process:  # at the end, and when interrupted, its input is closed and it is waited for
            while (code := process.poll()) is None:
                yield
        return None if code == 0 else f"exit status {code}\n{_last_lines(job.log)}"

    def launch_command(self, job: Job) -> list[str]:
        """The command of one run as it stands now."""
        launch = [sys.executable, "-m", "accelerate.commands.launch"]
        if self.num_processes is not None:
            launch += ["--num_processes", str(self.num_processes)]
        if self.at_once > 1:
            launch += ["--main_process_port", "0"]  # a free one: all would listen at the same
        checkpoint, options = job.start()
        own: dict[str, Any] = {**self._saving(), **options, "output_dir": job.folder, "seed": job.seed}
        if checkpoint is not None:
            own["resume_from_checkpoint"] = checkpoint
        return [*launch, *self.script, *as_arguments(own)]

    def _saving(self) -> dict[str, Any]:
        """A checkpoint per epoch, the last one kept, unless the arguments say otherwise."""
        given = parse_options(self.script[1:])
        defaults = {} if "save_steps" in given else {"save_strategy": "epoch"}
        return {name: value for name, value in {**defaults, "save_total_limit": 1}.items() if name not in given}


def compare_script(
    runs: ScriptRuns,
    *,
    force: bool = False,
    split: str | None = None,
    metric: str | None = None,
    greater_is_better: bool | None = None,
    console: Console | None = None,
) -> tuple[Comparison, list[Job]]:
    """Runs all arms and seeds and writes `comparison.json`; returns the comparison and the jobs that failed.

    Args:
        runs: The arms, the seeds and the script.
        force: Remove runs of another recipe instead of refusing.
        split: Which score files to compare (see `Comparison.from_folder`).
        metric: The score to compare; None means the script's headline score.
        greater_is_better: Its direction; None where the score file or its name tells.
        console: Where to show the progress.

    Raises:
        FileNotFoundError: If no run finished.
        ValueError: As `ScriptRuns.run` and `Comparison.from_folder`.
        RuntimeError: As `ScriptRuns.run`.
    """
    failed = runs.run(force=force, console=console)
    comparison = Comparison.from_folder(runs.out, split, metric, greater_is_better=greater_is_better)
    comparison.write(runs.out)
    return comparison, failed


def _script_file(script: Sequence[str]) -> Path:
    if not script:
        raise ValueError("after -- there must be a training script and its arguments, got nothing")
    path = Path(script[0])
    if path.is_file():
        return path
    if path.suffix == ".py":
        raise ValueError(f"the training script {path} is not there: give its path from {Path.cwd()}")
    raise ValueError(
        f"{script[0]!r} is neither an arm ({', '.join(ARMS)}) nor a training script: give arms after --arms, and after "
        "-- the script and its arguments"
    )


_LAUNCHERS_ERRORS = (
    "subprocess.CalledProcessError",
    "torch.distributed.elastic.multiprocessing.errors.ChildFailedError",
)
_LAUNCHERS_LINE = re.compile(r"[WE]\d{4} ")  # torch's log of a process that it ends


def _last_lines(log: Path) -> str:
    """The end of what the script itself said: accelerate's own traceback behind it only says that it failed."""
    lines = [line.rpartition("\r")[2] for line in log.read_text(encoding="utf-8", errors="replace").splitlines()]
    begins = max((index for index, line in enumerate(lines) if line == "Traceback (most recent call last):"), default=0)
    if any(line.startswith(_LAUNCHERS_ERRORS) for line in lines[begins:]):
        lines = lines[:begins]
    while lines and (not lines[-1].strip() or _LAUNCHERS_LINE.match(lines[-1])):
        lines.pop()
    return "\n".join(lines[-LOG_LINES:])


def share_of(place: int, at_once: int) -> dict[str, str]:
    """Environment of the run in one of `at_once` places: its GPUs, or its threads unless the user said how many."""
    if at_once == 1:
        return {}
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    devices = given.split(",") if given else [str(index) for index in range(torch.cuda.device_count())]
    if devices and torch.cuda.is_available():
        own = devices[place::at_once] or [devices[place % len(devices)]]  # fewer GPUs than runs: several share one
        return {"CUDA_VISIBLE_DEVICES": ",".join(own)}
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return {} if "OMP_NUM_THREADS" in os.environ else {"OMP_NUM_THREADS": str(max(cores // at_once, 1))}
