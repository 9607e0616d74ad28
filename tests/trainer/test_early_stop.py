"""`keep_early_stop`: the best evaluation's model over the whole run, resumable, without a trace on training."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny import TinyLSTM, build, make_trainer
from transformers import TrainerCallback

from hf_dsd.runs.run import Run, finished_models

EVERY_STEP = {"eval_strategy": "steps", "eval_steps": 1, "save_strategy": "steps", "save_steps": 1}
# Rates that overshoot: the best evaluation lies inside the run, not at its end.
RATES = {"learning_rate": 0.3, "phase_learning_rates": [0.3, 0.3, 1.0], "lr_scheduler_type": "constant"}


class Record(TrainerCallback):
    """Keeps the weights and the loss of every evaluation."""

    def __init__(self) -> None:
        self.seen: dict[int, tuple[float, dict[str, torch.Tensor]]] = {}

    def on_evaluate(self, args, state, control, model=None, metrics=None, **kwargs):
        weights = {name: value.detach().clone() for name, value in model.state_dict().items()}
        self.seen[state.global_step] = (metrics["eval_loss"], weights)


def train(folder: Path, resume: Path | None = None, **options: object):
    torch.manual_seed(0)
    trainer = make_trainer(folder, build(TinyLSTM, dropout=0.3), **{**RATES, **EVERY_STEP, **options})
    trainer.recorded = Record()
    trainer.add_callback(trainer.recorded)
    trainer.train(resume_from_checkpoint=None if resume is None else str(resume))
    return trainer


def kept(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "phase-2-dense-early" / "model.safetensors")


def equal(got: dict[str, torch.Tensor], want: dict[str, torch.Tensor]) -> bool:
    return got.keys() == want.keys() and all(torch.equal(got[name], want[name]) for name in want)


@pytest.mark.parametrize("control", [True, False])
def test_it_is_the_model_of_the_best_evaluation_of_all_phases(tmp_path: Path, control: bool) -> None:
    trainer = train(tmp_path, dsd_control=control, keep_early_stop=True)
    seen = trainer.recorded.seen
    best = min(seen, key=lambda step: seen[step][0])
    assert best < 12  # else this test would not see a difference
    assert equal(kept(tmp_path), seen[best][1])
    phase = trainer.dsd.schedule.phase_at(best - 1).name
    expected = {"phase": phase, "step": best, "metric": "loss", "value": seen[best][0]}
    assert json.loads((tmp_path / "dsd_summary.json").read_text())["early_stop"] == expected
    assert finished_models(tmp_path)[-2:] == ["phase-2-dense-early", "phase-2-dense"]
    assert not (tmp_path / "early-stop").exists()
    trainer.load_phase("phase-2-dense-early")
    assert trainer.evaluate()["eval_loss"] == pytest.approx(seen[best][0], rel=1e-6)


def test_a_greater_score_can_be_the_better_one(tmp_path: Path) -> None:
    options = {"metric_for_best_model": "accuracy", "greater_is_better": True}
    trainer = make_trainer(tmp_path, keep_early_stop=True, **EVERY_STEP, **options)
    trainer.compute_metrics = lambda evaluation: {"accuracy": -abs(trainer.state.global_step - 5.0)}
    trainer.train()
    found = Run.read(tmp_path).summary["early_stop"]
    assert (found["step"], found["value"], found["metric"]) == (5, 0.0, "accuracy")


def test_training_is_the_same_to_the_bit(tmp_path: Path) -> None:
    plain = train(tmp_path / "plain")
    followed = train(tmp_path / "followed", keep_early_stop=True)
    assert equal(followed.model.state_dict(), plain.model.state_dict())


@pytest.mark.parametrize("step", [1, 4, 7, 11, 12])
def test_resuming_from_any_checkpoint_keeps_the_same_model(tmp_path: Path, step: int) -> None:
    whole = train(tmp_path / "whole", keep_early_stop=True)
    train(tmp_path / "resumed", tmp_path / "whole" / f"checkpoint-{step}", keep_early_stop=True)
    assert equal(kept(tmp_path / "resumed"), kept(tmp_path / "whole"))
    assert Run.read(tmp_path / "resumed").summary["early_stop"] == whole.summary.early_stop
    assert not (tmp_path / "resumed" / "early-stop").exists()


def test_evaluations_that_nobody_followed_are_not_passed_over(tmp_path: Path) -> None:
    train(tmp_path)
    with pytest.raises(FileNotFoundError, match="was trained without keep_early_stop; leave it out"):
        train(tmp_path, tmp_path / "checkpoint-4", keep_early_stop=True)


def test_it_needs_evaluations(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="keep_early_stop need evaluations: set eval_strategy"):
        make_trainer(tmp_path, keep_early_stop=True, eval_strategy="no")
