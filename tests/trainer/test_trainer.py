"""What DSDTrainer promises besides equality: zeros, phases, evaluations, files, logs and refusals."""

import dataclasses
import inspect
import json
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tiny import TinyGPT2, TinyLSTM, arguments, build, classification_rows, make_trainer
from torch import nn
from torch.optim.lr_scheduler import LambdaLR
from transformers import (
    GPT2LMHeadModel,
    ProgressCallback,
    Seq2SeqTrainer,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from hf_dsd import DSDMixin, DSDSeq2SeqTrainer, DSDTrainer, DSDTrainingArguments
from hf_dsd.runs.checkpoints import last_whole_checkpoint
from hf_dsd.trainer.callback import DSDCallback


class Watch(TrainerCallback):
    """Records the zeros of the targets after every optimizer step and at every evaluation and save."""

    def __init__(self, trainer: DSDTrainer) -> None:
        self.trainer = trainer
        self.steps: dict[int, float] = {}
        self.evaluations: dict[int, float] = {}
        self.addresses: set[tuple[int, ...]] = set()

    def zeros(self) -> float:
        targets = [p for n, p in self.trainer.model.named_parameters() if n in type(self.trainer.model).pruned]
        return sum(int((p == 0).sum()) for p in targets) / sum(p.numel() for p in targets)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.steps[state.global_step] = self.zeros()
        self.addresses.add(tuple(p.data_ptr() for p in self.trainer.model.parameters()))

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.evaluations[state.global_step] = self.zeros()


def watched(trainer: DSDTrainer) -> Watch:
    watch = Watch(trainer)
    trainer.add_callback(watch)
    trainer.train()
    return watch


def exact_sparsity(model_class: type[nn.Module], sparsity: float) -> float:
    sizes = [p.numel() for n, p in build(model_class).named_parameters() if n in model_class.pruned]
    return sum(round(sparsity * n) for n in sizes) / sum(sizes)


OPTIMIZERS = {
    "sgd-momentum": {"optim": "sgd", "optim_args": "momentum=0.9", "learning_rate": 0.5},
    "adamw": {"optim": "adamw_torch"},
    "adamw-fused": {"optim": "adamw_torch_fused"},
    "adafactor": {"optim": "adafactor"},
    "rmsprop": {"optim": "rmsprop"},
    "bf16": {"bf16": True},
    "compile": {"torch_compile": True, "torch_compile_backend": "aot_eager"},
}


@pytest.mark.parametrize("options", list(OPTIMIZERS.values()), ids=list(OPTIMIZERS))
@pytest.mark.parametrize("accumulation", [1, 5])
def test_pruned_weights_stay_exactly_zero(tmp_path: Path, options: dict[str, Any], accumulation: int) -> None:
    trainer = make_trainer(
        tmp_path,
        rows=56,
        weight_decay=0.1,
        eval_strategy="steps",
        eval_steps=1,
        save_strategy="steps",
        save_steps=1,
        gradient_accumulation_steps=accumulation,
        **options,
    )
    watch = watched(trainer)
    pruned = exact_sparsity(TinyLSTM, 0.5)
    for step in range(1, 13):
        expected = pruned if 4 <= step <= 7 else 0.0
        assert watch.steps[step] == expected, step
        assert watch.evaluations[step] == expected, step
        saved = load_file(tmp_path / f"checkpoint-{step}" / "model.safetensors")
        zeros = sum(int((saved[name] == 0).sum()) for name in TinyLSTM.pruned)
        assert zeros / sum(saved[name].numel() for name in TinyLSTM.pruned) == expected, step
    assert len(watch.addresses) == 1
    assert all(bool((saved[name] != 0).all()) for name in TinyLSTM.pruned)  # everything came back


def test_gradient_checkpointing_changes_nothing(tmp_path: Path) -> None:
    names = [field.name for field in dataclasses.fields(DSDTrainingArguments)]
    option = next(name for name in ("activation_checkpointing", "gradient_checkpointing") if name in names)  # to 5.20
    losses = []
    for checkpointing in (False, True):
        model = build(TinyGPT2)
        trainer = make_trainer(tmp_path, model, **{option: checkpointing})
        watch = watched(trainer)
        assert watch.steps[7] == exact_sparsity(TinyGPT2, 0.5)
        losses.append([line["loss"] for line in trainer.state.log_history if "loss" in line])
    assert losses[0] == losses[1]


def test_masked_gradients_leave_the_clipping_norm(tmp_path: Path) -> None:
    """With `mask_gradients` the reported norm is the kept weights' only, clipping on or off."""
    norms: dict[tuple[bool, float], list[float]] = {}
    for masked in (False, True):
        for clip in (0.0, 1e9):
            trainer = make_trainer(tmp_path, mask_gradients=masked, max_grad_norm=clip)
            trainer.train()
            norms[masked, clip] = [line["grad_norm"] for line in trainer.state.log_history if "grad_norm" in line]
    assert norms[False, 0.0] == norms[False, 1e9]
    assert norms[True, 1e9][:3] == norms[False, 1e9][:3]
    assert norms[True, 1e9][3] < norms[False, 1e9][3]  # the first sparse step has the same weights in both runs
    trainer = make_trainer(tmp_path, mask_gradients=True, max_grad_norm=0.0, optim="sgd")
    kept_at: list[bool] = []

    class Gradients(TrainerCallback):
        def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            gradients = {n: p.grad for n, p in trainer.model.named_parameters()}
            kept_at.append(all(bool((gradients[n][~mask] == 0).all()) for n, mask in trainer.dsd.masks.items()))

    trainer.add_callback(Gradients())
    trainer.train()
    assert kept_at == [True] * 12


def test_logs_carry_the_phase(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, eval_strategy="steps", eval_steps=2)
    trainer.train()
    assert len(trainer.state.log_history) == 12 + 6 + 2 + 1  # losses, evaluations (3 and 7 beside 2, 4, ...), summary
    for line in trainer.state.log_history:
        phase = 0 if line["step"] <= 3 else 1 if line["step"] <= 7 else 2
        assert line["dsd_phase"] == phase, line
        assert line["dsd_sparsity"] == (exact_sparsity(TinyLSTM, 0.5) if phase == 1 else 0.0), line


def test_tensorboard_gets_the_phases(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    make_trainer(tmp_path, report_to=["tensorboard"]).train()
    events = accumulator.EventAccumulator(str(next(tmp_path.rglob("events*")).parent))
    events.Reload()
    values = {event.step: event.value for event in events.Scalars("train/dsd_phase")}
    assert [values[step] for step in range(1, 13)] == [0] * 3 + [1] * 4 + [2] * 5


def test_progress_bar_shows_the_phase(tmp_path: Path) -> None:
    shown = []
    trainer = make_trainer(tmp_path, disable_tqdm=False)
    bar = next(c for c in trainer.callback_handler.callbacks if isinstance(c, ProgressCallback))

    class Read(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            shown.append(bar.training_bar.desc.strip(": "))

    trainer.add_callback(Read())
    trainer.train()
    assert shown == ["phase-0-dense"] * 3 + ["phase-1-sparse 50%"] * 4 + ["phase-2-dense"] * 5


def test_every_phase_ends_with_an_evaluation_and_a_model(tmp_path: Path) -> None:
    model = build(TinyGPT2)
    trainer = make_trainer(tmp_path, model, save_strategy="steps", save_steps=5, save_total_limit=1)
    trainer.train()
    evaluated = [line["step"] for line in trainer.state.log_history if "eval_loss" in line]
    assert evaluated == [3, 7, 12]
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == [
        "checkpoint-12",
        "phase-0-dense",
        "phase-1-sparse",
        "phase-2-dense",
    ]
    sparse = GPT2LMHeadModel.from_pretrained(tmp_path / "phase-1-sparse")
    zeros = {n: int((p == 0).sum()) / p.numel() for n, p in sparse.named_parameters() if n in TinyGPT2.pruned}
    assert set(zeros.values()) == {0.5}
    assert sparse.lm_head.weight is sparse.transformer.wte.weight
    final = GPT2LMHeadModel.from_pretrained(tmp_path / "phase-2-dense")
    assert all(torch.equal(a, b) for a, b in zip(final.parameters(), model.parameters(), strict=True))


def test_loading_a_phase_in_place(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path)
    trainer.train()
    final = {name: weight.clone() for name, weight in trainer.model.state_dict().items()}
    addresses = [p.data_ptr() for p in trainer.model.parameters()]
    trainer.load_phase("phase-1-sparse")
    assert Watch(trainer).zeros() == exact_sparsity(TinyLSTM, 0.5)
    trainer.load_phase("phase-2-dense")
    assert all(torch.equal(weight, final[name]) for name, weight in trainer.model.state_dict().items())
    assert [p.data_ptr() for p in trainer.model.parameters()] == addresses
    with pytest.raises(FileNotFoundError, match=r"holds no finished phase-3-sparse, only \['phase-0-dense',"):
        trainer.load_phase("phase-3-sparse")


def test_saving_does_not_disturb_training(tmp_path: Path) -> None:
    states = []
    for strategy in ("no", "steps"):
        trainer = make_trainer(tmp_path / strategy, save_strategy=strategy, save_steps=1)
        trainer.train()
        states.append(trainer.model.state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_summary(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, sparsity_overrides={"head": 0.2}, seed=7)
    trainer.train()
    trainer.evaluate(metric_key_prefix="test")
    summary = json.loads((tmp_path / "dsd_summary.json").read_text())
    assert (summary["model"], summary["arm"], summary["seed"]) == ("TinyLSTM", "dsd", 7)
    assert [(p["name"], p["start"], p["end"], p["finished"]) for p in summary["phases"]] == [
        ("phase-0-dense", 0, 3, True),
        ("phase-1-sparse", 3, 7, True),
        ("phase-2-dense", 7, 12, True),
    ]
    losses = [line["eval_loss"] for line in trainer.state.log_history if "eval_loss" in line]
    assert [phase["metrics"]["eval_loss"] for phase in summary["phases"]] == losses[:3]
    rates = [line["learning_rate"] for line in trainer.state.log_history if "learning_rate" in line]
    assert [rate for phase in summary["phases"] for _, rate in phase["learning_rates"]] == pytest.approx(rates)
    assert summary["evaluations"]["test_loss"] > 0
    layers = {layer["name"]: layer for layer in summary["phases"][1]["layers"]}
    assert set(layers) == set(TinyLSTM.pruned)
    assert (layers["head.weight"]["pruned"], layers["head.weight"]["sparsity"]) == (6, 0.2)
    assert layers["lstm.weight_ih_l0"]["pruned"] == 40
    assert 0 < layers["head.weight"]["threshold"] < 1
    reasons = {p["name"]: p["dense_reason"] for p in summary["parameters"]}
    assert reasons["head.bias"] == "bias or vector"
    assert reasons["head.weight"] is None
    assert summary["seconds"] == pytest.approx(sum(p["seconds"] for p in summary["phases"]))
    assert summary["versions"]["torch"] == torch.__version__.split("+")[0] or summary["versions"]["torch"]


def test_starting_from_a_trained_model(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, phase_steps=[0, 3, 3])
    watch = watched(trainer)
    assert [watch.steps[s] for s in range(1, 7)] == [exact_sparsity(TinyLSTM, 0.5)] * 3 + [0.0] * 3
    assert not (tmp_path / "phase-0-dense").exists()
    assert [p["name"] for p in json.loads((tmp_path / "dsd_summary.json").read_text())["phases"]] == [
        "phase-1-sparse",
        "phase-2-dense",
    ]


def test_iterative_dsd(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, phase_steps=[2] * 5, sparsity=[0.5, 0.25])
    watch = watched(trainer)
    first, second = exact_sparsity(TinyLSTM, 0.5), exact_sparsity(TinyLSTM, 0.25)
    assert [watch.steps[s] for s in range(1, 11)] == [0, 0, first, first, 0, 0, second, second, 0, 0]
    rates = [line["learning_rate"] for line in trainer.state.log_history if "learning_rate" in line]
    assert rates == pytest.approx([1e-2, 5e-3] * 2 + [1e-3, 5e-4] * 2 + [1e-4, 5e-5])


def test_phases_in_epochs_and_equal_parts(tmp_path: Path) -> None:
    by_epochs = make_trainer(tmp_path, phase_steps=None, phase_epochs=[1, 0.5, 1])  # 6 steps an epoch
    by_epochs.train()
    assert [p.end for p in by_epochs.dsd.schedule.phases] == [6, 9, 15]
    equal = make_trainer(tmp_path, phase_steps=None, num_train_epochs=2)
    equal.train()
    assert [p.end for p in equal.dsd.schedule.phases] == [4, 8, 12]
    assert (by_epochs.state.global_step, equal.state.global_step) == (15, 12)


def test_every_phase_warms_up(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, phase_steps=[4, 4, 4], warmup_steps=2)
    trainer.train()
    rates = [line["learning_rate"] for line in trainer.state.log_history if "learning_rate" in line]
    phase = [0.0, 0.5, 1.0, 0.5]
    assert rates == pytest.approx([1e-2 * f for f in phase] * 2 + [1e-3 * f for f in phase])


def test_redense_regrows_from_zero_with_clean_moments(tmp_path: Path) -> None:
    """At the first re-dense step the pruned weights are zero and so are both of their Adam moments."""
    trainer = make_trainer(tmp_path)
    seen: dict[str, Any] = {}

    class Look(TrainerCallback):
        def on_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step == 6:
                seen["masks"] = {name: mask.clone() for name, mask in trainer.dsd.masks.items()}

        def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step == 7:
                weights = dict(trainer.model.named_parameters())
                for name, mask in seen["masks"].items():
                    moments = trainer.optimizer.state[weights[name]]
                    assert bool((weights[name][~mask] == 0).all())
                    assert bool((moments["exp_avg"][~mask] == 0).all())
                    assert bool((moments["exp_avg_sq"][~mask] == 0).all())
                    assert bool((moments["exp_avg"][mask] != 0).all())
                seen["checked"] = trainer.dsd.masks == {}

    trainer.add_callback(Look())
    trainer.train()
    assert seen["checked"] is True


@pytest.mark.parametrize("greater_is_better", [False, True])
def test_patience_leaves_a_phase(tmp_path: Path, greater_is_better: bool) -> None:
    """A metric that never improves after its first value: two further evaluations, then the phase ends."""
    trainer = make_trainer(
        tmp_path,
        phase_steps=[20, 20, 20],
        eval_strategy="steps",
        eval_steps=2,
        phase_patience=2,
        metric_for_best_model="constant",
        greater_is_better=greater_is_better,
    )
    trainer.compute_metrics = lambda evaluation: {"constant": 1.0}
    watch = watched(trainer)
    assert [(p.start, p.end) for p in trainer.dsd.schedule.phases] == [(0, 6), (6, 12), (12, 18)]
    assert trainer.state.global_step == trainer.state.max_steps == 18
    assert [step for step, zeros in watch.steps.items() if zeros] == [7, 8, 9, 10, 11, 12]
    rates = [line["learning_rate"] for line in trainer.state.log_history if "learning_rate" in line]
    assert [rates[0], rates[6], rates[12]] == pytest.approx([1e-2, 1e-2, 1e-3])  # each phase starts at its own peak
    assert {path.name for path in tmp_path.glob("phase-*")} == {"phase-0-dense", "phase-1-sparse", "phase-2-dense"}
    summary = json.loads((tmp_path / "dsd_summary.json").read_text())
    assert [phase["left_early"] for phase in summary["phases"]] == [True] * 3
    assert all(phase["metrics"]["eval_constant"] == 1.0 for phase in summary["phases"])


def test_phase_start_best_returns_to_the_best_weights(tmp_path: Path) -> None:
    """The metric is best after step 2 of the dense phase: the sparse phase prunes those weights."""
    trainer = make_trainer(
        tmp_path,
        phase_start="best",
        eval_strategy="steps",
        eval_steps=1,
        metric_for_best_model="score",
        greater_is_better=True,
    )
    scores = iter([1.0, 3.0, 2.0] + [0.0] * 20)
    trainer.compute_metrics = lambda evaluation: {"score": next(scores)}
    kept: dict[int, dict[str, torch.Tensor]] = {}

    class Keep(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            kept[state.global_step] = {n: p.detach().clone() for n, p in trainer.model.named_parameters()}

        def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step == 3:
                kept[-1] = {n: p.detach().clone() for n, p in trainer.model.named_parameters()}
                kept[-2] = dict(trainer.dsd.masks)
                assert not any(state for state in trainer.optimizer.state.values())

    trainer.add_callback(Keep())
    trainer.train()
    for name, weight in kept[-1].items():
        mask = kept[-2].get(name, torch.ones_like(weight, dtype=torch.bool))
        assert torch.equal(weight, kept[2][name] * mask), name
    assert not all(torch.equal(kept[2][name], kept[3][name]) for name in kept[2])


@pytest.mark.parametrize("control", [False, True], ids=["dsd", "control"])
def test_a_diverged_run_stops_in_every_arm(tmp_path: Path, control: bool) -> None:
    """In the sparse phase, before the checkpoint of step 6 takes the place of the one of step 4."""
    options = {"save_strategy": "steps", "save_steps": 2, "save_total_limit": 1, "dsd_control": control}
    trainer = make_trainer(tmp_path, **options)

    class Diverge(TrainerCallback):
        def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step == 4:
                trainer.model.head.weight.grad[0, 0] = float("nan")

    trainer.add_callback(Diverge())
    message = r"^training has diverged: .* hold NaN or inf in phase-1-\w+ after step 6 "
    with pytest.raises(RuntimeError, match=message):
        trainer.train()
    assert last_whole_checkpoint(tmp_path) == str(tmp_path / "checkpoint-4")


# Any Trainer, more than once


class Doubling(Trainer):
    """A Trainer subclass with its own loss."""

    def compute_loss(self, model: nn.Module, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        return 2 * super().compute_loss(model, inputs, *args, **kwargs)


class DoublingDSD(DSDMixin, Doubling):
    """The one line that a user writes."""


def test_mixin_over_another_trainer(tmp_path: Path) -> None:
    rows = classification_rows(24)
    plain, doubled = make_trainer(tmp_path), DoublingDSD(build(TinyLSTM), arguments(tmp_path), train_dataset=rows)
    plain.train()
    watch = watched(doubled)
    losses = [next(line["loss"] for line in t.state.log_history if "loss" in line) for t in (plain, doubled)]
    assert losses[1] == pytest.approx(2 * losses[0])
    assert watch.steps[7] == exact_sparsity(TinyLSTM, 0.5)
    assert issubclass(DSDSeq2SeqTrainer, Seq2SeqTrainer)


def test_overriding_optimizer_step(tmp_path: Path) -> None:
    calls = []

    class Counting(DSDTrainer):
        def optimizer_step(self) -> None:
            super().optimizer_step()
            calls.append(self.state.global_step)

    trainer = Counting(
        build(TinyLSTM), arguments(tmp_path, gradient_accumulation_steps=2), train_dataset=classification_rows(24)
    )
    trainer.train()
    assert calls == list(range(12))  # once per optimizer step, not per micro-batch


def test_training_twice(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path)
    calls = []
    original = trainer.optimizer_step
    trainer.optimizer_step = lambda: (calls.append(trainer.state.global_step), original())  # type: ignore[method-assign]
    for _ in range(2):
        watch = Watch(trainer)
        trainer.add_callback(watch)
        trainer.train()
        assert watch.steps[7] == exact_sparsity(TinyLSTM, 0.5)
        assert watch.steps[12] == 0.0
        trainer.remove_callback(watch)
    assert calls == list(range(12)) * 2
    assert sum(isinstance(c, DSDCallback) for c in trainer.callback_handler.callbacks) == 1


def test_auto_find_batch_size_retry(tmp_path: Path) -> None:
    """An out-of-memory error in the sparse phase restarts the run with a smaller batch; the masks start anew."""
    trainer = make_trainer(tmp_path, rows=48, auto_find_batch_size=True)
    watch = Watch(trainer)

    class OutOfMemory(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if trainer._train_batch_size == 4 and state.global_step == 5:
                raise RuntimeError("CUDA out of memory.")

    trainer.add_callback(OutOfMemory())
    trainer.add_callback(watch)
    trainer.train()
    assert trainer._train_batch_size < 4
    assert [step for step, zeros in watch.steps.items() if zeros] == [4, 5, 6, 7]
    assert watch.steps[12] == 0.0


@pytest.mark.parametrize("restore", [False, True])
def test_restoring_callback_states(tmp_path: Path, restore: bool) -> None:
    options = {"save_strategy": "steps", "save_steps": 1, "restore_callback_states_from_checkpoint": restore}
    first = make_trainer(tmp_path / "first", **options)
    first.train()
    second = make_trainer(tmp_path / "second", build(TinyLSTM, seed=5), **options)
    watch = Watch(second)
    second.add_callback(watch)
    second.train(resume_from_checkpoint=str(tmp_path / "first" / "checkpoint-5"))
    assert [step for step, zeros in watch.steps.items() if zeros] == [6, 7]
    states = [t.model.state_dict() for t in (first, second)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


# Refusals


def test_needs_dsd_arguments(tmp_path: Path) -> None:
    plain = TrainingArguments(str(tmp_path), report_to=[], use_cpu=True)
    with pytest.raises(TypeError, match=r"^args must be DSDTrainingArguments, got TrainingArguments"):
        DSDTrainer(build(TinyLSTM), plain, train_dataset=classification_rows(8))


def test_bad_patterns_fail_before_training(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^dense_modules pattern 'haed' matches no parameter; .*'head\.bias'"):
        make_trainer(tmp_path, dense_modules=["haed"])


def test_a_sparsity_that_rounds_to_nothing(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, sparsity=1e-4)
    with pytest.raises(ValueError, match=r"^phase-1-sparse would prune nothing: sparsity 0\.0001 rounds to 0 weights"):
        trainer.train()


def test_nan_at_mask_time_names_parameter_and_step(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path)

    class Poison(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step == 3:
                trainer.model.lstm.weight_hh_l0.data[0, 0] = float("nan")

    trainer.add_callback(Poison())
    with pytest.raises(
        ValueError,
        match=r"^lstm\.weight_hh_l0 cannot be pruned at optimizer step 3: .* got NaN or inf; if the run has diverged",
    ):
        trainer.train()


def test_something_else_that_writes_pruned_weights_is_found(tmp_path: Path) -> None:
    class Careless(DSDTrainer):
        def optimizer_step(self) -> None:
            """Forgets super()."""

    trainer = Careless(build(TinyLSTM), arguments(tmp_path), train_dataset=classification_rows(24))
    with pytest.raises(RuntimeError, match=r"^pruned weights are not zero in phase-1-sparse after step 4 "):
        trainer.train()


def test_own_scheduler(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def trainer(**options: Any) -> DSDTrainer:
        model = build(TinyLSTM)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        scheduler = LambdaLR(optimizer, lambda step: 0.5)
        args = arguments(tmp_path, **options)
        return DSDTrainer(model, args, train_dataset=classification_rows(24), optimizers=(optimizer, scheduler))

    with caplog.at_level(logging.WARNING, "hf_dsd"):
        driven = trainer()
        driven.train()
    assert "the learning rate follows the scheduler you passed" in caplog.text
    assert {line["learning_rate"] for line in driven.state.log_history if "learning_rate" in line} == {0.05}
    assert [phase["learning_rates"] for phase in driven.summary.phases] == [[], [], []]
    with pytest.raises(ValueError, match=r"^phase_learning_rates has no effect with a scheduler of your own"):
        trainer(phase_learning_rates=[1e-2, 1e-2, 1e-3]).train()


def test_frozen_parameters_are_skipped_with_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = build(TinyLSTM)
    model.lstm.weight_ih_l0.requires_grad_(False)
    before = model.lstm.weight_ih_l0.clone()
    with caplog.at_level(logging.INFO, "hf_dsd"):
        make_trainer(tmp_path, model).train()
    lines = [record.message for record in caplog.records if "frozen" in record.message]
    assert lines == ["DSD skips 1 frozen parameter(s): lstm.weight_ih_l0"]
    assert torch.equal(model.lstm.weight_ih_l0, before)


@pytest.mark.parametrize(
    "name",
    [n for n, f in vars(DSDMixin).items() if inspect.isfunction(f) and hasattr(Trainer, n) and n != "__init__"],
)
def test_overrides_take_what_the_parent_takes(name: str) -> None:
    ours = inspect.signature(getattr(DSDMixin, name)).parameters
    if any(p.kind is p.VAR_KEYWORD for p in ours.values()):
        return
    assert list(ours) == list(inspect.signature(getattr(Trainer, name)).parameters)


# What a review found


def test_metrics_stay_what_they_are(tmp_path: Path) -> None:
    """A hyperparameter search adds up whatever `evaluate` returns."""
    trainer = make_trainer(tmp_path)
    trainer.train()
    assert not [key for key in trainer.evaluate() if "dsd" in key]
    assert not [key for key in trainer.summary.phases[0]["metrics"] if "dsd" in key]
    assert "dsd_phase" not in trainer.state.log_history[-1]  # after training the model may be any phase's


def test_epochs_are_evaluated_once_and_before_their_checkpoint(tmp_path: Path) -> None:
    trainer = make_trainer(
        tmp_path,
        phase_steps=None,
        phase_epochs=[1, 1, 1],
        eval_strategy="epoch",
        save_strategy="steps",
        save_steps=6,
    )
    trainer.train()
    assert [line["step"] for line in trainer.state.log_history if "eval_loss" in line] == [6, 12, 18]
    for step in (6, 12, 18):
        state = json.loads((tmp_path / f"checkpoint-{step}" / "trainer_state.json").read_text())
        assert [line["step"] for line in state["log_history"] if "eval_loss" in line][-1] == step


def test_stopping_in_the_sparse_phase_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    trainer = make_trainer(tmp_path)

    class Stop(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            control.should_training_stop = state.global_step == 5

    trainer.add_callback(Stop())
    with caplog.at_level(logging.WARNING, "hf_dsd"):
        trainer.train()
    assert "training stopped in phase-1-sparse at step 5 of 12" in caplog.text
    phases = json.loads((tmp_path / "dsd_summary.json").read_text())["phases"]
    assert [(p["name"], p["finished"]) for p in phases] == [("phase-0-dense", True), ("phase-1-sparse", False)]


def test_the_best_models_phase_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    options = {"eval_strategy": "steps", "save_strategy": "steps", "eval_steps": 1, "save_steps": 1}
    trainer = make_trainer(
        tmp_path, load_best_model_at_end=True, metric_for_best_model="score", greater_is_better=True, **options
    )
    scores = iter([0.0] * 4 + [1.0] + [0.0] * 20)
    trainer.compute_metrics = lambda evaluation: {"score": next(scores)}
    with caplog.at_level(logging.WARNING, "hf_dsd"):
        trainer.train()
    assert "took the model of step 5, in phase-1-sparse: its pruned weights are zero" in caplog.text
    summary = json.loads((tmp_path / "dsd_summary.json").read_text())
    assert summary["best_model"] == {"phase": "phase-1-sparse", "step": 5}


def test_sparsity_that_rounds_to_nothing_later_fails_at_once(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, phase_steps=[2] * 5, sparsity=[0.5, 1e-4])
    with pytest.raises(ValueError, match=r"^phase-3-sparse would prune nothing"):
        trainer.train()
    assert trainer.state.global_step == 0


def test_phases_of_an_earlier_run_do_not_count(tmp_path: Path) -> None:
    make_trainer(tmp_path).train()
    control = make_trainer(tmp_path, dsd_control=True)
    control.train()
    assert (tmp_path / "phase-1-sparse").is_dir()
    with pytest.raises(
        FileNotFoundError, match=r"holds no finished phase-1-sparse, only \['phase-0-dense', 'phase-1-d"
    ):
        control.load_phase("phase-1-sparse")


def test_random_masks_follow_the_seed(tmp_path: Path) -> None:
    masks = []
    for seed in (1, 2):
        trainer = make_trainer(tmp_path, mask_criterion="random", seed=seed, phase_steps=[0, 1, 1])

        class Keep(TrainerCallback):
            def on_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
                masks.append(trainer.dsd.masks.get("lstm.weight_hh_l0"))  # noqa: B023 (used within the iteration)

        trainer.add_callback(Keep())
        trainer.train()
    assert not torch.equal(masks[0], masks[2])


def test_rates_that_disagree_with_the_users_optimizer(tmp_path: Path) -> None:
    model = build(TinyLSTM)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    trainer = DSDTrainer(
        model, arguments(tmp_path), train_dataset=classification_rows(24), optimizers=(optimizer, None)
    )
    with pytest.raises(ValueError, match=r"^learning_rate is 0\.01 but your optimizer was built with \[0\.1\]"):
        trainer.train()


def test_optimizers_that_evaluate_other_weights(tmp_path: Path) -> None:
    class TwoFaced(torch.optim.SGD):
        def train(self) -> None: ...

        def eval(self) -> None: ...

    model = build(TinyLSTM)
    optimizer = TwoFaced(model.parameters(), lr=1e-2)
    trainer = DSDTrainer(
        model, arguments(tmp_path), train_dataset=classification_rows(24), optimizers=(optimizer, None)
    )
    with pytest.raises(ValueError, match=r"^TwoFaced evaluates other weights than it trains"):
        trainer.train()


def test_tied_plain_modules_fail_at_once(tmp_path: Path) -> None:
    class Tied(TinyLSTM):
        def __init__(self) -> None:
            super().__init__()
            self.again = nn.Linear(10, 3)
            self.again.weight = self.head.weight

    with pytest.raises(ValueError, match=r"^Tied ties weights and is no PreTrainedModel"):
        make_trainer(tmp_path, build(Tied))


def test_processes_that_would_train_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`accelerate launch` without GPUs: no process joins a group unless it is told to use the CPU."""
    args = arguments(tmp_path)
    for name, value in {"WORLD_SIZE": "2", "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=r"^2 processes were launched but each would train alone.*--use_cpu true"):
        DSDTrainer(build(TinyLSTM), args, train_dataset=classification_rows(24))


def test_secrets_are_left_out_of_the_summary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["run.py", "--hub_token", "hf_SECRET", "--api-key=hf_SECRET", "--seed", "1"])
    make_trainer(tmp_path).train()
    summary = json.loads((tmp_path / "dsd_summary.json").read_text())
    assert summary["command"] == ["run.py", "--hub_token", "***", "--api-key=***", "--seed", "1"]
