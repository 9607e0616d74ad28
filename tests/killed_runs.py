"""Something that is killed at its k-th file event, and started again; all in forks, so that torch loads once."""

import hashlib
import json
import os
import re
import shutil
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from sys import addaudithook
from typing import Any, NamedTuple

import torch
from tiny import TinyLSTM, build, make_trainer

PLACES = {"os.rename": 2, "os.remove": 1, "os.rmdir": 1, "os.mkdir": 2}
"""Audit event -> where its arguments hold the descriptor of the folder that a path begins from (`shutil.rmtree`'s)."""
ALONE = 60.0
"""Seconds in which a rank must end when another one was killed."""
waited: list[float] = []
"""How many it took, kill after kill."""

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
        "keep_early_stop": True,
        "eval_strategy": "steps",
        "eval_steps": 1,
        "save_strategy": "steps",
        "save_steps": 1,
        "save_total_limit": 1,
    },
}


class Scenario(NamedTuple):
    """What is killed and started again.

    Attributes:
        run: Works in a folder, writing what it prints to a log, until it has ended or is killed at a file event; True
            if it was killed, an AssertionError if it failed.
        prepare: Makes what is there before.
        skipped: Names of files whose content has a clock or a random name in it.
        anywhere: Paths of what may be there or not.
    """

    run: Callable[[Path, int | None, Path], bool]
    prepare: Callable[[Path], object] = lambda folder: None
    skipped: str = r"dsd_files\.json|dsd_masks\.safetensors|dsd_weight_averages\.pt|training_args\.bin"
    anywhere: str = ""


def train(folder: Path, options: dict[str, object], rows: int = 8) -> None:
    """Trains to the end, from the last checkpoint if there is one, in the process that calls."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    has_checkpoint = any((path / "trainer_state.json").exists() for path in folder.glob("checkpoint-*"))
    trainer = make_trainer(folder, build(TinyLSTM, dropout=0.3), rows=rows, **options)
    trainer.train(resume_from_checkpoint=has_checkpoint)


def kill_at(folder: Path, event: int) -> None:
    """Kills this process at its `event`-th change of a file within `folder` from now on."""
    count = 0

    def watch(name: str, arguments: tuple[Any, ...]) -> None:
        nonlocal count
        if name == "open" and set(str(arguments[1] or "r")) & set("wax+"):
            path = str(arguments[0])
        elif name in PLACES:
            base = arguments[PLACES[name]]
            path = os.path.join(os.readlink(f"/proc/self/fd/{base}") if base >= 0 else "", str(arguments[0]))
        else:
            return
        if path.startswith(str(folder)):
            count += 1
            if count == event:
                os.kill(os.getpid(), signal.SIGKILL)

    addaudithook(watch)


def start(work: Callable[[], object], log: Path) -> int:
    """Runs `work` in a fork of this process, which prints into `log`; returns its id."""
    pid = os.fork()
    if pid == 0:
        code: Any = 1
        try:
            with log.open("w") as opened:
                os.dup2(opened.fileno(), 1)
                os.dup2(opened.fileno(), 2)
                work()
            code = 0
        except SystemExit as error:
            code = error.code or 0
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            os._exit(code)
    return pid


def was_killed(status: int, log: Path) -> bool:
    """Reads a wait status.

    Raises:
        AssertionError: If the process failed; with the end of its log.
    """
    assert os.WIFSIGNALED(status) or status == 0, log.read_text()[-1500:]
    return os.WIFSIGNALED(status)


def training(options: dict[str, object]) -> Scenario:
    """A run of one process."""

    def run(folder: Path, event: int | None, log: Path) -> bool:
        def work() -> None:
            if event is not None:
                kill_at(folder, event)
            train(folder, options)

        return was_killed(os.waitpid(start(work, log), 0)[1], log)

    return Scenario(run)


def training_on_two(options: dict[str, object], killed_rank: int) -> Scenario:
    """A run of two processes that talk through gloo; one is killed, and the other must end by itself, in time."""

    def run(folder: Path, event: int | None, log: Path) -> bool:
        port = free_port()

        def work(rank: int) -> None:
            os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
            os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "GLOO_SOCKET_IFNAME": "lo"}
            os.environ["ACCELERATE_USE_CPU"] = "true"
            if event is not None and rank == killed_rank:
                kill_at(folder, event)
            train(folder, options, rows=16)

        logs = [log.with_suffix(f".{rank}.log") for rank in range(2)]
        pids = [start(lambda rank=rank: work(rank), logs[rank]) for rank in range(2)]
        killed = os.WIFSIGNALED(os.waitpid(pids[killed_rank], 0)[1])
        other, since = 1 - killed_rank, time.monotonic()
        status = wait(pids[other], ALONE)
        if killed:
            waited.append(time.monotonic() - since)
        assert status is not None, f"rank {other} hangs {ALONE} s after rank {killed_rank} ended"
        return killed or was_killed(status, logs[other])

    return Scenario(run)


def wait(pid: int, seconds: float) -> int | None:
    """The wait status of a child that ends in time; None, and its end, for one that does not."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return status
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return None


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def content(folder: Path, skipped: str = Scenario._field_defaults["skipped"], anywhere: str = "") -> dict[str, str]:
    """Relative path -> digest of every file, without the clocks and random names that JSON files have in them."""
    found = {}
    for path in sorted(path for path in (folder, *folder.rglob("*")) if path.is_file()):
        name = path.relative_to(folder).as_posix()
        if re.fullmatch(anywhere, name):
            continue
        whole = path.read_bytes()
        if path.suffix == ".json" and not re.fullmatch(skipped, path.name):
            whole = json.dumps(_without_clocks(json.loads(whole))).encode()
        found[name] = "" if re.fullmatch(skipped, path.name) else hashlib.sha256(whole).hexdigest()
    return found


def _without_clocks(value: Any) -> Any:
    if isinstance(value, dict):
        chance = r"seconds|run|command|saved_phases|test_phase-0-dense_.*|.*_runtime|.*_per_second|train_loss|.*digest"
        return {key: _without_clocks(item) for key, item in value.items() if not re.fullmatch(chance, key)}
    return [_without_clocks(item) for item in value] if isinstance(value, list) else value


def whole(scenario: Scenario, folder: Path) -> dict[str, str]:
    """The content of a run that nobody kills; it is made in `folder`, since paths may be in its files, and removed."""
    scenario.prepare(folder)
    assert not scenario.run(folder, None, folder.with_suffix(".log"))
    found = content(folder, scenario.skipped, scenario.anywhere)
    shutil.rmtree(folder)
    return found


def differing(scenario: Scenario, folder: Path, event: int, unbroken: dict[str, str]) -> str | None:
    """Kills a run at an event and starts it again: None if it ends like the unbroken one, else what differs.

    Raises:
        EOFError: If the run ended before that event.
    """
    log = folder.with_suffix(".log")
    scenario.prepare(folder)
    try:
        if not scenario.run(folder, event, log):
            raise EOFError
        assert not scenario.run(folder, None, log)
    except AssertionError as error:
        return str(error)
    found = content(folder, scenario.skipped, scenario.anywhere)
    wrong = [name for name in sorted(found.keys() | unbroken.keys()) if found.get(name) != unbroken.get(name)]
    return f"{wrong} differ" if wrong else None
