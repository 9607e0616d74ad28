"""A step in parts is the whole step, whatever a model does with the number of items that it is told."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from families import TESTED
from tiny import CLASSES, FEATURES, TinyGPT2, arguments, build, classification_rows, language_rows
from torch import Tensor, nn
from transformers import GPT2LMHeadModel, Trainer, TrainerCallback, TrainingArguments

from hf_dsd import DSDTrainer


class Drops(nn.Module):
    """Takes any keyword and drops it, as every ResNet of transformers does; batch norm and dropout besides."""

    reduction, divides = "mean", False

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(FEATURES, momentum=0.5)
        self.head = nn.Linear(FEATURES, CLASSES)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, labels: Tensor, **kwargs: Any) -> dict[str, Tensor]:
        self.norm(x.transpose(1, 2))  # moves its statistics, not the loss
        logits = self.head(self.dropout(x.mean(dim=1)))
        reduction = "sum" if self.divides and "num_items_in_batch" in kwargs else self.reduction
        loss = nn.functional.cross_entropy(logits, labels, reduction=reduction)
        return {"loss": loss / kwargs.get("num_items_in_batch", 1) if self.divides else loss, "logits": logits}


class Sums(Drops):
    reduction = "sum"


class Divides(Drops):
    divides = True


class FirstStep(TrainerCallback):
    """The gradient of the first step."""

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, model: nn.Module, **kwargs: Any) -> None:
        if state.global_step == 0:
            self.gradients = [p.grad.clone() for p in model.parameters() if p.grad is not None]


def first_step(
    folder: Path, model: nn.Module, parts: int, rows: list[dict[str, Tensor]] | None = None, **options: Any
) -> tuple[DSDTrainer, list[Tensor]]:
    own = {key: options.pop(key) for key in ("compute_loss_func",) if key in options}
    sizes = {"per_device_train_batch_size": 8 // parts, "gradient_accumulation_steps": parts, "max_grad_norm": 0.0}
    args = arguments(folder, phase_steps=[1, 1, 1], optim="sgd", remove_unused_columns=False, **sizes, **options)
    step = FirstStep()
    trainer = DSDTrainer(model, args, train_dataset=rows or classification_rows(8), callbacks=[step], **own)
    trainer.train()
    return trainer, step.gradients


def assert_same_step(folder: Path, make: Any, **options: Any) -> DSDTrainer:
    (whole, one), (parts, four) = [first_step(folder, make(), parts, **options) for parts in (1, 4)]
    torch.testing.assert_close(four, one, rtol=1e-4, atol=1e-6)
    logged = [trainer.state.log_history[0]["loss"] for trainer in (whole, parts)]
    assert logged[1] == pytest.approx(logged[0], rel=1e-4)
    return parts


@pytest.mark.parametrize("model_class", [Drops, Sums, Divides])
def test_a_step_in_parts_equals_the_whole(tmp_path: Path, model_class: type[nn.Module]) -> None:
    trainer = assert_same_step(tmp_path, lambda: build(model_class))
    assert trainer.model_accepts_loss_kwargs is (model_class is not Drops)


def test_it_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for model_class, times in ((Drops, 1), (Divides, 0)):
        caplog.clear()
        first_step(tmp_path, build(model_class), 4)
        assert sum("num_items_in_batch" in record.getMessage() for record in caplog.records) == times


def _ignores(outputs: Any, labels: Tensor, num_items_in_batch: Any = None) -> Tensor:
    return nn.functional.cross_entropy(outputs["logits"], labels)


def _divides(outputs: Any, labels: Tensor, num_items_in_batch: Any = None) -> Tensor:
    return nn.functional.cross_entropy(outputs["logits"], labels, reduction="sum") / num_items_in_batch


class Logits(nn.Module):
    """Leaves the loss to a function of the user's own."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(FEATURES, CLASSES)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"logits": self.head(x.mean(dim=1))}


@pytest.mark.parametrize("loss", [_ignores, _divides])
def test_a_loss_function_of_the_users_own(tmp_path: Path, loss: Any) -> None:
    assert_same_step(tmp_path, lambda: build(Logits), compute_loss_func=loss)


def test_label_smoothing(tmp_path: Path) -> None:
    vit = next(family for family in TESTED if family.name == "ViTForImageClassification")

    def make() -> nn.Module:
        torch.manual_seed(0)
        return vit.build()

    assert_same_step(tmp_path, make, rows=vit.rows(), label_smoothing_factor=0.1)


def test_a_models_own_mode_is_not_taken_for_an_evaluation(tmp_path: Path) -> None:
    """`from_pretrained` gives models in evaluation mode, and a step sets it only after the trial."""
    assert_same_step(tmp_path, lambda: build(Sums).eval())


def test_the_trial_leaves_no_trace(tmp_path: Path) -> None:
    """Weights, statistics and random states are those of a run that was told the answer."""
    found = []
    for told in (False, True):
        model = build(Drops, dropout=0.5)
        if told:
            model.accepts_loss_kwargs = False
        random.seed(1)
        np.random.seed(1)
        trainer, gradients = first_step(tmp_path, model, 4)
        state = [*trainer.model.state_dict().values(), *gradients, torch.get_rng_state()]
        found.append((state, random.getstate(), np.random.get_state()[1].tolist()))
    assert all(torch.equal(a, b) for a, b in zip(found[0][0], found[1][0], strict=True))
    assert found[0][1:] == found[1][1:]


@pytest.mark.parametrize("make", [lambda: build(Divides), lambda: GPT2LMHeadModel(build(TinyGPT2).config)])
def test_where_the_plain_trainer_is_right_it_is_equal_to_the_bit(tmp_path: Path, make: Any) -> None:
    same = {"lr_scheduler_type": "constant", "gradient_accumulation_steps": 3}
    ours = arguments(tmp_path, phase_steps=[1, 1, 1], sparsity=0.0, phase_learning_rates=[1e-2] * 3, **same)
    theirs = TrainingArguments(
        str(tmp_path),
        max_steps=3,
        learning_rate=1e-2,
        per_device_train_batch_size=4,
        save_strategy="no",
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
        **same,
    )
    states = []
    for trainer_class, args in ((DSDTrainer, ours), (Trainer, theirs)):
        torch.manual_seed(0)
        model = make()
        rows = classification_rows(36) if isinstance(model, Drops) else language_rows(36)
        trainer = trainer_class(model, args, train_dataset=rows)
        trainer.train()
        states.append(trainer.model.state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
