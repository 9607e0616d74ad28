"""A run that is killed at its k-th file event, and the run that goes on after it; forked, so that torch loads once."""

import hashlib
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from tiny import TinyLSTM, build, make_trainer

EVENTS = {"open", "os.rename", "os.remove", "os.rmdir", "os.mkdir"}

OPTIONS: dict[str, dict[str, object]] = {
    "iterative": {
        "phase_steps": None,
        "phase_epochs": [1, 1, 1, 1, 1],
        "sparsity": [0.5, 0.25],
        "save_strategy": "epoch",
        "save_total_limit": 1,
        "keep_phase_checkpoints": [0, 1],
    },
    "best": {
        "phase_steps": [2, 2, 2],
        "phase_start": "best",
        "weight_averages": ["ema"],
        "eval_strategy": "steps",
        "eval_steps": 1,
        "save_strategy": "steps",
        "save_steps": 1,
        "save_total_limit": 1,
    },
}


def train(folder: Path, options: dict[str, object], resume: bool) -> None:
    """Trains to the end, in the process that calls."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    has_checkpoint = resume and any((path / "trainer_state.json").exists() for path in folder.glob("checkpoint-*"))
    trainer = make_trainer(folder, build(TinyLSTM, dropout=0.3), rows=8, **options)
    trainer.train(resume_from_checkpoint=has_checkpoint)


def kill_at(folder: Path, event: int) -> None:
    """Kills this process at its `event`-th change of a file within `folder` from now on."""
    count = 0

    def watch(name: str, arguments: tuple[object, ...]) -> None:
        nonlocal count
        if name not in EVENTS or not str(arguments[0]).startswith(str(folder)):
            return
        if name == "open" and not set(str(arguments[1] or "r")) & set("wax+"):
            return
        count += 1
        if count == event:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)


def forked(work: Callable[[], None], log: Path) -> int:
    """Runs `work` in a fork of this process; returns its wait status (0: it ended well)."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            with log.open("w") as opened:
                os.dup2(opened.fileno(), 1)
                os.dup2(opened.fileno(), 2)
                work()
            code = 0
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            os._exit(code)
    return os.waitpid(pid, 0)[1]


def content(folder: Path) -> dict[str, str]:
    """Relative path -> digest of every file whose content has no clock, process or log of means in it."""
    # The averages' archive is named after the process that wrote it; the model they end as is compared.
    clocks = {"dsd_summary.json", "dsd_masks.safetensors", "dsd_state.json", "dsd_files.json", "trainer_state.json"}
    clocks |= {"dsd_weight_averages.pt"}
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "training_args.bin"]
    digests = {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in files if path.name not in clocks}
    return {path.relative_to(folder).as_posix(): digests.get(path, "") for path in files}


def differing(folder: Path, options: dict[str, object], event: int, unbroken: dict[str, str]) -> str | None:
    """Kills a run at an event and resumes it: None if it ends like the unbroken one, else what differs.

    Raises:
        EOFError: If the run ended before that event.
    """

    def killed() -> None:
        kill_at(folder, event)
        train(folder, options, resume=False)

    log = folder.with_suffix(".log")
    if not os.WIFSIGNALED(forked(killed, log)):
        raise EOFError
    if forked(lambda: train(folder, options, resume=True), log):
        return log.read_text()[-600:]
    found = content(folder)
    wrong = [name for name in sorted(found.keys() | unbroken.keys()) if found.get(name) != unbroken.get(name)]
    return f"{wrong} differ" if wrong else None
