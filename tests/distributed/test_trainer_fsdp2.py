"""`DSDTrainer` under accelerate's FSDP2, which shards on accelerators only: `pytest -m gpu`."""

from pathlib import Path
from typing import Any

import pytest
import torch
from fsdp2_run import STATE_DICTS
from launch import launch
from safetensors.torch import load_file
from test_same_result import assert_equal
from tiny import TinyGPT2
from trainer_run import RESUMED_STEP

pytestmark = pytest.mark.gpu
SCRIPT = Path(__file__).with_name("fsdp2_run.py")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    folder = tmp_path_factory.mktemp("fsdp2")
    processes = torch.cuda.device_count()
    launch(processes, SCRIPT, folder, cpu=False)
    files = [folder / f"rank-{rank}.pt" for rank in range(processes)]
    return folder, [torch.load(file, weights_only=False, map_location="cpu") for file in files]


@pytest.mark.parametrize("state_dicts", STATE_DICTS)
def test_zeros_are_exact_after_every_evaluation_and_step(run, state_dicts):
    for found in run[1]:
        assert found[state_dicts]["sharded"]
        for step, zeros in found[state_dicts]["zeros"].items():
            pruned = {name: zeros[name] for name in TinyGPT2.pruned}
            sizes = {name: found[state_dicts]["weights"][name].numel() for name in TinyGPT2.pruned}
            assert pruned == {name: size // 2 if 4 <= step <= 7 else 0 for name, size in sizes.items()}, step


@pytest.mark.parametrize("state_dicts", STATE_DICTS)
def test_a_resumed_run_equals_the_unbroken_one(run, state_dicts):
    for found in run[1]:
        assert min(found[f"{state_dicts} resumed"]["zeros"]) == RESUMED_STEP + 1
        for name, weight in found[state_dicts]["weights"].items():  # a GPU sums gradients in no fixed order
            torch.testing.assert_close(found[f"{state_dicts} resumed"]["weights"][name], weight, rtol=0, atol=1e-4)


@pytest.mark.parametrize("state_dicts", STATE_DICTS)
def test_a_phase_is_a_whole_model_on_disk(run, state_dicts):
    folder, ranks = run
    weights = load_file(folder / state_dicts / "phase-1-sparse/model.safetensors")
    for found in ranks:
        loaded = {name: weight.cpu() for name, weight in found[state_dicts]["loaded"].items()}
        assert_equal(loaded, {name: weights[name] for name in loaded})
