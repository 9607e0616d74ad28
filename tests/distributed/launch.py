"""Runs a script under `accelerate launch` on processes of this machine."""

import os
import socket
import subprocess
import sys
from pathlib import Path

SECONDS = 200


def launch(processes: int, script: Path, *arguments: object, cpu: bool = True) -> None:
    """Starts the script on `processes` processes and waits for them.

    `--multi_gpu` is how accelerate names the launcher that starts one process per rank; with `--cpu` it starts a single
    process, whatever `--num_processes` says. It refuses to start one process for one device: torchrun does that.

    Raises:
        AssertionError: If a process fails; with what they printed.
    """
    port = str(_free_port())
    accelerate = ["accelerate.commands.launch", "--multi_gpu", "--num_machines", "1", "--mixed_precision", "no"]
    accelerate += ["--dynamo_backend", "no", "--num_processes", str(processes), "--main_process_port", port]
    torchrun = ["torch.distributed.run", "--nproc-per-node", str(processes), "--master-port", port]
    command = [sys.executable, "-m", *(accelerate if cpu else torchrun), str(script), *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", "ACCELERATE_USE_CPU": str(cpu)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=SECONDS)
    assert done.returncode == 0, done.stderr[-6000:]


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
