"""Runs a function on several real processes that talk through gloo, and brings back what each of them found."""

import os
import traceback
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

TIMEOUT = 150  # seconds, for a whole run


def run_on_ranks(world_size: int, function: Callable[..., Any], folder: Path, *args: object) -> list[Any]:
    """Calls `function(rank, *args)` on `world_size` processes; returns their results by rank.

    Args:
        world_size: Number of processes; each has one thread.
        function: A function of a module, so that a new process can import it.
        folder: An empty folder for the rendezvous and the results.
        args: Further arguments.

    Raises:
        AssertionError: If a process fails or does not end in time; none is left behind.
    """
    folder.mkdir(parents=True, exist_ok=True)
    context = mp.get_context("forkserver")  # one process imports torch and all, every rank is a fork of it
    context.set_forkserver_preload(["hf_dsd", "torch.distributed.checkpoint"])
    processes = [
        context.Process(target=_run, args=(rank, world_size, function, folder, args)) for rank in range(world_size)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(TIMEOUT)
    alive = [rank for rank, process in enumerate(processes) if process.is_alive()]
    for process in processes:
        process.kill()
        process.join()
    errors = [path.read_text() for path in sorted(folder.glob("error-*"))]
    assert (alive, errors) == ([], []), f"ranks {alive} hung\n" + "\n".join(errors)
    return [torch.load(folder / f"result-{rank}.pt", weights_only=False) for rank in range(world_size)]


def _run(rank: int, world_size: int, function: Callable[..., Any], folder: Path, args: tuple[object, ...]) -> None:
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    torch.set_num_threads(1)
    store = dist.FileStore(str(folder / "rendezvous"), world_size)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=world_size, timeout=timedelta(seconds=60))
    try:
        torch.save(function(rank, *args), folder / f"result-{rank}.pt")
        dist.barrier()
    except BaseException:
        (folder / f"error-{rank}").write_text(f"rank {rank}:\n{traceback.format_exc()}")
        raise
    finally:
        dist.destroy_process_group()


def error_of(function: Callable[[], object]) -> str:
    """The class and message of the error that a call raises, "" if it raises none."""
    try:
        function()
    except (ValueError, RuntimeError) as error:
        return f"{type(error).__name__}: {error}"
    return ""
