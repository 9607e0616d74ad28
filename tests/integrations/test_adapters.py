"""PEFT's adapters on a model whose file has other names than the model, and none of them lost on the way back."""

from pathlib import Path

import pytest
import torch
from families import TESTED
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from tiny import arguments
from torch import Tensor, nn

from hf_dsd import DSDTrainer

VIT = next(family for family in TESTED if family.name == "ViTForImageClassification")


def make_trainer(folder: Path, seed: int) -> DSDTrainer:
    torch.manual_seed(0)
    model = VIT.build()
    torch.manual_seed(seed)
    lora = LoraConfig(r=4, target_modules="all-linear", modules_to_save=["classifier"], init_lora_weights=False)
    options = {"phase_steps": [2, 2, 2], "save_strategy": "steps", "save_steps": 1, "remove_unused_columns": False}
    return DSDTrainer(get_peft_model(model, lora), arguments(folder, **options), train_dataset=VIT.rows())


def state_of(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def test_adapters_come_back(tmp_path: Path) -> None:
    whole = make_trainer(tmp_path / "whole", 0)
    whole.train()
    last = state_of(whole.model)
    for step in (1, 3, 5):
        resumed = make_trainer(tmp_path / f"from-{step}", 5)
        resumed.train(resume_from_checkpoint=str(whole.run_folder / f"checkpoint-{step}"))
        assert all(torch.equal(tensor, last[name]) for name, tensor in resumed.model.state_dict().items())
    whole.load_phase("phase-0-dense")
    assert any(not torch.equal(tensor, last[name]) for name, tensor in whole.model.state_dict().items())
    whole.load_phase("phase-2-dense")
    assert all(torch.equal(tensor, last[name]) for name, tensor in whole.model.state_dict().items())


def test_a_lost_adapter_is_named(tmp_path: Path) -> None:
    whole = make_trainer(tmp_path, 0)
    whole.train()
    file = tmp_path / "phase-0-dense" / "adapter_model.safetensors"
    stored = load_file(file)
    name = next(iter(stored))
    del stored[name]
    save_file(stored, file, metadata={"format": "pt"})
    with pytest.raises(ValueError, match=f"lacks {name}"):
        whole.load_phase("phase-0-dense")
