"""Two hosts: network namespaces with a cable between them, and one `accelerate launch` on each.

Addresses exist inside the namespaces only. Needs Linux, root and iproute2.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tiny import TinyLSTM

from hf_dsd.engine.mask_file import STATE_FILE_NAME

SCRIPT = Path(__file__).with_name("host_run.py")
SECONDS = 200
PORT = 29517
ADDRESSES = ("10.87.0.1", "10.87.0.2")


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True, timeout=20)


@pytest.fixture(scope="module")
def hosts() -> Iterator[list[str]]:
    """Names of two network namespaces that reach each other over a veth pair, and nothing else."""
    if shutil.which("ip") is None:
        pytest.skip("no `ip` command (iproute2)")
    names = [f"dsd-{os.getpid()}-{i}" for i in range(2)]
    cables = [f"dsd{os.getpid()}-{i}" for i in range(2)]  # at most 15 characters
    made = []
    try:
        try:
            for name in names:
                ip("netns", "add", name)
                made.append(name)
            ip("link", "add", cables[0], "netns", names[0], "type", "veth", "peer", cables[1], "netns", names[1])
        except subprocess.CalledProcessError as error:
            pytest.skip(f"network namespaces are not allowed here: {error.stderr.strip()}")
        for name, cable, address in zip(names, cables, ADDRESSES, strict=True):
            ip("-n", name, "link", "set", cable, "name", "eth0")
            ip("-n", name, "address", "add", f"{address}/24", "dev", "eth0")
            ip("-n", name, "link", "set", "eth0", "up")
            ip("-n", name, "link", "set", "lo", "up")
        yield names
    finally:
        for name in made:
            ip("netns", "delete", name)


def launch_on(host: str, machine_rank: int, folder: Path) -> subprocess.Popen[str]:
    """Starts `accelerate launch` of one process on a host; `--multi_gpu` is how accelerate names its real launcher."""
    command = ["ip", "netns", "exec", host, sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu"]
    command += ["--num_machines", "2", "--num_processes", "2", "--machine_rank", str(machine_rank)]
    command += ["--main_process_ip", ADDRESSES[0], "--main_process_port", str(PORT), "--mixed_precision", "no"]
    command += ["--dynamo_backend", "no", str(SCRIPT), str(folder)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "eth0", "ACCELERATE_USE_CPU": "true"}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.fixture(scope="module")
def ranks(hosts: list[str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("hosts")
    processes = [launch_on(host, machine_rank, folder) for machine_rank, host in enumerate(hosts)]
    try:
        outputs = [process.communicate(timeout=SECONDS)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], "\n".join(outputs)
    return {"folder": folder, "found": [torch.load(folder / f"rank-{rank}.pt") for rank in range(2)]}


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("single")
    subprocess.run([sys.executable, str(SCRIPT), str(folder)], check=True, timeout=SECONDS, capture_output=True)
    return {"folder": folder, "found": [torch.load(folder / "rank-0.pt")]}


def test_there_are_two_hosts(ranks, single):
    networks = {found["network"] for found in ranks["found"] + single["found"]}
    assert len(networks) == 3
    assert [(found["world_size"], found["replicas"]) for found in ranks["found"]] == [(2, 2), (2, 2)]
    assert [(found["world_size"], found["replicas"]) for found in single["found"]] == [(1, None)]


@pytest.mark.parametrize("run", ["weights", "resumed"])
def test_both_hosts_have_the_weights_of_one_process(ranks, single, run):
    for found in ranks["found"]:
        for name, weight in single["found"][0]["weights"].items():
            assert torch.equal(found[run][name], weight), name


@pytest.mark.parametrize("run", ["whole", "resumed"])
def test_checkpoints_hold_the_masks_of_one_process(ranks, single, run):
    for step in (6, 7):
        paths = [hosts["folder"] / run / f"checkpoint-{step}" / STATE_FILE_NAME for hosts in (ranks, single)]
        masks = [load_file(path) for path in paths]
        assert set(masks[0]) == set(TinyLSTM.pruned)
        assert all(torch.equal(masks[0][name], masks[1][name]) for name in masks[1])


def test_drifted_replicas_stop_on_both_hosts(ranks):
    for found in ranks["found"]:
        assert found["drift"].startswith("RuntimeError: the ranks' masks of head.weight differ")
        assert "rank(s) [1] disagree" in found["drift"]
