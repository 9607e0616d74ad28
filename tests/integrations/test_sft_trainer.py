"""TRL's `SFTTrainer`, of whole models and of LoRA adapters.

TRL trains in bf16 with gradient checkpointing by default, so these runs do.
"""

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from safetensors.torch import load_file
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from hf_dsd import DSDArgumentsMixin, DSDMixin

trl = pytest.importorskip("trl", reason="the integrations extra is not installed")
peft = pytest.importorskip("peft", reason="the integrations extra is not installed")


@dataclass
class DSDSFTConfig(DSDArgumentsMixin, trl.SFTConfig):
    """One of the two lines that a user writes."""


class DSDSFTTrainer(DSDMixin, trl.SFTTrainer):
    """The other line."""


PROJECTIONS = [f"self_attn.{part}_proj" for part in "qkvo"] + [f"mlp.{part}_proj" for part in ("gate", "up", "down")]
TARGETS = [*(f"model.layers.0.{name}.weight" for name in PROJECTIONS), "lm_head.weight"]


def build_llama(seed: int = 0) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1}
    ids = {"vocab_size": 10, "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}
    return LlamaForCausalLM(LlamaConfig(**sizes, **heads, **ids))


@pytest.fixture
def make_trainer(
    tokenizer: PreTrainedTokenizerFast, texts: list[str], options: dict[str, Any]
) -> Callable[..., DSDSFTTrainer]:
    def make(model: Any = None, lora: bool = False, **changes: Any) -> DSDSFTTrainer:
        data = Dataset.from_dict({"text": texts})
        config = peft.LoraConfig(r=4, target_modules=["q_proj", "down_proj"], task_type="CAUSAL_LM") if lora else None
        return DSDSFTTrainer(
            build_llama() if model is None else model,
            DSDSFTConfig(**(options | {"max_length": 8} | changes)),
            train_dataset=data,
            eval_dataset=data,
            processing_class=tokenizer,
            peft_config=config,
        )

    return make


def test_whole_models(make_trainer: Callable[..., DSDSFTTrainer], tmp_path: Path, count_zeros: Any) -> None:
    trainer = make_trainer()
    zeros = count_zeros(trainer)
    trainer.train()
    assert (trainer.args.bf16, trainer.args.activation_checkpointing) == (True, True)
    assert [layer["name"] for layer in trainer.summary.phases[1]["layers"]] == TARGETS
    assert [zeros.pruned(step) for step in range(1, 13)] == [{0.0}] * 3 + [{0.5}] * 4 + [{0.0}] * 5
    sparse = load_file(tmp_path / "out" / "phase-1-sparse" / "model.safetensors")
    assert {int((sparse[name] == 0).sum()) / sparse[name].numel() for name in TARGETS} == {0.5}
    line = next(line for line in trainer.state.log_history if line["step"] == 5)
    assert (line["dsd_phase"], line["dsd_sparsity"]) == (1, 0.5)
    assert line["mean_token_accuracy"] >= 0  # TRL's own numbers are in the same line


def test_whole_models_resume(make_trainer: Callable[..., DSDSFTTrainer], tmp_path: Path) -> None:
    whole = make_trainer()
    whole.train()
    resumed = make_trainer(build_llama(seed=5), output_dir=str(tmp_path / "resumed"))
    resumed.train(resume_from_checkpoint=str(tmp_path / "out" / "checkpoint-5"))
    states = [trainer.model.state_dict() for trainer in (whole, resumed)]
    assert all(torch.equal(weight, states[1][name]) for name, weight in states[0].items())


def test_adapters_stay_dense_unless_asked_for(make_trainer: Callable[..., DSDSFTTrainer]) -> None:
    with pytest.raises(ValueError, match=r"^no parameter is left to prune: .*adapter; .*frozen.*'lora_': 0\.3"):
        make_trainer(lora=True)


def test_adapters_that_are_asked_for(
    make_trainer: Callable[..., DSDSFTTrainer], tmp_path: Path, count_zeros: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "hf_dsd"):
        trainer = make_trainer(lora=True, sparsity_overrides={"lora_": 0.5})
        base = {n: p.detach().clone() for n, p in trainer.model.named_parameters() if "lora_" not in n}
        zeros = count_zeros(trainer)
        trainer.train()
    parts = [f"{layer}.lora_{side}" for layer in ("self_attn.q_proj", "mlp.down_proj") for side in "AB"]
    expected = [f"base_model.model.model.layers.0.{part}.default.weight" for part in parts]
    assert [layer["name"] for layer in trainer.summary.phases[1]["layers"]] == expected
    assert sorted(zeros.steps[5]) == sorted(expected)
    assert [zeros.pruned(step) for step in range(4, 13)] == [{0.5}] * 4 + [{0.0}] * 5
    assert all(torch.equal(p, base[n]) for n, p in trainer.model.named_parameters() if n in base)
    assert "frozen parameter(s)" in caplog.text
    adapter = load_file(tmp_path / "out" / "phase-1-sparse" / "adapter_model.safetensors")
    assert {float((weight == 0).float().mean()) for weight in adapter.values()} == {0.5}
    addresses = [p.data_ptr() for p in trainer.model.parameters()]
    trainer.load_phase("phase-1-sparse")
    loaded = {n: p for n, p in trainer.model.named_parameters() if "lora_" in n}
    assert all(float((p == 0).float().mean()) == 0.5 for p in loaded.values())
    assert [p.data_ptr() for p in trainer.model.parameters()] == addresses


def test_adapters_resume(make_trainer: Callable[..., DSDSFTTrainer], tmp_path: Path) -> None:
    asked = {"lora": True, "sparsity_overrides": {"lora_": 0.5}}
    whole = make_trainer(**asked)
    whole.train()
    resumed = make_trainer(output_dir=str(tmp_path / "resumed"), seed=42, **asked)
    resumed.train(resume_from_checkpoint=str(tmp_path / "out" / "checkpoint-6"))
    states = [trainer.model.state_dict() for trainer in (whole, resumed)]
    assert all(torch.equal(weight, states[1][name]) for name, weight in states[0].items())
    assert json.loads((tmp_path / "resumed" / "dsd_summary.json").read_text())["phases"][1]["finished"] is True


def test_base_weights_beside_adapters(make_trainer: Callable[..., DSDSFTTrainer], count_zeros: Any) -> None:
    """Base weights that are trained beside the adapters are pruned as usual; the adapters stay dense."""
    config = peft.LoraConfig(r=4, target_modules=["q_proj"], modules_to_save=["lm_head"], task_type="CAUSAL_LM")
    model = peft.get_peft_model(build_llama(), config)
    model.base_model.model.model.layers[0].self_attn.o_proj.weight.requires_grad_(True)
    trainer = make_trainer(model)
    zeros = count_zeros(trainer)
    trainer.train()
    kinds = ("lora_A", "lora_B", "o_proj.weight", "modules_to_save")
    found = {kind: [value for name, value in zeros.steps[5].items() if kind in name] for kind in kinds}
    assert found == {"lora_A": [0.0], "lora_B": [0.0], "o_proj.weight": [0.5], "modules_to_save": [0.5]}
