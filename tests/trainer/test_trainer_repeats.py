"""A trainer that trains more than once: because it is asked to, or because the batch did not fit."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import TinyLSTM, arguments, build, classification_rows, make_trainer
from torch import Tensor
from transformers import TrainerCallback

from hf_dsd import DSDTrainer


class OutOfMemoryLSTM(TinyLSTM):
    """Fails as torch's CPU allocator does on its nth training batch if that has more than three rows."""

    def __init__(self, fails_at: int = 1) -> None:
        super().__init__()
        self.fails_at = fails_at
        self.batches = 0

    def forward(self, x: Tensor, labels: Tensor) -> dict[str, Tensor]:
        self.batches += self.training
        if self.training and len(x) > 3 and self.batches == self.fails_at:
            raise RuntimeError("[enforce fail at alloc_cpu.cpp:121] . DefaultCPUAllocator: can't allocate memory")
        return super().forward(x, labels)


def rates(trainer: DSDTrainer) -> list[float]:
    return [line["learning_rate"] for line in trainer.state.log_history if "learning_rate" in line]


@pytest.mark.parametrize("fails_at", [1, 8], ids=["first-step", "sparse-phase"])
def test_a_smaller_batch_has_longer_phases(tmp_path: Path, fails_at: int) -> None:
    """24 rows are 6 batches of 4, but 8 of 3: phases in epochs follow, their rates and masks with them."""
    trainer = make_trainer(
        tmp_path,
        build(OutOfMemoryLSTM, fails_at=fails_at),
        rows=24,
        phase_steps=None,
        phase_epochs=[1, 1, 1],
        auto_find_batch_size=True,
    )
    trainer.train()
    assert trainer._train_batch_size == 3
    assert [phase.end for phase in trainer.dsd.schedule.phases] == [8, 16, 24]
    assert trainer.state.global_step == 24
    decay = [(8 - step) / 8 for step in range(8)]
    assert rates(trainer) == pytest.approx([peak * factor for peak in (1e-2, 1e-2, 1e-3) for factor in decay])
    phases = json.loads((tmp_path / "dsd_summary.json").read_text())["phases"]
    assert [(phase["start"], phase["end"], phase["finished"]) for phase in phases] == [
        (0, 8, True),
        (8, 16, True),
        (16, 24, True),
    ]
    trainer.load_phase("phase-1-sparse")
    weight = trainer.model.lstm.weight_hh_l1
    assert int((weight == 0).sum()) == weight.numel() // 2


@pytest.mark.parametrize("own_optimizer", [False, True])
def test_a_retry_begins_where_the_run_began(tmp_path: Path, own_optimizer: bool) -> None:
    """After an out-of-memory error in the sparse phase the run equals one that began with the smaller batch."""

    def train(folder: str, batch: int, **options: Any) -> DSDTrainer:
        options |= {"per_device_train_batch_size": batch, "phase_steps": None, "phase_epochs": [1, 1, 1]}
        model = build(OutOfMemoryLSTM, fails_at=8)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2) if own_optimizer else None
        rows = classification_rows(24)
        args = arguments(tmp_path / folder, **options)
        trainer = DSDTrainer(model, args, train_dataset=rows, eval_dataset=rows, optimizers=(optimizer, None))
        trainer.train()
        return trainer

    retried, fresh = train("retried", 4, auto_find_batch_size=True), train("fresh", 3)
    assert retried._train_batch_size == 3
    assert [line["loss"] for line in retried.state.log_history if "loss" in line] == [
        line["loss"] for line in fresh.state.log_history if "loss" in line
    ]
    for (name, got), want in zip(retried.model.named_parameters(), fresh.model.parameters(), strict=True):
        assert torch.equal(got, want), name


def test_the_second_training_follows_the_schedule_again(tmp_path: Path) -> None:
    """The model goes on from where it is; phases, rates, masks and the summary begin anew."""
    trainer = make_trainer(tmp_path)
    trainer.train()
    first, start = rates(trainer), {name: p.clone() for name, p in trainer.model.named_parameters()}
    seen: dict[str, Any] = {}

    class Look(TrainerCallback):
        def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step == 0:
                seen["continues"] = all(torch.equal(p, start[n]) for n, p in trainer.model.named_parameters())
                seen["masks"] = dict(trainer.dsd.masks)

    trainer.add_callback(Look())
    trainer.train()
    assert seen == {"continues": True, "masks": {}}
    assert rates(trainer) == first
    assert len(first) == 12
    assert [(p["start"], p["end"]) for p in trainer.summary.phases] == [(0, 3), (3, 7), (7, 12)]


def test_the_second_training_may_have_other_phases(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path)
    trainer.train()
    with trainer.args.changing_phases():
        trainer.args.phase_steps, trainer.args.sparsity = [0, 2, 1], 0.25
    trainer.train()
    assert [(p.start, p.end, p.sparsity) for p in trainer.dsd.schedule.phases] == [(0, 0, 0), (0, 2, 0.25), (2, 3, 0)]
    assert (trainer.state.global_step, trainer.args.max_steps) == (3, 3)
