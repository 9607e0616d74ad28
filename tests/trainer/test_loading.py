"""Weights that come back from a folder are the model's, all of them, or it is said which are not."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from families import TESTED
from safetensors.torch import load_file, save_file
from tiny import TinyCNN, TinyGPT2, TinyLSTM, arguments, build, make_trainer
from torch import Tensor, nn
from torch.nn.parallel import DataParallel
from transformers import GPT2LMHeadModel, TrainerCallback, ViTForImageClassification

from hf_dsd import DSDTrainer
from hf_dsd.report.weights import read_run_weights
from hf_dsd.runs.run import Run
from hf_dsd.runs.weights import open_weights, read_weights
from hf_dsd.trainer.loading import load_weights_

VIT = next(family for family in TESTED if family.name == "ViTForImageClassification")
GPT2 = next(family for family in TESTED if family.name == "GPT2LMHeadModel")


def build_vit(seed: int = 0) -> ViTForImageClassification:
    torch.manual_seed(seed)
    return VIT.build()


def vit_trainer(folder: Path, model: nn.Module | None = None, **options: Any) -> DSDTrainer:
    args = arguments(folder, **({"phase_steps": [2, 2, 2], "remove_unused_columns": False} | options))
    rows = VIT.rows()
    return DSDTrainer(build_vit() if model is None else model, args, train_dataset=rows, eval_dataset=rows[:4])


def state_of(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def assert_equal(got: nn.Module, want: dict[str, Tensor]) -> None:
    found = got.state_dict()
    assert found.keys() == want.keys()
    assert [name for name in want if not torch.equal(found[name], want[name])] == []


@pytest.fixture(scope="module")
def vit(tmp_path_factory: pytest.TempPathFactory) -> DSDTrainer:
    trainer = vit_trainer(tmp_path_factory.mktemp("vit"), weight_averages=["ema"])
    trainer.train()
    return trainer


def test_the_file_of_a_vit_has_other_names_than_the_model(vit: DSDTrainer) -> None:
    stored = load_file(vit.run_folder / "phase-1-sparse" / "model.safetensors")
    assert len(stored.keys() & vit.model.state_dict().keys()) < len(stored) / 2


def test_averages_come_back(vit: DSDTrainer) -> None:
    folder = vit.run_folder / "phase-2-dense-ema"
    vit.load_phase(folder.name)
    assert_equal(vit.model, ViTForImageClassification.from_pretrained(folder).state_dict())


def test_weights_are_read_by_the_models_names(vit: DSDTrainer) -> None:
    for name in ("phase-0-dense", "phase-1-sparse"):
        want = ViTForImageClassification.from_pretrained(vit.run_folder / name).state_dict()
        with open_weights(vit.run_folder / name) as file:
            assert set(file.names()) == set(want)
            assert all(torch.equal(file.read(key), want[key]) for key in want)


def test_the_report_sees_every_pruned_layer(vit: DSDTrainer) -> None:
    found = read_run_weights(Run.read(vit.run_folder))
    (phase,) = found.phases
    assert len(phase.rows) > 5
    for row in phase.rows:
        assert (row.fate.pruned, row.miscounted) == (round(row.actual * row.weights), 0), row.name
    assert all(len(found.moments[row.name]) == 3 for row in phase.rows)


def test_the_best_evaluation_comes_back(tmp_path: Path) -> None:
    options = {"eval_strategy": "steps", "eval_steps": 1, "phase_start": "best", "learning_rate": 0.3}
    trainer = vit_trainer(tmp_path, phase_steps=[4, 2, 2], **options)
    begun: list[dict[str, Tensor]] = []

    class Watch(TrainerCallback):
        """Sees the weights of the sparse phase's first step before they are pruned, as the engine is told of it."""

        def on_step_begin(self, args, state, control, **kwargs):
            if state.global_step == 4:
                trainer.life._return_to_best(trainer.dsd.phase)
                begun.append(state_of(trainer.model))

    trainer.callback_handler.callbacks.insert(0, Watch())
    trainer.train()
    best = next(tmp_path.glob("phase-0-dense-best-*"))  # the rate is so high that the first step is the best
    assert best.name != "phase-0-dense-best-4"
    assert {k: v.tolist() for k, v in begun[0].items()} == {
        k: v.tolist() for k, v in ViTForImageClassification.from_pretrained(best).state_dict().items()
    }


def test_load_best_model_at_end_loads_it(tmp_path: Path) -> None:
    options = {"eval_strategy": "steps", "eval_steps": 1, "save_strategy": "steps", "save_steps": 1}
    trainer = vit_trainer(tmp_path, load_best_model_at_end=True, learning_rate=0.3, **options)
    trainer.train()
    assert trainer.state.best_global_step < 6
    best = trainer.state.best_model_checkpoint
    assert_equal(trainer.model, ViTForImageClassification.from_pretrained(best).state_dict())


def test_places_types_and_gradients_stay(vit: DSDTrainer) -> None:
    model = build_vit(3).to(torch.float64)
    before = [(id(p), p.data_ptr(), p.dtype, p.requires_grad) for p in model.parameters()]
    load_weights_(model, vit.run_folder / "phase-0-dense")
    assert before == [(id(p), p.data_ptr(), p.dtype, p.requires_grad) for p in model.parameters()]
    want = ViTForImageClassification.from_pretrained(vit.run_folder / "phase-0-dense").double()
    assert_equal(model, want.state_dict())


@pytest.mark.parametrize("wrap", [DataParallel, lambda model: torch.compile(model)], ids=["parallel", "compiled"])
def test_wrapped_models(vit: DSDTrainer, wrap: Callable[[nn.Module], nn.Module]) -> None:
    model = build_vit(3)
    load_weights_(wrap(model), vit.run_folder / "phase-0-dense")
    assert_equal(model, ViTForImageClassification.from_pretrained(vit.run_folder / "phase-0-dense").state_dict())


def test_a_compiled_models_phase_is_loadable(tmp_path: Path) -> None:
    model = build_vit()
    trainer = vit_trainer(tmp_path, torch.compile(model, backend="eager"), phase_steps=[1, 1, 1])
    trainer.train()
    assert_equal(model, ViTForImageClassification.from_pretrained(tmp_path / "phase-2-dense").state_dict())
    trainer.load_phase("phase-1-sparse")
    assert_equal(model, ViTForImageClassification.from_pretrained(tmp_path / "phase-1-sparse").state_dict())


def _lose(folder: Path, change: Callable[[dict[str, Tensor]], Any]) -> None:
    stored = load_file(folder / "model.safetensors")
    change(stored)
    save_file(stored, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize("model_class", [TinyLSTM, TinyCNN, TinyGPT2])
def test_what_does_not_come_back_is_named(tmp_path: Path, model_class: type[nn.Module]) -> None:
    trainer = make_trainer(tmp_path, build(model_class), phase_steps=[1, 1, 1])
    trainer.train()
    name = model_class.pruned[-1]
    kept = state_of(trainer.model)
    _lose(tmp_path / "phase-0-dense", lambda stored: stored.pop(name))
    _lose(tmp_path / "phase-1-sparse", lambda stored: stored.update(other=torch.zeros(1)))
    _lose(tmp_path / "phase-2-dense", lambda stored: stored.update({name: torch.zeros(1)}))
    for phase, fault in (("0-dense", f"lacks {name}"), ("1-sparse", "unknown other"), ("2-dense", f"shapes of {name}")):
        with pytest.raises(ValueError, match=fault):
            trainer.load_phase(f"phase-{phase}")
    assert_equal(trainer.model, kept)


def test_a_lost_weight_of_a_vit_is_named_by_the_models_name(tmp_path: Path, vit: DSDTrainer) -> None:
    model = build_vit(3)
    model.save_pretrained(tmp_path)
    _lose(tmp_path, lambda stored: stored.pop(next(name for name in stored if "layer" in name)))
    lost = "|".join(name for name in model.state_dict() if "layers.0" in name)
    with pytest.raises(ValueError, match=lost):
        load_weights_(model, tmp_path)


def test_a_tied_head_is_not_missing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = GPT2.build()
    assert model.lm_head.weight is model.transformer.wte.weight
    model.save_pretrained(tmp_path)
    other = GPT2LMHeadModel(model.config)
    with caplog.at_level(logging.WARNING):
        load_weights_(other, tmp_path)
    assert caplog.records == []
    assert other.lm_head.weight is other.transformer.wte.weight
    assert_equal(other, model.state_dict())
    with open_weights(tmp_path) as file:
        assert torch.equal(file.read("lm_head.weight"), file.read("transformer.wte.weight"))


def test_an_untied_head_that_is_lost_is_missing(tmp_path: Path) -> None:
    model = GPT2.build()
    model.save_pretrained(tmp_path)
    other = GPT2LMHeadModel(model.config)
    other.lm_head.weight = nn.Parameter(torch.zeros_like(other.lm_head.weight))
    with pytest.raises(ValueError, match=r"lacks lm_head\.weight"):
        load_weights_(other, tmp_path)


def test_lost_weights_are_named(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, phase_steps=[1, 1, 1])
    trainer.train()
    (tmp_path / "phase-1-sparse" / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="/phase-1-sparse holds no weights: restore them, or train the phase"):
        trainer.load_phase("phase-1-sparse")


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
@pytest.mark.parametrize("damage", [lambda whole: whole[:-9], lambda whole: b"", lambda whole: b"x" * 99], ids="abc")
def test_damaged_weights_are_named(tmp_path: Path, name: str, damage: Callable[[bytes], bytes]) -> None:
    trainer = make_trainer(tmp_path, phase_steps=[1, 1, 1])
    trainer.train()
    folder = tmp_path / "phase-1-sparse"
    stored = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    save_file(stored, folder / name) if name.startswith("model") else torch.save(stored, folder / name)
    (folder / name).write_bytes(damage((folder / name).read_bytes()))
    with pytest.raises(ValueError, match=rf"/phase-1-sparse/{name} is damaged \(.*\): restore it, or train the phase"):
        trainer.load_phase("phase-1-sparse")


@pytest.mark.parametrize("kind", ["shards", "bin"])
def test_shards_and_former_files(tmp_path: Path, kind: str) -> None:
    model = build_vit()
    model.save_pretrained(tmp_path, max_shard_size="4KB" if kind == "shards" else "50GB")
    if kind == "bin":
        torch.save(load_file(tmp_path / "model.safetensors"), tmp_path / "pytorch_model.bin")
        (tmp_path / "model.safetensors").unlink()
    else:
        assert len(list(tmp_path.glob("model-*.safetensors"))) > 1
    other = build_vit(3)
    load_weights_(other, tmp_path)
    assert_equal(other, model.state_dict())


@pytest.mark.parametrize("mapping", [None, {"^kopf": "classifier"}], ids=["plain", "key_mapping"])
def test_models_that_came_from_a_file(tmp_path: Path, mapping: dict[str, str] | None) -> None:
    """They keep the rules they were loaded by and turn them back at saving, those of the user's own, too."""
    build_vit().save_pretrained(tmp_path / "first")
    if mapping:
        stored = load_file(tmp_path / "first" / "model.safetensors")
        renamed = {name.replace("classifier", "kopf"): tensor for name, tensor in stored.items()}
        save_file(renamed, tmp_path / "first" / "model.safetensors", metadata={"format": "pt"})
    models = [ViTForImageClassification.from_pretrained(tmp_path / "first", key_mapping=mapping) for _ in range(2)]
    assert torch.equal(models[0].classifier.weight, build_vit().classifier.weight)
    with torch.no_grad():
        for parameter in models[0].parameters():
            parameter += 1
    models[0].save_pretrained(tmp_path / "second")
    load_weights_(models[1], tmp_path / "second")
    assert_equal(models[1], models[0].state_dict())


@pytest.mark.parametrize(
    "make_head", [lambda: nn.Sequential(nn.Linear(16, 5), nn.Linear(5, 3)), lambda: nn.Linear(16, 5)]
)
def test_a_changed_model_is_read_as_it_is(tmp_path: Path, make_head: Callable[[], nn.Module]) -> None:
    """A head of the user's own: `from_pretrained` would not know it, the model does."""
    models = [build_vit(seed) for seed in (0, 1)]
    for model in models:
        model.classifier = make_head()
    models[0].save_pretrained(tmp_path)
    load_weights_(models[1], tmp_path)
    assert_equal(models[1], models[0].state_dict())
    with open_weights(tmp_path) as file:
        for name, tensor in models[0].state_dict().items():
            assert torch.equal(file.read(name), tensor), name


class MyViTForImageClassification(ViTForImageClassification):
    """A class of the user's own: transformers converts what it inherits, below the root."""


class Wrapping(nn.Module):
    """No PreTrainedModel, but it holds one: the Trainer saves its state as it is."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = VIT.build()

    def forward(self, pixel_values: Tensor, labels: Tensor) -> dict[str, Tensor]:
        return {"loss": self.inner(pixel_values=pixel_values, labels=labels).loss}


@pytest.mark.parametrize(
    "make", [lambda: MyViTForImageClassification(VIT.build().config), Wrapping], ids=["subclass", "wrapper"]
)
def test_classes_of_the_users_own(tmp_path: Path, make: Callable[[], nn.Module]) -> None:
    def trainer(folder: Path, seed: int) -> DSDTrainer:
        torch.manual_seed(seed)
        return vit_trainer(folder, make(), save_strategy="steps", save_steps=1)

    whole = trainer(tmp_path / "whole", 0)
    whole.train()
    resumed = trainer(tmp_path / "resumed", 5)
    resumed.train(resume_from_checkpoint=str(whole.run_folder / "checkpoint-3"))
    assert_equal(resumed.model, state_of(whole.model))
    whole.load_phase("phase-1-sparse")
    with open_weights(whole.run_folder / "phase-1-sparse") as file:
        for name, tensor in whole.model.state_dict().items():
            assert torch.equal(file.read(name), tensor), name
    zeros = sum(int((p == 0).sum()) for p in whole.model.parameters())
    assert zeros >= sum(layer["pruned"] for layer in whole.summary.phases[1]["layers"]) > 0


def test_a_class_that_is_not_known_is_named(tmp_path: Path) -> None:
    model = build_vit()
    model.save_pretrained(tmp_path)
    config = tmp_path / "config.json"
    config.write_text(config.read_text(encoding="utf-8").replace("ViTForImageClassification", "MyOwnViT"))
    with open_weights(tmp_path) as file:
        assert torch.equal(file.read("classifier.weight"), model.classifier.weight)
        with pytest.raises(ValueError, match="class MyOwnViT is unknown here"):
            assert next(name for name in model.state_dict() if "layers" in name) in file


def test_reading_leaves_the_model_and_the_random_state(vit: DSDTrainer) -> None:
    model = build_vit(3)
    kept, state = state_of(model), torch.get_rng_state()
    read_weights(vit.run_folder / "phase-0-dense", model)
    assert_equal(model, kept)
    assert torch.equal(state, torch.get_rng_state())
