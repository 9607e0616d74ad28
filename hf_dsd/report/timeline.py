"""What a timeline shows: loss, metric, scores and learning rate of a run over its optimizer steps."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np

from hf_dsd.runs.run import Run

_BOOKKEEPING = ("runtime", "per_second", "samples", "steps", "epoch", "model_preparation_time")
_KNOWN_METRICS = ("bleu4", "wer", "accuracy", "perplexity", "f1", "rougeL", "cer")

MAX_POINTS = 600
"""Points of one curve: more cannot be seen, and would make the page heavy."""

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
        scored: (step of a phase's end, score, 95 % interval over examples or None) on the split that was scored after
            training, where that was by the same metric.
        learning_rates: A curve per phase, as the run planned it, else as logged; never joined, because a log with few
            lines misses a phase's jump back to its peak.
        peaks: The planned peak rates of phases with neither, as (start, end, rate).
    """

    run: Run
    train_loss: Points
    eval_loss: Points
    metric: Points
    scored: Sequence[tuple[int, float, Sequence[float] | None]]
    learning_rates: Sequence[Points]
    peaks: Sequence[tuple[int, int, float]]

    @property
    def is_empty(self) -> bool:
        """True if there is nothing to draw."""
        return not (self.train_loss or self.eval_loss or self.metric or self.learning_rates or self.peaks)


def read_curves(run: Run, metric: str | None) -> Curves:
    """The curves of a run, from its log and, after the log's end, from its phases' last evaluations.

    A log that ends early is one read from a checkpoint: the run left no `trainer_state.json` of its own. The metric is
    a key of the log, such as `eval_wer`, or None.
    """
    rows = [*run.log, *({**phase["metrics"], "step": phase["end"]} for phase in run.phases if phase["metrics"])]
    rates, peaks = [], []
    for phase in run.phases:
        if curve := _learning_rates(run, phase):
            rates.append(curve)
        elif rate := finite_number(phase.get("learning_rate")):
            peaks.append((phase["start"], phase["end"], rate))
    on_validation = _points(rows, metric) if metric is not None else []
    scored = _scored(run, metric)
    return Curves(run, _points(run.log, "loss"), _points(rows, "eval_loss"), on_validation, scored, rates, peaks)


def _scored(run: Run, metric: str | None) -> list[tuple[int, float, Sequence[float] | None]]:
    ends = {phase["name"]: phase["end"] for phase in run.phases}
    found = run.phase_scores(run.scored_split) if run.scored_split is not None else []
    intervals = [scores.scores.get(f"{scores.metric}_ci") for scores in found]
    return [
        (ends[scores.phase], scores.value, interval if interval and all(map(math.isfinite, interval)) else None)
        for scores, interval in zip(found, intervals, strict=True)
        if f"eval_{scores.metric}" == metric and scores.phase in ends and math.isfinite(scores.value)
    ]


def _learning_rates(run: Run, phase: Mapping[str, Any]) -> Points:
    """The phase's rates up to its end, which came early if it was left; a log line tells of the step before it."""
    start, end = phase["start"], phase["end"]
    planned = phase.get("learning_rates")
    if planned:
        rows = [{"step": step, "rate": rate} for step, rate in planned]
        return [(step, rate) for step, rate in _points(rows, "rate") if step <= end]
    return [(step, rate) for step, rate in _points(run.log, "learning_rate") if start < step <= end]


def find_metric(runs: Sequence[Run]) -> str | None:
    """The metric to draw: the one that the runs were scored by, else the best known of those that were evaluated."""
    rows = [row for run in runs for row in (*run.log, *(phase["metrics"] for phase in run.phases))]
    names = {
        name
        for row in rows
        for name, value in row.items()
        if name.startswith("eval_") and name != "eval_loss" and finite_number(value) is not None
    }
    names = {name for name in names if not name.endswith(_BOOKKEEPING)}
    scored = [scores.metric for run in runs for scores in run.scored[:1]]
    wanted = [f"eval_{name}" for name in (*scored, *_KNOWN_METRICS)]
    return next((name for name in wanted if name in names), min(names, default=None))


def finite_number(value: Any) -> float | None:
    """A finite number; None for anything else that a log may hold."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return float(value) if math.isfinite(value) else None


def _points(rows: Iterable[Mapping[str, Any]], name: str) -> list[tuple[int, float]]:
    return thin(
        sorted({row["step"]: value for row in rows if (value := finite_number(row.get(name))) is not None}.items())
    )


def thin(points: Points, most: int = MAX_POINTS) -> list[tuple[int, float]]:
    """At most `most` points: each the mean of a span of a longer curve, at the span's last step."""
    width = -(-len(points) // most) or 1
    spans = [points[start : start + width] for start in range(0, len(points), width)]
    return [(span[-1][0], fmean(value for _, value in span)) for span in spans]


def over_seeds(curves: Sequence[Points]) -> list[tuple[int, float, float, float]]:
    """(step, mean, lowest, highest) over the seeds that got to a step; straight lines between a seed's own steps."""
    steps = sorted({step for curve in curves for step, _ in curve})
    rows = [
        np.interp(steps, [step for step, _ in curve], [value for _, value in curve], left=np.nan, right=np.nan)
        for curve in curves
        if curve
    ]
    found = []
    for step, column in zip(steps, np.array(rows).T, strict=True):
        there = column[~np.isnan(column)]
        found.append((step, float(there.mean()), float(there.min()), float(there.max())))
    return found
