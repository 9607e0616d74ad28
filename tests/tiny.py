"""Models and data small enough to train in milliseconds."""

import json
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    Wav2Vec2Config,
    Wav2Vec2CTCTokenizer,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2ForCTC,
    Wav2Vec2Processor,
)

from hf_dsd import DSDTrainer, DSDTrainingArguments

VOCABULARY, TIME, FEATURES, CLASSES = 11, 6, 4, 3


class TinyLSTM(nn.Module):
    """A two-layer bidirectional LSTM classifier: several masked matrices in one module."""

    pruned = tuple(f"lstm.weight_{kind}_l{n}{d}" for n in (0, 1) for d in ("", "_reverse") for kind in ("ih", "hh"))
    pruned += ("head.weight",)

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.lstm = nn.LSTM(FEATURES, 5, num_layers=2, bidirectional=True, batch_first=True, dropout=dropout)
        self.head = nn.Linear(10, CLASSES)

    def forward(self, x: Tensor, labels: Tensor) -> dict[str, Tensor]:
        logits = self.head(self.lstm(x)[0].mean(dim=1))
        return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}


class KeywordLSTM(TinyLSTM):
    """Takes any keyword and drops it, as many models do with the number of items they should divide their loss by."""

    def forward(self, x: Tensor, labels: Tensor, **kwargs: object) -> dict[str, Tensor]:
        return super().forward(x, labels)


class TinyCNN(nn.Module):
    """Two convolutions (the first stays dense), batch norm, and a linear head."""

    pruned = ("conv2.weight", "head.weight")

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(FEATURES, 6, 3, padding=1)
        self.norm = nn.BatchNorm1d(6)
        self.conv2 = nn.Conv1d(6, 5, 3)
        self.head = nn.Linear(5, CLASSES)

    def forward(self, x: Tensor, labels: Tensor) -> dict[str, Tensor]:
        y = torch.relu(self.conv2(torch.relu(self.norm(self.conv1(x.transpose(1, 2))))))
        logits = self.head(y.mean(dim=2))
        return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}


class TinyGPT2(GPT2LMHeadModel):
    """GPT-2 with transposed `Conv1D` weights and a tied head, and a loss that is a mean per micro-batch."""

    pruned = tuple(
        f"transformer.h.0.{part}.weight" for part in ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
    )

    def __init__(self, config: GPT2Config | None = None) -> None:
        ids = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": None}
        dropout = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
        sizes = {"vocab_size": VOCABULARY, "n_embd": 8, "n_layer": 1, "n_head": 2, "n_positions": TIME}
        super().__init__(config or GPT2Config(**sizes, **ids, **dropout))

    def forward(self, input_ids: Tensor, labels: Tensor) -> dict[str, Tensor]:
        return {"loss": super().forward(input_ids=input_ids, labels=labels).loss}


def classification_rows(rows: int, seed: int = 0) -> list[dict[str, Tensor]]:
    """Random sequences with random labels."""
    generator = torch.Generator().manual_seed(seed)
    return [
        {"x": torch.randn(TIME, FEATURES, generator=generator), "labels": torch.tensor(i % CLASSES)}
        for i in range(rows)
    ]


def language_rows(rows: int, seed: int = 0) -> list[dict[str, Tensor]]:
    """Random token sequences."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(VOCABULARY, (rows, TIME), generator=generator)
    return [{"input_ids": row, "labels": row} for row in ids]


def rows_for(model: type[nn.Module], rows: int) -> list[dict[str, Tensor]]:
    """The data that `model` takes."""
    return language_rows(rows) if model is TinyGPT2 else classification_rows(rows)


def build(model_class: type[nn.Module], seed: int = 0, **kwargs: object) -> nn.Module:
    """The same model every time."""
    torch.manual_seed(seed)
    return model_class(**kwargs)


def arguments(folder: object, **kwargs: object) -> DSDTrainingArguments:
    """Arguments of a run of 3 + 4 + 5 optimizer steps that logs every step and writes nothing but its phases."""
    defaults: dict[str, object] = {
        "phase_steps": [3, 4, 5],
        "sparsity": 0.5,
        "learning_rate": 1e-2,
        "per_device_train_batch_size": 4,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": [],
        "use_cpu": True,
        "disable_tqdm": True,
    }
    return DSDTrainingArguments(str(folder), **(defaults | kwargs))


def make_trainer(folder: object, model: nn.Module | None = None, rows: int = 24, **kwargs: object) -> DSDTrainer:
    """A trainer of `TinyLSTM`, or of `model`."""
    model = build(TinyLSTM) if model is None else model
    data = rows_for(type(model), rows)
    return DSDTrainer(model, arguments(folder, **kwargs), train_dataset=data, eval_dataset=data[:8])


def save_wav2vec2(folder: Path) -> Wav2Vec2ForCTC:
    """Saves a wav2vec 2.0 of random weights and its processor, which has upper-case letters and gives no mask."""
    folder.mkdir()
    vocabulary = folder / "symbols.json"
    vocabulary.write_text(json.dumps({symbol: row for row, symbol in enumerate(["<pad>", "<unk>", "|", *"AHO"])}))
    tokenizer = Wav2Vec2CTCTokenizer(str(vocabulary), bos_token=None, eos_token=None)
    Wav2Vec2Processor(Wav2Vec2FeatureExtractor(), tokenizer).save_pretrained(folder)
    config = Wav2Vec2Config(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        conv_dim=[8, 8],
        conv_stride=[20, 16],
        conv_kernel=[40, 16],
        num_conv_pos_embeddings=4,
        num_conv_pos_embedding_groups=2,
        mask_time_prob=0.0,
        pad_token_id=0,
        vocab_size=6,
    )
    model = Wav2Vec2ForCTC(config)
    model.save_pretrained(folder)
    return model.eval()
