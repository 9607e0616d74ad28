"""Training that is killed at random moments of wall time, resumed, and killed again or not, until it has finished."""

import os
import random
import shutil
import signal
import time
from pathlib import Path

from killed_runs import OPTIONS, content, start, train, training, was_killed, whole


def kill_at_random(folder: Path, count: int, seed: int = 0) -> int:
    """Kills `count` times, prints how many runs finished and differ from the unbroken one, and returns that number."""
    chance = random.Random(seed)
    folder.mkdir(parents=True)
    run, kinds = folder / "run", list(OPTIONS)
    unbroken, seconds = {}, {}
    for kind, options in OPTIONS.items():
        since = time.monotonic()
        unbroken[kind] = whole(training(options), run)
        seconds[kind] = time.monotonic() - since
    kills = finished = wrong = 0
    while kills < count:
        kind = kinds[finished % len(kinds)]
        while _is_killed(run, kind, chance.uniform(0, 1.2 * seconds[kind]) if kills < count else None):
            kills += 1
        found = content(run)
        names = sorted(found.keys() | unbroken[kind].keys())
        differing = [name for name in names if found.get(name) != unbroken[kind].get(name)]
        wrong += bool(differing)
        finished += 1
        if differing:
            print(f"{kind}, after {kills} kills: {differing} differ", flush=True)
        shutil.rmtree(run)
    print(f"killed {kills} times at random, resumed, {finished} runs finished, {wrong} differ", flush=True)
    return wrong


def _is_killed(run: Path, kind: str, moment: float | None) -> bool:
    """Trains for so many seconds, or to the end: False if the run has finished."""
    log = run.with_suffix(".log")
    pid = start(lambda: train(run, OPTIONS[kind]), log)
    deadline = None if moment is None else time.monotonic() + moment
    while True:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return was_killed(status, log)
        if deadline is not None and time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            deadline = None
        time.sleep(0.005)
