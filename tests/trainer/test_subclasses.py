"""Trainers with methods of their own: an `evaluate` as in transformers' question answering examples, a scheduler."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tiny import TinyLSTM, arguments, build, classification_rows
from transformers import Trainer

from hf_dsd import DSDMixin, DSDTrainer


class AnsweringTrainer(DSDMixin, Trainer):
    """Evaluates by the loop, and never calls the Trainer's own `evaluate`."""

    def evaluate(self, eval_dataset: Any = None, ignore_keys: Any = None, metric_key_prefix: str = "eval") -> Any:
        loader = self.get_eval_dataloader(eval_dataset)
        metrics = self.evaluation_loop(loader, "Evaluation", metric_key_prefix=metric_key_prefix).metrics
        metrics["eval_f1"] = 100.0 - self.state.global_step  # never better than the first of a phase
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics


def make_trainer(folder: Path, **options: Any) -> AnsweringTrainer:
    rows = classification_rows(24)
    metric = {"metric_for_best_model": "f1", "greater_is_better": True}
    args = arguments(folder, eval_strategy="steps", eval_steps=1, phase_steps=[4, 4, 4], **metric, **options)
    return AnsweringTrainer(build(TinyLSTM), args, train_dataset=rows, eval_dataset=rows[:8])


def test_the_summary_has_the_metrics_of_the_phases_ends(tmp_path: Path) -> None:
    make_trainer(tmp_path).train()
    phases = json.loads((tmp_path / "dsd_summary.json").read_text())["phases"]
    assert [phase["metrics"]["eval_f1"] for phase in phases] == [96.0, 92.0, 88.0]


def test_a_converged_phase_is_left(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, phase_patience=1)
    trainer.train()
    phases = json.loads((tmp_path / "dsd_summary.json").read_text())["phases"]
    assert [(phase["end"], phase["metrics"]["eval_f1"]) for phase in phases] == [(2, 98.0), (4, 96.0), (6, 94.0)]
    assert trainer.state.global_step == 6


def test_a_phase_begins_from_the_best_weights(tmp_path: Path) -> None:
    """The best evaluation is a phase's first; the sparse phase that begins with its weights learns nothing."""
    make_trainer(tmp_path, phase_start="best", phase_learning_rates=[1e-2, 1e-30, 1e-30]).train()
    best, sparse = (
        load_file(tmp_path / name / "model.safetensors") for name in ("phase-0-dense-best-1", "phase-1-sparse")
    )
    kept = sparse["head.weight"] != 0
    assert kept.sum() == pytest.approx(0.5 * kept.numel())
    assert (sparse["head.weight"][kept] == best["head.weight"][kept]).all()


class ConstantTrainer(DSDTrainer):
    """Makes a scheduler of its own, as transformers' documentation shows it: the Trainer's method is not called."""

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        self.lr_scheduler = torch.optim.lr_scheduler.ConstantLR(self.optimizer, factor=1.0)
        return self.lr_scheduler


class PolitelyConstantTrainer(ConstantTrainer):
    """Does what the message asks for."""

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        super().create_scheduler(num_training_steps, optimizer)
        return DSDTrainer.create_scheduler(self, num_training_steps, optimizer)


def test_a_scheduler_made_without_the_engine_is_refused_by_name(tmp_path: Path) -> None:
    rows = classification_rows(24)
    trainer = ConstantTrainer(build(TinyLSTM), arguments(tmp_path), train_dataset=rows)
    with pytest.raises(RuntimeError, match=r"the run of ConstantTrainer has not begun.* super\(\).create_scheduler"):
        trainer.train()
    polite = PolitelyConstantTrainer(build(TinyLSTM), arguments(tmp_path), train_dataset=rows)
    polite.train()
    assert {entry["learning_rate"] for entry in polite.state.log_history if "learning_rate" in entry} == {1e-2}
    assert [phase["name"] for phase in polite.summary.phases] == ["phase-0-dense", "phase-1-sparse", "phase-2-dense"]
