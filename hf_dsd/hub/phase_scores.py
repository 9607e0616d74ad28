"""Scores of every phase's model, on the validation split during training and on the test split after it.

Layer: the files that a run leaves.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub.dataclasses import strict

from hf_dsd.compare import ARMS, Comparison
from hf_dsd.runs.scores import PhaseScores

from .run_facts import read_summary

_COUNTS = {"epoch", "substitutions", "insertions", "deletions", "words", "examples", "runtime"}


@strict
@dataclass
class PhaseScore:
    """One phase's model on one split.

    Attributes:
        arm: Of the run: `dsd`, `dense`, `random` or `iterative`.
        seed: Of the run.
        phase: `phase-1-sparse`.
        sparsity: Fraction pruned per layer in this phase.
        epochs: Epochs up to the phase's end; None for streamed data.
        split: `validation` or `test`.
        scores: Name -> value; `loss` among them.
    """

    arm: str
    seed: int
    phase: str
    sparsity: float | int
    epochs: float | int | None
    split: str
    scores: dict[str, float | int]

    @property
    def index(self) -> int:
        """The phase's place in the run, from 0."""
        return int(self.phase.split("-")[1])


def read_phase_scores(run_dir: str | os.PathLike[str], arm: str, seed: int) -> list[PhaseScore]:
    """Reads what a finished run measured at the end of each phase, and what its score files say.

    Raises:
        FileNotFoundError: If the folder is not a run's.
        ValueError: If the run has not finished.
    """
    return list(_scores_of(Path(run_dir), arm, seed, read_summary(run_dir)))


def read_all_phase_scores(out: str | os.PathLike[str], comparison: Comparison) -> list[PhaseScore]:
    """Reads every finished run of a comparison, from its folder."""
    trained = [run for run in comparison.runs if run.status == "finished" and ARMS[run.arm][0] == run.arm]
    return [score for run in trained for score in read_phase_scores(Path(out) / run.folder, run.arm, run.seed)]


def count_examples(run_dir: str | os.PathLike[str], phase: str, split: str) -> int | None:
    """Number of examples of a split; None where the run was not scored on it."""
    found = PhaseScores.find(run_dir, read_summary(run_dir).get("run"), phase, split)
    return len(found.examples) if found is not None else None


def _scores_of(run: Path, arm: str, seed: int, summary: Mapping[str, Any]) -> Iterator[PhaseScore]:
    per_epoch = summary.get("steps_per_epoch")
    for record in summary["phases"]:
        epochs = record["end"] / per_epoch if per_epoch else None
        at_end = plain_scores({name.removeprefix("eval_"): value for name, value in record["metrics"].items()})
        if at_end:
            yield PhaseScore(arm, seed, record["name"], record["sparsity"], epochs, "validation", at_end)
        found = PhaseScores.find(run, summary.get("run"), record["name"], "test")
        if found is not None:
            scores = plain_scores({**found.scores, "loss": found.loss})
            yield PhaseScore(arm, seed, record["name"], record["sparsity"], epochs, "test", scores)


def plain_scores(scores: Mapping[str, Any]) -> dict[str, float | int]:
    """The scores among what a run measured: no counts, times, intervals or signatures."""
    return {
        name: value
        for name, value in scores.items()
        if isinstance(value, int | float) and name not in _COUNTS and not name.endswith(("_per_second", "_length"))
    }
