"""The landscape of a real, tiny run: its ends are the models' own losses, and batch norm is not interpolated."""

import json

import pytest
import torch
from safetensors.torch import load_file
from tiny import TinyCNN, TinyLSTM, build, make_trainer

from hf_dsd.report import Landscape, measure_run_landscape
from hf_dsd.report.measure_landscape import _refuse_sharded, batch_norms, copy_weights_, recompute_statistics_


def test_the_ends_are_the_losses_that_the_trainer_evaluates(tmp_path):
    trainer = make_trainer(tmp_path, build(TinyLSTM, dropout=0.3))
    trainer.train()
    before = {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}
    evaluations = dict(trainer.summary.evaluations)
    found = measure_run_landscape(trainer, trainer.eval_dataset, points=3, radii=(0.1,), directions=1)
    assert Landscape.read(tmp_path) == found
    assert list(found.losses) == ["phase-0-dense", "phase-1-sparse", "phase-2-dense"]
    at_ends = {phase["name"]: phase["metrics"]["eval_loss"] for phase in trainer.summary.phases}
    assert found.losses == pytest.approx(at_ends, rel=1e-6)
    for line in found.lines:
        assert (line.losses[0], line.losses[-1]) == (found.losses[line.start], found.losses[line.end])
    weights = {name: load_file(tmp_path / name / "model.safetensors") for name in found.losses}
    first, last = weights["phase-0-dense"], weights["phase-2-dense"]
    copy_weights_(trainer.model, {name: (first[name] + last[name]) / 2 for name in first})
    assert found.lines[-1].losses[1] == pytest.approx(trainer.evaluate()["eval_loss"], rel=1e-5)
    copy_weights_(trainer.model, before)
    assert found.batch_norm == ""
    assert evaluations == {}
    assert json.loads((tmp_path / "dsd_summary.json").read_text())["evaluations"].keys() >= {"eval_loss"}


def test_the_model_is_as_before(tmp_path):
    trainer = make_trainer(tmp_path, build(TinyCNN))
    trainer.train()
    before = {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}
    pointers = {name: tensor.data_ptr() for name, tensor in trainer.model.named_parameters()}
    random_state = torch.random.get_rng_state()
    found = measure_run_landscape(trainer, trainer.eval_dataset, points=2, radii=(0.1,), directions=1)
    assert found.batch_norm == "statistics computed anew from 6 training batches for every loss"
    assert all(torch.equal(tensor, before[name]) for name, tensor in trainer.model.state_dict().items())
    assert pointers == {name: tensor.data_ptr() for name, tensor in trainer.model.named_parameters()}
    assert trainer.model.norm.momentum == 0.1
    assert trainer.summary.evaluations == {}
    assert torch.equal(torch.random.get_rng_state(), random_state)


def test_statistics_are_the_plain_means_over_the_batches(tmp_path):
    trainer = make_trainer(tmp_path, build(TinyCNN))
    model = trainer.model
    batches = list(trainer.get_train_dataloader())[:3]
    inputs = [model.conv1(batch["x"].transpose(1, 2)) for batch in batches]
    model.norm.running_mean.fill_(99.0)  # what was there before does not count
    recompute_statistics_(trainer, model, batch_norms(model), batches, seed=0)
    means = torch.stack([x.mean(dim=(0, 2)) for x in inputs]).mean(dim=0)
    variances = torch.stack([x.transpose(0, 1).flatten(1).var(dim=1) for x in inputs]).mean(dim=0)
    assert torch.allclose(model.norm.running_mean, means, atol=1e-6)
    assert torch.allclose(model.norm.running_var, variances, atol=1e-6)


def test_parameters_that_lie_elsewhere_are_refused():
    """As under ZeRO 3, which leaves empty parameters behind."""
    with pytest.raises(ValueError, match="^the landscape needs whole parameters, but w is sharded over processes"):
        _refuse_sharded({"w": torch.empty(0)})


def test_a_run_without_a_finished_phase_has_no_landscape(tmp_path):
    trainer = make_trainer(tmp_path)
    with pytest.raises(FileNotFoundError, match="holds no finished phase: train before you measure the landscape$"):
        measure_run_landscape(trainer, trainer.eval_dataset)
