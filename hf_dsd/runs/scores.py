"""`test_phase-2-dense.json`: what the model of one phase said about every example of a split, and how it scored.

The training scripts write one such file for each finished phase; comparisons, reports and model cards read them.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

from hf_dsd.files import read_json, write_json

from .folder import SCORE_FILE, SUMMARY_FILE_NAME, score_file
from .json_checks import is_flag, is_number, is_text, list_of
from .summary_file import read_summary

_REMEDY = "score the run again, or remove the file"


@dataclass(frozen=True)
class ScoredExample:
    """One example of the split by its name, such as its file's, and both texts, normalised as they were scored.

    `cluster` is what it has in common with others, such as its speaker; None where nobody says.
    """

    id: str
    prediction: str
    references: Sequence[str]
    cluster: str | None = None


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

    def write(self, folder: str | os.PathLike[str], run: str | None) -> Path:
        """Writes `SPLIT_PHASE.json` into a run's folder, atomically, and returns its path.

        The random name of the training (`Run.id`) goes with it, so that a later run's reader passes the file over.
        """
        content = {"run": run, **asdict(self)}
        for example in content["examples"]:
            if example["cluster"] is None:
                del example["cluster"]
        return write_json(score_file(Path(folder), self.phase, self.split), content, ensure_ascii=False)

    @classmethod
    def read(cls, folder: str | os.PathLike[str], phase: str, split: str = "test") -> "PhaseScores":
        """Reads what `write` wrote for the run whose summary lies in the folder.

        Raises:
            FileNotFoundError: If the run has not been scored, or the scores are those of an earlier run in this folder.
            ValueError: If the file is damaged.
        """
        summary = read_summary(Path(folder)) or {}
        found = cls.find(folder, summary.get("run"), phase, split)
        if found is None:
            path = score_file(Path(folder), phase, split)
            what = "is of an earlier run in this folder" if path.is_file() else "is missing"
            raise FileNotFoundError(f"{path} {what}: this run has not scored {phase} on its {split} split")
        return found

    @classmethod
    def find(
        cls, folder: str | os.PathLike[str], run: str | None, phase: str, split: str = "test"
    ) -> "PhaseScores | None":
        """The scores of one model; None if the training called `run` has not made any. A damaged file is a ValueError.

        A file that an earlier run left there does not count: its numbers are another model's.
        """
        path = score_file(Path(folder), phase, split)
        content = read_json(path, _REMEDY, partial(_check, phase, split))
        if content is None or content.pop("run", None) != run:  # an old version's names no run
            return None
        return cls(**{**content, "examples": [ScoredExample(**example) for example in content["examples"]]})


def read_scores(folder: Path, run: str | None) -> tuple[list[PhaseScores], list[str]]:
    """Reads all score files, of every split, of the run whose training is called `run` (`Run.id`).

    Returns the scores in the order of phases, averages after their phase; and what is wrong with the files left out.
    """
    scores, problems = [], []
    names = filter(None, (SCORE_FILE.fullmatch(path.name) for path in folder.glob("*_phase-*.json")))
    for name in sorted(names, key=lambda found: (int(found["index"]), found["phase"], found["split"])):
        try:
            found = PhaseScores.find(folder, run, name["phase"], name["split"])
        except ValueError as error:
            problems.append(str(error))
            continue
        if found is None:
            problems.append(
                f"{name[0]} is of another run than {SUMMARY_FILE_NAME}: score this run, remove the file, or restore "
                "the summary"
            )
        else:
            scores.append(found)
    return scores, problems


def check_scores(scores: Mapping[str, Any]) -> None:
    """Raises a ValueError for an interval that has not two ends."""
    for name, value in scores.items():
        if name.endswith("_ci") and not list_of(is_number, 2)(value):
            raise ValueError(f"{name!r} must be the two ends of an interval, got {value!r}")


def _check(phase: str, split: str, content: Mapping[str, Any]) -> None:
    """Every value that a table, a figure or a page will use."""
    names = {field.name for field in fields(PhaseScores)}
    if missing := sorted(names - content.keys()):
        raise ValueError(f"it lacks {', '.join(missing)}")
    if unknown := sorted(content.keys() - names - {"run"}):
        raise ValueError(f"it holds an unknown {unknown[0]!r}")
    if (content["phase"], content["split"]) != (phase, split):
        raise ValueError(f"it is of {content['split']!r}, {content['phase']!r}")
    scores = content["scores"]
    if not isinstance(scores, dict) or not is_number(scores.get(content["metric"])):
        raise ValueError(f"its scores have no number {content['metric']!r}")
    if not is_flag(content["greater_is_better"]) or not is_number(content["loss"]):
        raise ValueError("greater_is_better must be true or false, and loss a number")
    check_scores(scores)
    if not isinstance(content["examples"], list):
        raise ValueError("its examples are no list")
    for example in content["examples"]:
        if not isinstance(example, dict) or example.keys() - {"cluster"} != {"id", "prediction", "references"}:
            raise ValueError(f"an example must have id, prediction and references, got {str(example)[:60]}")
        if not isinstance(example["references"], list) or not example["references"]:
            raise ValueError(f"example {example['id']!r} has no reference")
        texts = [example["id"], example["prediction"], example.get("cluster", ""), *example["references"]]
        if not list_of(is_text)(texts):
            raise ValueError(f"example {example['id']!r} must hold texts")
