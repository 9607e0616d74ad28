"""What every demo does: train DSD and its equal-budget dense control from one first dense phase, and score both.

Both arms share the first dense phase, so what differs at the end is what the sparse phase did.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from torch.utils.data import Dataset
from transformers import set_seed

from hf_dsd.metrics import TextScorer
from hf_dsd.runs.scores import PhaseScores
from hf_dsd.trainer.scoring import score_phases
from hf_dsd.trainer.trainer import DSDMixin


@dataclass(frozen=True)
class ArmResult:
    """What one model of the demo reached on the test split.

    Attributes:
        label: How the table calls it.
        scores: Its scores and texts.
        epochs: Epochs trained in all, the shared dense phase included.
        seconds: Training time in all, likewise.
    """

    label: str
    scores: PhaseScores
    epochs: float
    seconds: float


class TwoArmDemo(ABC):
    """One task of the demo; a subclass brings data, model and recipe.

    Args:
        output_dir: Folder of the runs; one subfolder per arm.
        phase_epochs: Epochs of the dense, sparse and re-dense phase.
        sparsity: Fraction pruned in the sparse phase, [0, 1).
        seed: Of the model, the order of the data and dropout.

    Attributes:
        columns: The table's scores: key of the scores -> heading and format.
    """

    columns: ClassVar[Mapping[str, tuple[str, str]]]

    def __init__(self, output_dir: str | Path, phase_epochs: Sequence[float], sparsity: float, seed: int) -> None:
        self.output_dir = Path(output_dir)
        self.phase_epochs = list(phase_epochs)
        self.sparsity = sparsity
        self.seed = seed

    @property
    @abstractmethod
    def title(self) -> str:
        """The table's title."""

    @property
    @abstractmethod
    def steps_per_epoch(self) -> int:
        """Optimizer steps of one epoch."""

    @property
    @abstractmethod
    def test_set(self) -> Dataset[Any]:
        """The rows that both arms are scored on."""

    @property
    @abstractmethod
    def scorer(self) -> TextScorer:
        """How the test rows are scored."""

    @abstractmethod
    def build_trainer(self, arm: str, **options: Any) -> DSDMixin:
        """A trainer of a new model whose folder is `output_dir/arm`; `options` go to its arguments."""

    def run(self) -> list[ArmResult]:
        """Trains both arms; returns the control's, the sparse and the DSD model's results."""
        # Each arm is scored before the next is built: transformers keeps one accelerator state per process.
        dense_steps = round(self.phase_epochs[0] * self.steps_per_epoch)
        set_seed(self.seed)
        trainer = self.build_trainer("dsd", save_strategy="steps", save_steps=dense_steps)
        trainer.train()
        trainer.save_state()  # the log, for the report
        sparse = self._score(trainer, 1, f"sparse phase ({self.sparsity:.0%} pruned)")
        dsd = self._score(trainer, 2, "DSD")
        set_seed(self.seed)
        trainer = self.build_trainer("dense-control", dsd_control=True)
        trainer.train(resume_from_checkpoint=str(self.output_dir / "dsd" / f"checkpoint-{dense_steps}"))
        trainer.save_state()
        return [self._score(trainer, 2, "dense control (same budget)"), sparse, dsd]

    def _score(self, trainer: DSDMixin, phase_index: int, label: str) -> ArmResult:
        records = trainer.summary.phases[: phase_index + 1]
        scores = score_phases(trainer, self.test_set, self.scorer, phases=[records[-1]["name"]])[0]
        seconds = sum(record["seconds"] for record in records)
        return ArmResult(label, scores, sum(self.phase_epochs[: phase_index + 1]), seconds)
