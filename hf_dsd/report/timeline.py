"""Loss, metric and learning rate over the optimizer steps of every run.

Layer: the run record next door.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from hf_dsd.runs.run import Run

_BOOKKEEPING = ("runtime", "per_second", "samples", "steps", "epoch", "model_preparation_time")
_KNOWN_METRICS = ("bleu4", "wer", "accuracy", "perplexity", "f1", "rougeL", "cer")

MAX_POINTS = 600
"""Of one curve: more cannot be seen, and would make the page heavy."""

Points = Sequence[tuple[int, float]]
"""(optimizer step, value), steps rising."""


@dataclass(frozen=True)
class Curves:
    """What is drawn of one run.

    Attributes:
        run: The run.
        train_loss: Mean training loss since the last log line.
        eval_loss: Loss on the validation split.
        metric: The metric on the validation split.
        learning_rates: A curve per phase, as the run planned it, else as logged; never joined, because a log with few
            lines misses a phase's jump back to its peak.
        peaks: Of phases with neither, the planned peak rate, as (start, end, rate).
    """

    run: Run
    train_loss: Points
    eval_loss: Points
    metric: Points
    learning_rates: Sequence[Points]
    peaks: Sequence[tuple[int, int, float]]

    @property
    def is_empty(self) -> bool:
        """True if there is nothing to draw."""
        return not (self.train_loss or self.eval_loss or self.metric or self.learning_rates or self.peaks)


def read_curves(run: Run, metric: str | None) -> Curves:
    """The curves of a run, from its log and, after the log's end, from its phases' last evaluations.

    A log that ends early is one read from a checkpoint: the run left no `trainer_state.json` of its own.

    Args:
        run: The run.
        metric: A key of the log, such as `eval_wer`; None draws none.
    """
    rows = [*run.log, *({**phase["metrics"], "step": phase["end"]} for phase in run.phases if phase["metrics"])]
    rates = [_learning_rates(run, phase) for phase in run.phases]
    without = [phase for phase, curve in zip(run.phases, rates, strict=True) if not curve]
    return Curves(
        run,
        _points(run.log, "loss"),
        _points(rows, "eval_loss"),
        _points(rows, metric) if metric is not None else [],
        [curve for curve in rates if curve],
        [(phase["start"], phase["end"], phase["learning_rate"]) for phase in without if phase.get("learning_rate")],
    )


def _learning_rates(run: Run, phase: Mapping[str, Any]) -> Points:
    """The phase's rates up to its end, which came early if it was left; a log line tells of the step before it."""
    start, end = phase["start"], phase["end"]
    if planned := phase.get("learning_rates"):
        return [(step, rate) for step, rate in planned if step <= end]
    return [(step, rate) for step, rate in _points(run.log, "learning_rate") if start < step <= end]


def find_metric(runs: Sequence[Run]) -> str | None:
    """The metric to draw: the one that the runs were scored by, else the best known of those that were evaluated."""
    rows = [row for run in runs for row in (*run.log, *(phase["metrics"] for phase in run.phases))]
    names = {
        name
        for row in rows
        for name, value in row.items()
        if name.startswith("eval_") and name != "eval_loss" and isinstance(value, int | float)
    }
    names = {name for name in names if not name.endswith(_BOOKKEEPING)}
    scored = [_scored_metric(run) for run in runs]
    wanted = [f"eval_{name}" for name in (*filter(None, scored), *_KNOWN_METRICS)]
    return next((name for name in wanted if name in names), min(names, default=None))


def _scored_metric(run: Run) -> str | None:
    split = run.scored_split
    scores = run.scores(split) if split is not None else []
    return scores[0].metric if scores else None


def _points(rows: Iterable[Mapping[str, Any]], name: str) -> list[tuple[int, float]]:
    points = {int(row["step"]): float(row[name]) for row in rows if isinstance(row.get(name), int | float)}
    return thin(sorted((step, value) for step, value in points.items() if math.isfinite(value)))


def thin(points: Points, most: int = MAX_POINTS) -> list[tuple[int, float]]:
    """At most `most` points: each the mean of a span of a longer curve, at the span's last step."""
    width = -(-len(points) // most) or 1
    spans = [points[start : start + width] for start in range(0, len(points), width)]
    return [(span[-1][0], fmean(value for _, value in span)) for span in spans]
