"""Schedules that end in a sparse phase, whose model is the result; and a sparse model trained on under its own mask."""

import json
from pathlib import Path

import pytest
import torch
from reference_loop import reference_dsd
from safetensors.torch import load_file, load_model
from test_trainer_equivalence import parameter_groups
from test_trainer_resume import assert_same_run, checkpoint
from tiny import TinyCNN, TinyGPT2, TinyLSTM, arguments, build, make_trainer, rows_for
from torch import nn
from torch.utils.data import default_collate

from hf_dsd import DSD, DSDTrainer, Schedule
from hf_dsd.runs.run import Run, finished_models

ENDS = {"sparse": ([3, 4], [0.5]), "iterative": ([3, 2, 2, 3], [0.75, 0.5])}
SEQUENTIAL = {"train_sampling_strategy": "sequential", "max_grad_norm": 0.1, "weight_decay": 0.1}


def reference(model: nn.Module, phases: list[tuple[int, float, float]], start: int = 0) -> nn.Module:
    """The plain loop over the rows that `make_trainer` has, in their order."""
    rows = rows_for(type(model), 24)
    groups = [[default_collate(rows[i : i + 4])] for i in range(0, 24, 4)] * 4
    optimizer = torch.optim.AdamW(parameter_groups(model, 0.1), lr=1e-2, fused=True)
    model.train()
    reference_dsd(model, lambda b: model(**b)["loss"], groups[start:], optimizer, phases, set(model.pruned), clip=0.1)
    return model


def assert_equal(got: nn.Module, want: nn.Module) -> None:
    for (name, parameter), other in zip(got.named_parameters(), want.parameters(), strict=True):
        assert torch.equal(parameter, other), name


def zeros(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: parameter == 0 for name, parameter in model.named_parameters() if name in type(model).pruned}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("model_class", [TinyLSTM, TinyCNN, TinyGPT2])
def test_equals_the_reference_loop(tmp_path: Path, model_class: type[nn.Module], end: str) -> None:
    lengths, sparsity = ENDS[end]
    trainer = make_trainer(
        tmp_path, build(model_class), phase_steps=lengths, sparsity=sparsity, optim="adamw_torch_fused", **SEQUENTIAL
    )
    trainer.train()
    fractions = [fraction for one in sparsity for fraction in (0.0, one)]
    phases = list(zip(lengths, fractions, [1e-2, 1e-2, 1e-3, 1e-3], strict=False))
    assert_equal(trainer.model, reference(build(model_class), phases))
    pruned = sum(int(mask.sum()) for mask in zeros(trainer.model).values())
    assert trainer.dsd.sparsity == pruned / trainer.dsd.target_weights == pytest.approx(sparsity[-1], abs=0.02)


def test_the_run_knows_that_the_sparse_model_is_its_result(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, phase_steps=[3, 4], eval_strategy="no")
    trainer.train()
    run = Run.read(tmp_path)
    assert (run.arm, run.last_phase, run.is_finished) == ("dsd", "phase-1-sparse", True)
    assert finished_models(tmp_path) == ["phase-0-dense", "phase-1-sparse"]
    assert [(phase["name"], phase["finished"], phase["learning_rate"]) for phase in run.phases] == [
        ("phase-0-dense", True, 1e-2),
        ("phase-1-sparse", True, 1e-2),
    ]
    last = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    for phase, is_sparse in (("phase-0-dense", False), ("phase-1-sparse", True)):
        trainer.load_phase(phase)
        assert any(bool(found.any()) for found in zeros(trainer.model).values()) is is_sparse
    assert all(torch.equal(value, last[name]) for name, value in trainer.model.state_dict().items())


def test_the_dense_control_is_as_long(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, phase_steps=[3, 4], dsd_control=True)
    trainer.train()
    run = Run.read(tmp_path)
    assert [(phase["name"], phase["end"], phase["learning_rate"]) for phase in run.phases] == [
        ("phase-0-dense", 3, 1e-2),
        ("phase-1-dense", 7, 1e-2),
    ]
    assert not any(bool(found.any()) for found in zeros(trainer.model).values())


@pytest.mark.parametrize("step", [2, 3, 5, 7])
def test_resuming_equals_the_unbroken_run(tmp_path: Path, step: int) -> None:
    options = {"phase_steps": [3, 4], "save_strategy": "steps", "save_steps": 1, "weight_averages": ["ema", "swa"]}
    whole = make_trainer(tmp_path / "whole", build(TinyLSTM, dropout=0.3), **options)
    whole.train()
    resumed = make_trainer(tmp_path / "resumed", build(TinyLSTM, seed=9, dropout=0.3), **options)
    resumed.train(resume_from_checkpoint=checkpoint(tmp_path / "whole", step))
    assert_same_run(resumed, whole, step)
    if step < 7:  # at the end nothing is left to train, and no phase is saved again
        for kind in ("ema", "swa"):
            files = [tmp_path / run / f"phase-1-sparse-{kind}/model.safetensors" for run in ("whole", "resumed")]
            pair = [load_file(file) for file in files]
            assert all(torch.equal(pair[0][name], pair[1][name]) for name in pair[0])


@pytest.mark.parametrize("kind", ["ema", "swa"])
def test_averages_under_a_mask_keep_its_zeros(tmp_path: Path, kind: str) -> None:
    trainer = make_trainer(tmp_path, phase_steps=[3, 9], weight_averages=[kind])
    trainer.train()
    averaged = load_file(tmp_path / f"phase-1-sparse-{kind}" / "model.safetensors")
    last = load_file(tmp_path / "phase-1-sparse" / "model.safetensors")
    for name in TinyLSTM.pruned:
        assert torch.equal(averaged[name] == 0, last[name] == 0), name
    assert not torch.equal(averaged["head.weight"], last["head.weight"])


def test_the_sparse_phase_begins_from_the_best_weights(tmp_path: Path) -> None:
    trainer = make_trainer(
        tmp_path,
        phase_steps=[4, 4],
        phase_start="best",
        eval_strategy="steps",
        eval_steps=1,
        phase_learning_rates=[1e-2, 1e-30],
    )
    trainer.train()
    best_step = min((line["eval_loss"], line["step"]) for line in trainer.state.log_history if "eval_loss" in line)[1]
    folder = "phase-0-dense" if best_step >= 4 else f"phase-0-dense-best-{best_step}"
    best, sparse = (load_file(tmp_path / name / "model.safetensors") for name in (folder, "phase-1-sparse"))
    for name in TinyLSTM.pruned:
        kept = sparse[name] != 0
        assert torch.equal(sparse[name][kept], best[name][kept])


# Trained on under its own mask


def sparse_model(folder: Path, sparsity: float = 0.5, **options: object) -> nn.Module:
    """A trained sparse model, as its phase's folder holds it."""
    make_trainer(folder, phase_steps=[3, 4], sparsity=sparsity, **options).train()
    model = build(TinyLSTM, seed=5)
    load_model(model, folder / "phase-1-sparse" / "model.safetensors")
    return model


@pytest.mark.parametrize("criterion", ["magnitude", "random"])
def test_fine_tuning_under_the_own_mask_equals_the_reference_loop(tmp_path: Path, criterion: str) -> None:
    model = sparse_model(tmp_path / "first", mask_criterion=criterion)
    own = {name: mask.clone() for name, mask in zeros(model).items()}
    assert sum(int(mask.sum()) for mask in own.values()) > 100
    expected = build(TinyLSTM)
    expected.load_state_dict(model.state_dict())
    trainer = make_trainer(
        tmp_path / "second", model, phase_steps=[0, 6], mask_criterion="zeros", optim="adamw_torch_fused", **SEQUENTIAL
    )
    trainer.train()
    assert_equal(trainer.model, reference(expected, [(6, 0.5, 1e-2)]))
    for name, mask in zeros(trainer.model).items():
        assert torch.equal(mask, own[name]), name
        assert torch.equal(trainer.dsd.masks[name], ~own[name]), name
    summary = json.loads((tmp_path / "second" / "dsd_summary.json").read_text())
    assert (summary["arm"], summary["mask_criterion"]) == ("dsd", "zeros")


def test_the_own_mask_survives_a_resume_and_ends_dense(tmp_path: Path) -> None:
    model = sparse_model(tmp_path / "first")
    start = {name: value.clone() for name, value in model.state_dict().items()}
    options = {"phase_steps": [0, 3, 3], "mask_criterion": "zeros", "save_strategy": "steps", "save_steps": 1}
    whole = make_trainer(tmp_path / "whole", model, **options)
    whole.train()
    assert not any(bool(found.all()) for found in zeros(whole.model).values())
    other = build(TinyLSTM)
    other.load_state_dict(start)
    resumed = make_trainer(tmp_path / "resumed", other, **options)
    resumed.train(resume_from_checkpoint=checkpoint(tmp_path / "whole", 2))
    assert_same_run(resumed, whole, 2)


def test_another_sparsity_than_the_model_has_is_refused(tmp_path: Path) -> None:
    model = sparse_model(tmp_path / "first")
    trainer = make_trainer(tmp_path / "second", model, phase_steps=[0, 6], sparsity=0.4, mask_criterion="zeros")
    with pytest.raises(
        ValueError,
        match=r"^lstm\.weight_ih_l0 cannot be pruned at optimizer step 0: 40 of its 80 weights are zero, and 32 were "
        r"to be: load the sparse model, and give the sparsity and sparsity_overrides .* \(here 0\.5\)$",
    ):
        trainer.train()


def test_a_dense_model_has_no_mask_of_its_own(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, phase_steps=[0, 6], mask_criterion="zeros")
    with pytest.raises(ValueError, match=r": 0 of its 80 weights are zero, and 40 were to be: "):
        trainer.train()


@pytest.mark.parametrize("lengths", [[3, 4], [3, 4, 5], [0, 4, 5, 6]], ids=str)
def test_zeros_are_those_that_the_model_comes_with(lengths: list[int]) -> None:
    model = build(TinyLSTM)
    with pytest.raises(ValueError, match=r'^mask_criterion="zeros" keeps the zeros .* give phases of lengths 0,S'):
        DSD(model, torch.optim.SGD(model.parameters()), Schedule.from_steps(lengths), mask_criterion="zeros")


class Silent(DSDTrainer):
    """Has a training step of its own, which never calls the one that masks gradients."""

    def training_step(self, model: nn.Module, inputs: dict, num_items_in_batch: object = None) -> torch.Tensor:
        loss = model(**self._prepare_inputs(inputs))["loss"]
        loss.backward()
        return loss.detach()


class Masking(Silent):
    """Does what the message says."""

    def training_step(self, *args: object, **kwargs: object) -> torch.Tensor:
        loss = super().training_step(*args, **kwargs)
        self.dsd.mask_gradients()
        return loss


def test_gradients_that_nobody_masked_are_an_error_at_the_first_step(tmp_path: Path) -> None:
    rows = rows_for(TinyLSTM, 24)
    args = arguments(tmp_path, mask_gradients=True)
    with pytest.raises(RuntimeError, match=r"^mask_gradients=True has masked no gradient: Silent\.training_step "):
        Silent(build(TinyLSTM), args, train_dataset=rows).train()
    Masking(build(TinyLSTM), args, train_dataset=rows).train()
    Silent(build(TinyLSTM), arguments(tmp_path), train_dataset=rows).train()
