"""Runs a training script for every arm and seed, through `accelerate launch`."""

import hashlib
import shlex
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console

from hf_dsd.runs.privacy import without_secrets

from .arms import ARMS, Recipe, arm_options, as_arguments, check_arguments, check_arms, parse_options
from .comparison import Comparison
from .jobs import Job, RunProgress, locked, run_jobs
from .recipe import module_digests, note_call, plan_jobs

LOG_LINES = 15
"""How many of a failed run's last lines are shown."""


@dataclass(frozen=True)
class ScriptRuns:
    """A training script to be run with every arm and seed.

    Attributes:
        script: The Python file and its arguments, without those of the arms and of the runner. The script must parse
            `DSDTrainingArguments` and pass `resume_from_checkpoint` on to `train()`.
        arms: Keys of `ARMS`.
        seeds: Passed as `--seed`.
        out: Folder of the comparison.
        num_processes: For `accelerate launch`; None leaves it to accelerate's configuration.
    """

    script: Sequence[str]
    arms: Sequence[str]
    seeds: Sequence[int]
    out: Path
    num_processes: int | None = None

    def run(self, *, force: bool = False, console: Console | None = None) -> list[Job]:
        """Runs what has not finished yet; returns the jobs that failed.

        A finished run is never repeated, a killed one goes on from its last checkpoint, and the first dense phase is
        trained once per seed: by DSD, or by the first arm there is. A run that fails does not stop the others.

        Raises:
            ValueError: If an argument is wrong, or the folder holds runs of another recipe and not `force`.
            RuntimeError: If another comparison is at work in the folder.
        """
        console = console or Console()
        check_arguments(self.script[1:])
        with locked(self.out) as lock:
            jobs = self.plan(force=force)
            note_call(self.out, {"arms": self.arms, "seeds": self.seeds}, self.command)
            return run_jobs(jobs, console, lambda job, shown: self._train(job, shown, lock))

    def command(self, arms: Sequence[str], seeds: Sequence[int]) -> str:
        """The command line that makes such runs; the folder is left to the reader."""
        numbers = f"--seeds {len(seeds)} --first-seed {seeds[0]}"
        processes = f" --num_processes {self.num_processes}" if self.num_processes is not None else ""
        script = shlex.join(without_secrets(self.script))
        return f"hf-dsd compare --arms {' '.join(arms)} {numbers}{processes} --out OUT -- {script}"

    def plan(self, *, force: bool = False) -> list[Job]:
        """The jobs of all arms and seeds, finished ones included; writes the recipe. Errors as at `run`."""
        trained = check_arms(self.arms)
        recipe = Recipe.from_arguments(self.script[1:]) if "iterative" in trained else None
        options = {arm: arm_options(arm, self.arms, recipe) for arm in trained}
        script = _script_file(self.script)
        modules = module_digests(script)
        base = {
            "script": without_secrets(self.script),  # to be published; another token is no other recipe
            "source": hashlib.sha256(script.read_bytes()).hexdigest(),
            "num_processes": self.num_processes,
            **({"modules": modules} if modules else {}),  # a script without any keeps the digest it always had
        }
        return plan_jobs(self.out, base, options, self.seeds, force=force)

    def _train(self, job: Job, shown: RunProgress, lock: int | None) -> str | None:
        """Runs the script; returns its exit status and last lines if it failed."""
        code = self._launch(job, shown, lock)
        return None if code == 0 else f"exit status {code}\n{_last_lines(job.log)}"

    def _launch(self, job: Job, shown: RunProgress, lock: int | None) -> int:
        """Starts the script and waits for it; if interrupted, ends it and everything that it started."""
        command = self.launch_command(job)
        with job.log.open("a", encoding="utf-8") as log:
            log.write(f"\n$ {shlex.join(without_secrets(command))}\n")
            log.flush()
            inherited = () if lock is None else (lock,)
            process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, pass_fds=inherited)
            try:
                while True:
                    try:
                        return process.wait(timeout=1)
                    except subprocess.TimeoutExpired:
                        shown.update(job)
            finally:
                _end(process)

    def launch_command(self, job: Job) -> list[str]:
        """The command of one run as it stands now."""
        launch = [sys.executable, "-m", "accelerate.commands.launch"]
        if self.num_processes is not None:
            launch += ["--num_processes", str(self.num_processes)]
        own: dict[str, Any] = {**self._saving(), **job.options, "output_dir": job.folder, "seed": job.seed}
        checkpoint = job.checkpoint()
        if job.shared_checkpoint() is None:  # this arm trains the first phase for the others
            own["keep_phase_checkpoints"] = [0]
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


def _last_lines(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(line.rpartition("\r")[2] for line in lines[-LOG_LINES:])


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends a launcher and its workers: ended alone, it would leave them at work."""
    if process.poll() is not None:
        return
    launcher = psutil.Process(process.pid)
    with suppress(psutil.NoSuchProcess):  # Ctrl-C reaches them, too
        family = [*launcher.children(recursive=True), launcher]
        for member in family:
            with suppress(psutil.NoSuchProcess):
                member.terminate()
        for member in psutil.wait_procs(family, timeout=10)[1]:
            member.kill()
    process.wait()
