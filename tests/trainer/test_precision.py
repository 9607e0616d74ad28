"""Mixed and low precision: masks, clock, rates and resume where weights, gradients or loss have few bits."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import TinyGPT2, TinyLSTM, arguments, build, classification_rows, language_rows, make_trainer
from torch import Tensor, nn
from torch.utils.data import default_collate
from transformers import TrainerCallback

from hf_dsd import DSD, DSDTrainer, Schedule

CHECKPOINTS: dict[str, Any] = {"save_strategy": "steps", "save_steps": 1}


class Fp16Trainer(DSDTrainer):
    """Accelerate's fp16 path, autocast and gradient scaler, on the CPU; chosen steps overflow."""

    overflows: tuple[int, ...] = ()

    def create_accelerator_and_postprocess(self) -> None:
        super().create_accelerator_and_postprocess()
        self.accelerator.native_amp = True  # accelerate would train in fp32 here without a word
        self.accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**8)

    def compute_loss(self, *args: Any, **kwargs: Any) -> Any:
        loss = super().compute_loss(*args, **kwargs)
        return loss * torch.inf if self.model.training and self.state.global_step in self.overflows else loss


class Watch(TrainerCallback):
    """Sparsity of the targets, and one of their weights, after every step."""

    def __init__(self, trainer: DSDTrainer) -> None:
        self.trainer = trainer
        self.zeros: list[float] = []
        self.weights: list[Tensor] = []
        trainer.add_callback(self)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        targets = [p for n, p in self.trainer.model.named_parameters() if n in TinyGPT2.pruned]
        self.zeros.append(sum(int((p == 0).sum()) for p in targets) / sum(p.numel() for p in targets))
        self.weights.append(targets[0].detach().clone())


def make_fp16(folder: Path, seed: int = 0, **options: Any) -> Fp16Trainer:
    rows = language_rows(24)
    trainer = Fp16Trainer(
        build(TinyGPT2, seed=seed), arguments(folder, fp16=True, **options), train_dataset=rows, eval_dataset=rows[:8]
    )
    trainer.overflows = (3, 4, 8)
    return trainer


@pytest.mark.parametrize(
    ("optim", "sparse_rates"),
    [("adamw_torch", [1.0, 1.0, 1.0, 0.75]), ("adamw_torch_fused", [1.0, 0.75, 0.5, 0.25])],
)
def test_skipped_fp16_steps(tmp_path: Path, optim: str, sparse_rates: list[float]) -> None:
    """The first two sparse steps overflow: masks are in force, the clock goes on, the weights wait.

    Accelerate does not decay the rate at a step that was skipped, unless the optimizer's own kernel skips it (fused).
    """
    trainer = make_fp16(tmp_path, optim=optim)
    kinds = []
    trainer.model.transformer.h[0].mlp.c_fc.register_forward_hook(lambda module, i, output: kinds.append(output.dtype))
    watch = Watch(trainer)
    trainer.train()
    assert set(kinds) == {torch.float16}
    assert trainer.accelerator.scaler.get_scale() == 2.0**5  # halved at each of the three overflows
    assert trainer.state.global_step == 12
    assert watch.zeros == [0.0] * 3 + [0.5] * 4 + [0.0] * 5
    kept = watch.weights[3] != 0
    assert torch.equal(watch.weights[3], watch.weights[2] * kept)  # pruned, but not trained
    assert torch.equal(watch.weights[4], watch.weights[3])
    assert not torch.equal(watch.weights[5], watch.weights[4])
    rates = [line["learning_rate"] for line in trainer.state.log_history if "learning_rate" in line]
    assert rates[3:7] == pytest.approx([1e-2 * factor for factor in sparse_rates])
    assert rates[7] == pytest.approx(1e-3)  # the next phase starts on time, at its own peak


@pytest.mark.parametrize("step", [4, 5, 9])
def test_resuming_after_skipped_steps(tmp_path: Path, step: int) -> None:
    whole = make_fp16(tmp_path / "whole", **CHECKPOINTS)
    whole.train()
    resumed = make_fp16(tmp_path / "resumed", seed=5, **CHECKPOINTS)
    resumed.train(resume_from_checkpoint=str(tmp_path / "whole" / f"checkpoint-{step}"))
    assert_equal(whole, resumed)
    assert whole.accelerator.scaler.get_scale() == resumed.accelerator.scaler.get_scale() == 2.0**5


def assert_equal(whole: DSDTrainer, resumed: DSDTrainer) -> None:
    states = [trainer.model.state_dict() for trainer in (whole, resumed)]
    assert all(torch.equal(weight, states[1][name]) for name, weight in states[0].items())
    rates = [trainer.lr_scheduler.get_last_lr() for trainer in (whole, resumed)]
    assert rates[0] == rates[1]


def test_an_overflow_of_a_pruned_weight_is_not_hidden() -> None:
    """Masked gradients keep infinity visible: 0 * inf is NaN, and the scaler skips the step."""
    model = build(TinyLSTM)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    dsd = DSD(model, optimizer, Schedule.from_steps([0, 1, 1], sparsity=0.5))
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**8)
    dsd.begin_step(0)
    scaler.scale(model(**default_collate(classification_rows(8)))["loss"]).backward()
    pruned = (~dsd.masks["head.weight"]).nonzero()[0]
    model.head.weight.grad[tuple(pruned)] = float("inf")
    dsd.mask_gradients()
    before = model.head.weight.clone()
    scaler.step(optimizer)
    scaler.update()
    dsd.optimizer_step()
    assert scaler.get_scale() == 2.0**7
    assert torch.equal(model.head.weight, before)
    assert dsd.revived_weights() == {}


LOW_PRECISION: dict[str, tuple[Callable[[nn.Module], nn.Module], dict[str, Any]]] = {
    "bf16-autocast": (lambda model: model, {"bf16": True}),
    "pure-bf16": (lambda model: model.to(torch.bfloat16), {}),
    "pure-bf16-eval": (lambda model: model.to(torch.bfloat16), {"bf16_full_eval": True}),
}


@pytest.mark.parametrize(("convert", "options"), list(LOW_PRECISION.values()), ids=list(LOW_PRECISION))
def test_bf16_counts_and_resume(
    tmp_path: Path, convert: Callable[[nn.Module], nn.Module], options: dict[str, Any]
) -> None:
    """Few distinct magnitudes mean many ties: the count is exact all the same, and a resume is bit-equal."""
    whole = make_trainer(tmp_path / "whole", convert(build(TinyGPT2)), **CHECKPOINTS, **options)
    watch = Watch(whole)
    whole.train()
    assert watch.zeros[3:7] == [0.5] * 4
    assert watch.zeros[-1] == 0.0
    moments = whole.optimizer.state[whole.model.transformer.h[0].mlp.c_fc.weight]
    assert moments["exp_avg"].dtype == whole.model.transformer.h[0].mlp.c_fc.weight.dtype
    for step in (5, 7):
        resumed = make_trainer(tmp_path / f"resumed-{step}", convert(build(TinyGPT2, seed=5)), **CHECKPOINTS, **options)
        resumed.train(resume_from_checkpoint=str(tmp_path / "whole" / f"checkpoint-{step}"))
        assert_equal(whole, resumed)


def test_bf16_autocast_masks_the_fp32_weights(tmp_path: Path) -> None:
    """The mask is chosen among the weights that the optimizer trains, not their rounded copies."""
    model = build(TinyGPT2)
    trainer = make_trainer(tmp_path, model, phase_steps=[0, 1, 1], bf16=True)
    weight = model.transformer.h[0].mlp.c_fc.weight
    magnitudes = weight.detach().abs().flatten()
    smallest = set(magnitudes.sort(stable=True).indices[: weight.numel() // 2].tolist())
    masks: dict[str, Tensor] = {}

    class Keep(TrainerCallback):
        def on_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            masks.update(trainer.dsd.masks)

    trainer.add_callback(Keep())
    trainer.train()
    pruned = (~masks["transformer.h.0.mlp.c_fc.weight"]).flatten().nonzero().flatten()
    assert set(pruned.tolist()) == smallest
    assert len(magnitudes.bfloat16().unique()) < len(magnitudes.unique())  # the copies would have had ties
