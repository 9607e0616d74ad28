"""Data whose rows change from epoch to epoch is told the epoch, also where a run resumes amid one."""

from pathlib import Path

from tiny import TinyLSTM, arguments, build, classification_rows
from torch.utils.data import Dataset

from hf_dsd import DSDTrainer


class Changing(Dataset):
    """Counts which rows are asked for in which epoch."""

    def __init__(self) -> None:
        self.rows, self.epoch, self.asked = classification_rows(24), 0, dict[int, int]()

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict:
        self.asked[self.epoch] = self.asked.get(self.epoch, 0) + 1
        return self.rows[index]


def train(folder: Path, resume: str | None = None) -> dict[int, int]:
    data = Changing()
    args = arguments(folder, save_strategy="steps", save_steps=1, phase_steps=[6, 6, 6])
    DSDTrainer(build(TinyLSTM), args, train_dataset=data).train(resume_from_checkpoint=resume)
    return data.asked


def test_rows_are_those_of_the_epoch(tmp_path: Path) -> None:
    assert train(tmp_path / "whole") == {0: 24, 1: 24, 2: 24}
    assert train(tmp_path / "amid", str(tmp_path / "whole" / "checkpoint-8")) == {1: 16, 2: 24}
    assert train(tmp_path / "between", str(tmp_path / "whole" / "checkpoint-12")) == {2: 24}
