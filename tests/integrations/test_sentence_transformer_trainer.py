"""Sentence-transformers' trainer: another way to save, load and compute the loss."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from hf_dsd import DSDArgumentsMixin, DSDMixin

sentence_transformers = pytest.importorskip("sentence_transformers", reason="the integrations extra is not installed")
from sentence_transformers import (  # noqa: E402 (after the check)
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss  # noqa: E402
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer  # noqa: E402


@dataclass
class DSDSentenceArguments(DSDArgumentsMixin, SentenceTransformerTrainingArguments):
    """One of the two lines that a user writes."""


class DSDSentenceTrainer(DSDMixin, SentenceTransformerTrainer):
    """The other line."""


LAYERS = [f"attention.self.{part}" for part in ("query", "key", "value")]
LAYERS += ["attention.output.dense", "intermediate.dense", "output.dense"]
TARGETS = [f"0.model.encoder.layer.0.{layer}.weight" for layer in LAYERS]


@pytest.fixture
def build_sentence_model(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> Callable[[int], SentenceTransformer]:
    """A one-layer BERT with random weights and mean pooling."""

    def build(seed: int = 0) -> SentenceTransformer:
        torch.manual_seed(seed)
        sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
        bert = BertModel(BertConfig(vocab_size=len(tokenizer), max_position_embeddings=16, **sizes))
        for part in (bert, tokenizer):
            part.save_pretrained(tmp_path / f"bert-{seed}")
        transformer = Transformer(str(tmp_path / f"bert-{seed}"), max_seq_length=8)
        transformer.model.pooler.requires_grad_(False)  # mean pooling does not use it
        return SentenceTransformer(modules=[transformer, Pooling(16)], device="cpu")

    return build


@pytest.fixture
def make_trainer(
    build_sentence_model: Callable[[int], SentenceTransformer], texts: list[str], options: dict[str, Any]
) -> Callable[..., DSDSentenceTrainer]:
    def make(seed: int = 0, **changes: Any) -> DSDSentenceTrainer:
        model = build_sentence_model(seed)
        pairs = {"anchor": texts, "positive": [" ".join(reversed(text.split())) for text in texts]}
        data = Dataset.from_dict(pairs)
        return DSDSentenceTrainer(
            model,
            DSDSentenceArguments(**(options | changes)),
            train_dataset=data,
            eval_dataset=data,
            loss=MultipleNegativesRankingLoss(model),
        )

    return make


def zeros(model: torch.nn.Module) -> set[float]:
    return {float((p == 0).float().mean()) for name, p in model.named_parameters() if name in TARGETS}


def test_zeros_and_phases(make_trainer: Callable[..., DSDSentenceTrainer], tmp_path: Path, count_zeros: Any) -> None:
    trainer = make_trainer()
    counted = count_zeros(trainer)
    trainer.train()
    assert [layer["name"] for layer in trainer.summary.phases[1]["layers"]] == TARGETS
    assert [counted.pruned(step) for step in range(1, 13)] == [{0.0}] * 3 + [{0.5}] * 4 + [{0.0}] * 5
    sparse = SentenceTransformer(str(tmp_path / "out" / "phase-1-sparse"), device="cpu")  # with its own files
    assert zeros(sparse) == {0.5}
    assert sparse.encode(["red star"]).shape == (1, 16)


def test_loading_a_phase_is_in_place(make_trainer: Callable[..., DSDSentenceTrainer]) -> None:
    trainer = make_trainer(save_strategy="no")
    trainer.train()
    addresses = [p.data_ptr() for p in trainer.model.parameters()]
    trainer.load_phase("phase-1-sparse")
    assert zeros(trainer.model) == {0.5}
    trainer.load_phase("phase-2-dense")
    assert zeros(trainer.model) == {0.0}
    assert [p.data_ptr() for p in trainer.model.parameters()] == addresses


@pytest.mark.parametrize("step", [5, 7])
def test_resuming(make_trainer: Callable[..., DSDSentenceTrainer], tmp_path: Path, step: int) -> None:
    whole = make_trainer()
    whole.train()
    resumed = make_trainer(seed=5, output_dir=str(tmp_path / "resumed"))
    resumed.train(resume_from_checkpoint=str(tmp_path / "out" / f"checkpoint-{step}"))
    states = [trainer.model.state_dict() for trainer in (whole, resumed)]
    assert all(torch.equal(weight, states[1][name]) for name, weight in states[0].items())
