"""Averages over the last phase: right numbers, saved beside the phase, resumable, without a trace on training."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny import TinyCNN, TinyGPT2, TinyLSTM, build, make_trainer
from torch import nn
from transformers import AutoModelForCausalLM, TrainerCallback

from hf_dsd.runs.run import finished_models, finished_phases
from hf_dsd.trainer.weight_averaging import WeightAverages

BOTH = {"weight_averages": ["ema", "swa"]}


class Record(TrainerCallback):
    """Keeps a copy of the model's state after every step of the last phase (steps 8 .. 12)."""

    def __init__(self) -> None:
        self.states: list[dict[str, torch.Tensor]] = []

    def on_step_end(self, args, state, control, model=None, **kwargs):
        if state.global_step > 7:
            self.states.append({name: value.detach().clone() for name, value in model.state_dict().items()})


def train(folder: Path, model: nn.Module, **options: object):
    trainer = make_trainer(folder, model, dsd_control=True, **options)
    trainer.recorded = Record()
    trainer.add_callback(trainer.recorded)
    trainer.train()
    return trainer


@pytest.mark.parametrize("model_class", [TinyLSTM, TinyCNN, TinyGPT2])
def test_the_averages_are_those_of_the_last_phase(tmp_path: Path, model_class: type[nn.Module]) -> None:
    states = train(tmp_path, build(model_class), **BOTH).recorded.states
    assert len(states) == 5
    swa, ema = (load_file(tmp_path / f"phase-2-dense-{kind}" / "model.safetensors") for kind in ("swa", "ema"))
    for name, saved in swa.items():
        values = torch.stack([state[name] for state in states])
        if not saved.is_floating_point():  # a counter is taken as it is
            assert torch.equal(saved, values[-1])
            assert torch.equal(ema[name], values[-1])
            continue
        torch.testing.assert_close(saved, values.double().mean(0).to(saved.dtype), rtol=1e-5, atol=1e-7)
        expected = values[0].double()
        for n, value in enumerate(values[1:], start=1):
            decay = (1 + n) / (10 + n)
            expected = decay * expected + (1 - decay) * value.double()
        torch.testing.assert_close(ema[name], expected.to(saved.dtype), rtol=1e-5, atol=1e-7)
    assert any(not torch.equal(swa[name], ema[name]) for name in swa)


def test_batch_norm_statistics_are_averaged_with_the_weights(tmp_path: Path) -> None:
    states = train(tmp_path, build(TinyCNN), **BOTH).recorded.states
    saved = load_file(tmp_path / "phase-2-dense-swa" / "model.safetensors")["norm.running_mean"]
    means = torch.stack([state["norm.running_mean"] for state in states])
    torch.testing.assert_close(saved, means.mean(0))
    assert not torch.equal(saved, means[-1])


def test_integer_buffers_are_copied_not_rounded() -> None:
    model = nn.Linear(2, 2)
    model.register_buffer("ids", torch.tensor([5, 7]))
    averages = WeightAverages(model, ["ema", "swa"])
    for _ in range(4):
        averages.update()
    for averaged in averages.models.values():
        assert averaged.ids.tolist() == [5, 7]


@pytest.mark.parametrize("model_class", [TinyLSTM, TinyCNN])
def test_training_is_the_same_to_the_bit(tmp_path: Path, model_class: type[nn.Module]) -> None:
    plain = train(tmp_path / "plain", build(model_class))
    averaged = train(tmp_path / "averaged", build(model_class), **BOTH)
    for (name, want), got in zip(plain.model.state_dict().items(), averaged.model.state_dict().values(), strict=True):
        assert torch.equal(got, want), name
    assert [line.get("loss") for line in plain.state.log_history] == [
        line.get("loss") for line in averaged.state.log_history
    ]


@pytest.mark.parametrize("step", [7, 8, 11])
def test_resuming_gives_the_same_averages_to_the_bit(tmp_path: Path, step: int) -> None:
    run = {"save_strategy": "steps", "save_steps": 1, **BOTH}
    torch.manual_seed(0)
    train(tmp_path / "whole", build(TinyLSTM, dropout=0.3), **run)
    resumed = make_trainer(tmp_path / "resumed", build(TinyLSTM, seed=9, dropout=0.3), dsd_control=True, **run)
    resumed.train(resume_from_checkpoint=str(tmp_path / "whole" / f"checkpoint-{step}"))
    for kind in ("ema", "swa"):
        want, got = (
            load_file(tmp_path / run / f"phase-2-dense-{kind}" / "model.safetensors") for run in ("whole", "resumed")
        )
        assert all(torch.equal(got[name], want[name]) for name in want)


def test_resuming_in_the_last_phase_without_averages_is_refused(tmp_path: Path) -> None:
    run = {"save_strategy": "steps", "save_steps": 1}
    train(tmp_path, build(TinyLSTM), **run)
    resumed = make_trainer(tmp_path, build(TinyLSTM), dsd_control=True, **run, **BOTH)
    with pytest.raises(FileNotFoundError, match="has no averages; resume from an earlier one"):
        resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-9"))


def test_averages_are_models_of_the_run(tmp_path: Path) -> None:
    trainer = train(tmp_path, build(TinyGPT2), **BOTH)
    phases = ["phase-0-dense", "phase-1-dense", "phase-2-dense"]
    assert finished_phases(tmp_path) == phases
    assert finished_models(tmp_path) == [*phases[:2], "phase-2-dense-ema", "phase-2-dense-swa", phases[2]]
    last = trainer.evaluate()["eval_loss"]
    trainer.load_phase("phase-2-dense-swa")
    averaged = trainer.evaluate()["eval_loss"]
    trainer.load_phase("phase-2-dense")
    assert trainer.evaluate()["eval_loss"] == last != averaged
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "phase-2-dense-swa")
    assert loaded.lm_head.weight is loaded.transformer.wte.weight  # still tied
    assert json.loads((tmp_path / "dsd_summary.json").read_text())["weight_averages"] == ["ema", "swa"]


def test_an_unknown_average_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="weight_averages must be one of ema, swa, got 'mean'"):
        make_trainer(tmp_path, weight_averages=["mean"])


def test_a_phase_end_is_kept_as_a_checkpoint_outside_the_limit(tmp_path: Path) -> None:
    run = {"save_strategy": "steps", "save_steps": 2, "save_total_limit": 1}
    whole = make_trainer(tmp_path / "whole", build(TinyLSTM), keep_phase_checkpoints=[0], **run)
    whole.train()
    kept = tmp_path / "whole" / "phase-0-dense-checkpoint"
    assert json.loads((kept / "trainer_state.json").read_text())["global_step"] == 3
    assert not (tmp_path / "whole" / "checkpoint-3").exists()
    branched = make_trainer(tmp_path / "branched", build(TinyLSTM, seed=9), **run)
    branched.train(resume_from_checkpoint=str(kept))
    for got, want in zip(branched.model.parameters(), whole.model.parameters(), strict=True):
        assert torch.equal(got, want)
    assert branched.summary.phases[0]["seconds"] == whole.summary.phases[0]["seconds"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"keep_phase_checkpoints": [3]}, r"keep_phase_checkpoints must name phases 0 .. 2, got \[3\]"),
        ({"keep_phase_checkpoints": [0], "save_only_model": True}, "needs full checkpoints"),
    ],
)
def test_wrong_checkpoints_to_keep_are_refused(tmp_path: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_trainer(tmp_path, **options)
