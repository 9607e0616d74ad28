from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from recordings import speech
from torch import nn
from transformers import Trainer, TrainingArguments

from hf_dsd.data import LengthGroupedSampler, SpecAugment, SpeechCollator, SpeechDataset


@dataclass
class Rows:
    """Rows of which only the lengths matter."""

    lengths: list[int]
    epoch: int = -1

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch


LENGTHS = torch.randint(10, 1000, (203,), generator=torch.Generator().manual_seed(1)).tolist()


def test_every_row_once_and_batches_of_like_length():
    order = list(LengthGroupedSampler(Rows(LENGTHS), batch_size=8))
    assert sorted(order) == list(range(203))
    batches = [order[start : start + 8] for start in range(0, 203, 8)]
    padding = sum(max(LENGTHS[i] for i in batch) * len(batch) for batch in batches) / sum(LENGTHS) - 1
    unsorted = sum(max(LENGTHS[start : start + 8]) * 8 for start in range(0, 200, 8)) / sum(LENGTHS) - 1
    assert padding < 0.25 < 0.6 < unsorted  # computed on padding per computed on speech
    assert LENGTHS[order[0]] == max(LENGTHS)  # what does not fit into memory shows at once


def test_the_order_depends_on_seed_and_epoch_only():
    def order_of(seed: int, epoch: int) -> list[int]:
        order = LengthGroupedSampler(Rows(LENGTHS), batch_size=8, seed=seed)
        order.set_epoch(epoch)
        return list(order)

    first = order_of(0, 2)
    torch.rand(3)  # the global random state plays no part
    assert order_of(0, 2) == first
    assert order_of(0, 3) != first
    assert order_of(1, 2) != first
    assert len(LengthGroupedSampler(Rows(LENGTHS), 8)) == 203


def test_the_rows_are_told_the_epoch():
    rows = Rows(LENGTHS)
    LengthGroupedSampler(rows, 8).set_epoch(5)
    assert rows.epoch == 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((Rows([]), 8, 0), "rows must not be empty"),
        ((Rows(LENGTHS), 0, 0), "batch_size must be at least 1, got 0"),
        ((Rows(LENGTHS), 8, -1), "seed must be at least 0, got -1"),
    ],
    ids=["no-rows", "batch", "seed"],
)
def test_impossible_orders_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        LengthGroupedSampler(*arguments)


class LevelModel(nn.Module):
    """Guesses the number of labels from the sound; every frame, and so every mask, moves the weights."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.head = nn.Linear(16, 1)
        self.dropout = nn.Dropout(dropout)

    def forward(self, input_features, attention_mask, labels):
        level = (self.head(self.dropout(input_features))[..., 0] * attention_mask).mean(dim=1)
        return {"loss": (level - (labels >= 0).sum(dim=1)).square().mean()}


class GroupingTrainer(Trainer):
    def _get_train_sampler(self, train_dataset=None):
        return LengthGroupedSampler(train_dataset or self.train_dataset, self.args.train_batch_size, self.args.seed)


def train(folder: Path, checkpoint: Path | None = None, dropout: float = 0.2, **options: Any) -> list[torch.Tensor]:
    """Three epochs of four steps, checkpoints every three, or the rest of them from a checkpoint."""
    torch.manual_seed(0)
    rows = SpeechDataset(
        speech("a", "bb", "ccc", "a", "bb", "ccc", "a", "dddd"),
        lambda text: [1] * len(text),
        lambda samples, rate: torch.from_numpy(samples).reshape(-1, 16),
        output_length=None,
        augment=SpecAugment(time_mask_frames=30),
        seed=3,
    )
    model = LevelModel(dropout)
    arguments = TrainingArguments(
        str(folder),
        num_train_epochs=3,
        per_device_train_batch_size=2,
        save_steps=3,
        learning_rate=0.1,
        report_to="none",
        use_cpu=True,
        disable_tqdm=True,
        **options,
    )
    trainer = GroupingTrainer(model, arguments, train_dataset=rows, data_collator=SpeechCollator())
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    return [parameter.detach().clone() for parameter in model.parameters()]


def test_a_run_resumed_within_an_epoch_equals_the_unbroken_one(tmp_path):
    unbroken = train(tmp_path / "whole")
    for step in (3, 6, 9):
        resumed = train(tmp_path / f"from-{step}", tmp_path / "whole" / f"checkpoint-{step}")
        assert all(map(torch.equal, resumed, unbroken)), step


@pytest.mark.parametrize(
    ("workers", "persistent"), [(1, False), (1, True), (2, True)], ids=["one", "one-persistent", "two-persistent"]
)
def test_worker_processes_change_nothing_in_a_run_nor_in_a_resume(tmp_path, workers, persistent):
    unbroken = train(tmp_path / "whole", dropout=0.0)  # torch draws from the global state whenever workers start
    options = {"dropout": 0.0, "dataloader_num_workers": workers, "dataloader_persistent_workers": persistent}
    assert all(map(torch.equal, train(tmp_path / "workers", **options), unbroken))
    resumed = train(tmp_path / "resumed", tmp_path / "whole" / "checkpoint-6", **options)
    assert all(map(torch.equal, resumed, unbroken))
