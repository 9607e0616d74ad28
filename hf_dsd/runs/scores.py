"""`test_phase-2-dense.json`: what the model of one phase said about every example of a split, and how it scored.

The training scripts write one such file for each finished phase; comparisons, reports and model cards read them.
"""

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from ..files import read_json, write_json
from .folder import read_run

_REMEDY = "score the run again, or remove the file"


@dataclass(frozen=True)
class ScoredExample:
    """One example of the split.

    Attributes:
        id: Its name, such as the image's file.
        prediction: What the model said, normalised as it was scored.
        references: What people said, normalised likewise.
    """

    id: str
    prediction: str
    references: Sequence[str]


@dataclass(frozen=True)
class PhaseScores:
    """One model's scores on one split.

    Attributes:
        phase: Whose model it is: `phase-2-dense`.
        split: Which examples: `test` or `validation`.
        metric: The headline score, a key of `scores`: "bleu4" (0..100) or "wer" (a fraction).
        greater_is_better: Its direction.
        scores: All scores, with their 95 % intervals (`bleu4_ci`) and `signature`.
        loss: Mean loss on the split.
        examples: Every example, in the order of the data.
    """

    phase: str
    split: str
    metric: str
    greater_is_better: bool
    scores: dict[str, Any]
    loss: float
    examples: Sequence[ScoredExample]

    @property
    def value(self) -> float:
        """The headline score."""
        return float(self.scores[self.metric])

    def write(self, folder: str | os.PathLike[str]) -> Path:
        """Writes `SPLIT_PHASE.json` into a run's folder, atomically, and returns its path; it names the run."""
        content = {"run": read_run(folder), **asdict(self)}
        return write_json(_score_file(folder, self.phase, self.split), content, ensure_ascii=False)

    @classmethod
    def read(cls, folder: str | os.PathLike[str], phase: str, split: str = "test") -> "PhaseScores":
        """Reads what `write` wrote.

        Raises:
            FileNotFoundError: If the run has not been scored, or the scores are those of an earlier run in this folder.
            ValueError: If the file is damaged.
        """
        found = cls.find(folder, phase, split)
        if found is None:
            path = _score_file(folder, phase, split)
            what = "is of an earlier run in this folder" if path.is_file() else "is missing"
            raise FileNotFoundError(f"{path} {what}: this run has not scored {phase} on its {split} split")
        return found

    @classmethod
    def find(cls, folder: str | os.PathLike[str], phase: str, split: str = "test") -> "PhaseScores | None":
        """The scores as `read` gives them; None if the run whose summary lies in the folder has not made any.

        A file that an earlier run left there does not count: its numbers are another model's.

        Raises:
            ValueError: If the file is damaged.
        """
        path = _score_file(folder, phase, split)
        content = read_json(path, _REMEDY)
        if content is None:
            return None
        missing = sorted({field.name for field in fields(cls)} - content.keys())
        if missing:
            raise ValueError(f"{path} is damaged (it lacks {', '.join(missing)}): {_REMEDY}")
        if content.pop("run", None) != read_run(folder):  # an old version's names no run
            return None
        try:
            found = cls(**{**content, "examples": [ScoredExample(**example) for example in content["examples"]]})
            float(found.loss), found.value  # noqa: B018 (raise here, not in the middle of a page)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path} is damaged ({type(error).__name__}: {error}): {_REMEDY}") from error
        return found


def _score_file(folder: str | os.PathLike[str], phase: str, split: str) -> Path:
    return Path(folder) / f"{split}_{phase}.json"
