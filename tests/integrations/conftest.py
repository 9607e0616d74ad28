"""Words, a tokenizer and arguments that the other libraries' trainers share; everything is built here, no download."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Trainer, TrainerCallback

WORDS = ("red", "green", "blue", "square", "circle", "star")
PHASES = {"phase-0-dense", "phase-1-sparse", "phase-2-dense"}


@pytest.fixture
def tokenizer() -> PreTrainedTokenizerFast:
    """One token a word."""
    special = ["<pad>", "<unk>", "<bos>", "<eos>"]
    backend = Tokenizer(models.WordLevel({word: n for n, word in enumerate([*special, *WORDS])}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    names = dict(zip(("pad_token", "unk_token", "bos_token", "eos_token"), special, strict=True))
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, cls_token="<bos>", sep_token="<eos>", model_max_length=16, **names
    )


@pytest.fixture
def texts() -> list[str]:
    """Eighteen short texts."""
    return [f"{colour} {shape} {colour}" for colour in WORDS[:3] for shape in WORDS[3:]] * 2


@pytest.fixture
def options(tmp_path: Path) -> dict[str, Any]:
    """Arguments of 3 + 4 + 5 steps, with a checkpoint after each."""
    return {
        "output_dir": str(tmp_path / "out"),
        "phase_steps": [3, 4, 5],
        "sparsity": 0.5,
        "learning_rate": 1e-2,
        "per_device_train_batch_size": 4,
        "logging_steps": 1,
        "save_strategy": "steps",
        "save_steps": 1,
        "report_to": [],
        "use_cpu": True,
        "disable_tqdm": True,
    }


class ZeroCounts(TrainerCallback):
    """Counts the zeros of every trained matrix after each optimizer step."""

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer
        self.steps: dict[int, dict[str, float]] = {}
        trainer.add_callback(self)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.steps[state.global_step] = {
            name: float((p == 0).float().mean())
            for name, p in self.trainer.model.named_parameters()
            if p.requires_grad and p.dim() > 1 and "embed" not in name  # a padding row is zero anyway
        }

    def pruned(self, step: int) -> set[float]:
        """The different sparsities after a step."""
        return set(self.steps[step].values())


@pytest.fixture
def count_zeros() -> Callable[[Trainer], ZeroCounts]:
    """Adds a `ZeroCounts` to a trainer."""
    return ZeroCounts
