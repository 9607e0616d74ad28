"""DSDTrainer does what the paper's Algorithm 1 does, bit for bit, and nothing more."""

from functools import partial
from pathlib import Path

import pytest
import torch
from reference_loop import reference_dsd
from tiny import TinyCNN, TinyGPT2, TinyLSTM, arguments, build, make_trainer, rows_for
from torch.utils.data import default_collate
from transformers import Trainer, TrainingArguments

from hf_dsd import DSDTrainer

PHASES = [(3, 0.0, 1e-2), (4, 0.5, 1e-2), (5, 0.0, 1e-3)]
OPTIMIZERS = {
    "sgd-momentum": ({"optim": "sgd", "optim_args": "momentum=0.9"}, partial(torch.optim.SGD, momentum=0.9)),
    "adamw-fused": ({"optim": "adamw_torch_fused"}, partial(torch.optim.AdamW, fused=True)),
}


def parameter_groups(model: torch.nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """The Trainer's grouping: no decay for biases and norms."""
    decayed = [p for n, p in model.named_parameters() if "bias" not in n and "norm" not in n and "ln_" not in n]
    rest = [p for p in model.parameters() if not any(p is q for q in decayed)]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": rest, "weight_decay": 0.0}]


@pytest.mark.parametrize("optimizer", list(OPTIMIZERS))
@pytest.mark.parametrize("accumulation", [1, 3])
@pytest.mark.parametrize("model_class", [TinyLSTM, TinyGPT2, TinyCNN])
def test_equals_the_reference_loop(
    tmp_path: Path, model_class: type[torch.nn.Module], accumulation: int, optimizer: str
) -> None:
    rows = rows_for(model_class, 4 * 7)  # 7 micro-batches an epoch: with accumulation 3 the last step has one
    options, optimizer_class = OPTIMIZERS[optimizer]
    trained, expected = build(model_class), build(model_class)
    args = arguments(
        tmp_path,
        gradient_accumulation_steps=accumulation,
        max_grad_norm=0.1,  # small enough to clip at every step
        weight_decay=0.1,
        train_sampling_strategy="sequential",
        **options,
    )
    trainer = DSDTrainer(trained, args, train_dataset=rows)
    trainer.train()

    batches = [default_collate(rows[i : i + 4]) for i in range(0, len(rows), 4)]
    epoch = [batches[i : i + accumulation] for i in range(0, len(batches), accumulation)]
    groups = (epoch * 12)[:12]
    reference = optimizer_class(parameter_groups(expected, 0.1), lr=1e-2)
    expected.train()
    reference_dsd(
        expected, lambda b: expected(**b)["loss"], groups, reference, PHASES, set(model_class.pruned), clip=0.1
    )
    for (name, got), want in zip(trained.named_parameters(), expected.parameters(), strict=True):
        assert torch.equal(got, want), name
    state, wanted = trainer.optimizer.state_dict()["state"], reference.state_dict()["state"]
    for index in wanted:
        for key, value in wanted[index].items():
            assert value is None or torch.equal(state[index][key], value), (index, key)


def piecewise_linear(step: int) -> float:
    """The factor of the phases' learning rates (3, 4, 5 steps at 1, 1, 1/10), written out."""
    for start, steps, peak in ((0, 3, 1.0), (3, 4, 1.0), (7, 5, 0.1)):
        if step < start + steps:
            return peak * (start + steps - step) / steps
    return 0.0


@pytest.mark.parametrize("arm", [{"sparsity": 0.0}, {"dsd_control": True}], ids=["sparsity-0", "control"])
def test_without_masks_equals_the_plain_trainer(tmp_path: Path, arm: dict[str, object]) -> None:
    rows = rows_for(TinyLSTM, 24)
    ours = make_trainer(
        tmp_path / "ours", build(TinyLSTM, dropout=0.3), weight_decay=0.1, optim="adamw_torch_fused", **arm
    )
    ours.eval_dataset = None  # a Trainer's evaluation draws random numbers, which would move the dropout that follows
    ours.train()
    rates = [line["learning_rate"] for line in ours.state.log_history if "learning_rate" in line]

    model = build(TinyLSTM, dropout=0.3)
    optimizer = torch.optim.AdamW(parameter_groups(model, 0.1), lr=1e-2, fused=True)
    given = iter([*rates[1:], 0.0])

    class GivenRates(torch.optim.lr_scheduler.LRScheduler):
        def get_lr(self) -> list[float]:
            rate = rates[0] if self.last_epoch == 0 else next(given)
            return [rate for _ in self.optimizer.param_groups]

    plain_args = TrainingArguments(
        str(tmp_path / "plain"),
        max_steps=12,
        per_device_train_batch_size=4,
        logging_steps=1,
        save_strategy="no",
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
    )
    plain = Trainer(model, plain_args, train_dataset=rows, optimizers=(optimizer, GivenRates(optimizer)))
    plain.train()
    assert rates == pytest.approx([1e-2 * piecewise_linear(step) for step in range(12)], rel=1e-12)
    losses = [[line["loss"] for line in t.state.log_history if "loss" in line] for t in (ours, plain)]
    assert losses[0] == losses[1]
    for (name, got), want in zip(ours.model.named_parameters(), model.parameters(), strict=True):
        assert torch.equal(got, want), name


def test_two_runs_are_bitwise_identical(tmp_path: Path) -> None:
    models = []
    for run in ("a", "b"):
        trainer = make_trainer(tmp_path / run, build(TinyLSTM, dropout=0.3))
        trainer.train()
        models.append(trainer.model.state_dict())
    assert all(torch.equal(models[0][name], models[1][name]) for name in models[0])
