"""DeepSpeed ZeRO 1, 2 and 3 on two gloo processes, by a loop and by the Trainer."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tiny import TinyGPT2, arguments, build, language_rows

from hf_dsd import DSDTrainer

pytest.importorskip("deepspeed", reason="the deepspeed extra is not installed")

HERE = Path(__file__).parent
ZERO3 = {"stage": 3, "stage3_param_persistence_threshold": 0, "stage3_gather_16bit_weights_on_model_save": True}


def launch(script: str, *options: object, processes: int = 2, **variables: str) -> str:
    """Runs a script of this folder on gloo processes and returns what it printed."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    path = os.pathsep.join([str(HERE.parent), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "DS_ACCELERATOR": "cpu", "PYTHONPATH": path, **variables}
    command = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={processes}", f"--master-port={port}"]
    done = subprocess.run(
        [*command, HERE / script, *map(str, options)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_a_loop_under_every_stage_equals_the_plain_engine(tmp_path: Path) -> None:
    """Bit for bit, through both phase changes, with parts of every matrix on both ranks."""
    launch("zero_loop.py", tmp_path)
    for rank in (0, 1):
        runs: dict[str, Any] = json.loads((tmp_path / f"rank-{rank}.json").read_text())
        assert list(runs) == ["1-0", "2-0", "3-0", "3-100000"]
        for stage, steps in runs.items():
            assert [step["difference"] for step in steps] == [0.0] * 12, stage
            assert all(step["same_masks"] and step["revived"] == 0 for step in steps), stage
            assert [step["sparsity"] for step in steps] == [0.0] * 3 + [0.5] * 4 + [0.0] * 5, stage


def weights_of(folder: Path, ranks: int) -> dict[str, torch.Tensor]:
    final = torch.load(folder / "final.pt")
    assert final["ranks"] == ranks
    return dict(final["weights"])


def sparsities(folder: Path) -> set[float]:
    saved = load_file(folder / "model.safetensors")
    return {float((saved[name] == 0).float().mean()) for name in TinyGPT2.pruned}


def test_the_trainer_on_two_ranks_by_accelerate(tmp_path: Path) -> None:
    """Trains ZeRO 3, saves phases that load anywhere, resumes at the end of the sparse phase."""
    config = tmp_path / "zero3.json"
    auto = ["train_micro_batch_size_per_gpu", "gradient_accumulation_steps", "gradient_clipping"]
    config.write_text(json.dumps({**dict.fromkeys(auto, "auto"), "zero_optimization": ZERO3}))
    by_accelerate = {"ACCELERATE_USE_DEEPSPEED": "true", "ACCELERATE_DEEPSPEED_CONFIG_FILE": str(config)}
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    launch("zero_trainer.py", whole, 3, **by_accelerate)
    assert sparsities(whole / "phase-1-sparse") == {0.5}
    assert sparsities(whole / "phase-2-dense") == {0.0}
    launch("zero_trainer.py", resumed, 3, whole / "checkpoint-7", **by_accelerate)
    final, again = weights_of(whole, 2), weights_of(resumed, 2)
    assert all(torch.equal(weight, again[name]) for name, weight in final.items())


def test_the_trainer_by_its_argument_equals_the_plain_one(tmp_path: Path) -> None:
    """ZeRO 1 on one rank: DSDTrainer's weights up to DeepSpeed's own way to clip; resumed, the same bits."""
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    launch("zero_trainer.py", whole, 1, processes=1)
    launch("zero_trainer.py", resumed, 1, whole / "checkpoint-7", processes=1)
    final, again = weights_of(whole, 1), weights_of(resumed, 1)
    model, rows = build(TinyGPT2), language_rows(96)
    args = arguments(tmp_path / "plain", optim="adamw_torch")
    DSDTrainer(model, args, train_dataset=rows, eval_dataset=rows[:8]).train()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(final[name], parameter.detach(), rtol=0.0, atol=2e-5)
        assert torch.equal(again[name], final[name]), name
