"""Checkpoints that version 0.1.0 wrote, all of its state in the header of the masks' file, are resumed to its end.

That version's code wrote `old_checkpoints/`: `trainer-5` (sparse) and `trainer-9` (dense) by a DSDTrainer whose last
weights are `trainer-end.safetensors`, `loop-3` (sparse) and `loop-6` (dense) by a hand-written loop that ended in
`loop-end.safetensors`.
"""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny import TinyLSTM, build, classification_rows, make_trainer
from torch import nn
from torch.utils.data import default_collate

from hf_dsd import DSD, Schedule
from hf_dsd.engine.mask_file import META_FILE_NAME, read_state_file

OLD = Path(__file__).parent / "old_checkpoints"


def assert_weights(model: nn.Module, file: Path) -> None:
    """Equal up to the order in which another machine adds."""
    for name, expected in load_file(file).items():
        torch.testing.assert_close(model.get_parameter(name).detach(), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("step", [3, 6])
def test_a_loop_goes_on(step: int) -> None:
    model = build(TinyLSTM, seed=9)
    model.load_state_dict(load_file(OLD / f"loop-{step}" / "model.safetensors"))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    dsd = DSD(model, optimizer, Schedule.from_steps([2, 3, 2], sparsity=0.5))
    assert dsd.load(OLD / f"loop-{step}") == {}
    assert set(dsd.masks) == (set(TinyLSTM.pruned) if step == 3 else set())
    for later in range(step, 7):
        dsd.begin_step(later)
        model(**default_collate(classification_rows(8, later)))["loss"].backward()
        optimizer.step()
        dsd.optimizer_step()
        optimizer.zero_grad()
    dsd.finish()
    assert_weights(model, OLD / "loop-end.safetensors")


@pytest.mark.parametrize("wrong", [1, 2, 6, 7])
def test_a_step_outside_the_phase_is_refused(wrong: int) -> None:
    """An old state knows its phase, not its step."""
    model = build(TinyLSTM)
    model.load_state_dict(load_file(OLD / "loop-3" / "model.safetensors"))
    dsd = DSD(model, torch.optim.SGD(model.parameters(), lr=0.1), Schedule.from_steps([2, 3, 2], sparsity=0.5))
    dsd.load(OLD / "loop-3")
    with pytest.raises(ValueError, match=rf"^begin_step\({wrong}\)"):
        dsd.begin_step(wrong)


@pytest.mark.parametrize("step", [5, 9])
def test_a_trainer_goes_on(tmp_path: Path, step: int) -> None:
    checkpoint = shutil.copytree(OLD / f"trainer-{step}", tmp_path / f"checkpoint-{step}")
    options = {"save_strategy": "steps", "save_steps": 1, "weight_decay": 0.1, "phase_patience": 9}
    options |= {"reset_optimizer_state": "masked", "eval_strategy": "steps", "eval_steps": 1}
    trainer = make_trainer(tmp_path, build(TinyLSTM, seed=9), **options)
    trainer.train(resume_from_checkpoint=str(checkpoint))
    assert_weights(trainer.model, OLD / "trainer-end.safetensors")
    summary = json.loads((tmp_path / "dsd_summary.json").read_text())
    run = read_state_file(OLD / f"trainer-{step}")[1]["extra"]["summary"]["run"]
    assert summary["run"] == run
    assert [phase["finished"] for phase in summary["phases"]] == [True] * 3
    _, state = read_state_file(tmp_path / "checkpoint-12")
    assert (state["phase"], state["step"], state["extra"]["summary"]["run"]) == (2, 12, run)
    assert (tmp_path / "checkpoint-12" / META_FILE_NAME).is_file()
