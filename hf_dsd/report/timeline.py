"""The timeline: which phase every arm is in, and loss, metric and learning rate over the same optimizer steps."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from statistics import fmean
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from hf_dsd.runs.folder import EARLY
from hf_dsd.runs.metric_names import greater_is_better, is_rate, rate_unit, score_title
from hf_dsd.runs.run import Run

from .arm_legend import arm_legend_height, draw_arm_legend, shortened
from .svg_figure import ArmStyle, Draw, label_panel, light

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
        scored: (step of a phase's end or of the early stop, score, 95 % interval over examples or None) on the split
            that was scored after training, where that was by the same metric.
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
    if run.phases and (stop := run.summary.get("early_stop")):
        ends[f"{run.phases[-1]['name']}-{EARLY}"] = stop["step"]
    found = run.scores(run.scored_split) if run.scored_split is not None else []
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
    """The metric to draw: the one that the runs were scored by, else the best known of those that were evaluated.

    It need not stand in a log: scores after training are drawn at their phases' ends.
    """
    rows = [row for run in runs for row in (*run.log, *(phase["metrics"] for phase in run.phases))]
    names = {
        name
        for row in rows
        for name, value in row.items()
        if name.startswith("eval_") and name != "eval_loss" and finite_number(value) is not None
    }
    names = {name for name in names if not name.endswith(_BOOKKEEPING)}
    scored = [scores.metric for run in runs for scores in run.scored[:1] if scores.metric != "loss"]
    known = [name for name in _KNOWN_METRICS if f"eval_{name}" in names]
    return next((f"eval_{name}" for name in (*scored, *known)), min(names, default=None))


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


def draw_timeline(
    curves: Sequence[Curves], primary: Curves, metric: str | None, styles: Mapping[str, ArmStyle]
) -> Draw:
    """Returns how to draw the timeline: an arm's line is the mean of its seeds, in the band from lowest to highest.

    Args:
        curves: The curves of all runs.
        primary: Whose sparse phases are shaded through all panels, and whose phases' ends are the ticks.
        metric: The key of `Curves.metric`; None leaves its panel out.
        styles: How each arm is drawn.
    """
    arms: dict[str, list[Curves]] = {}
    for found in curves:
        arms.setdefault(found.run.arm, []).append(found)

    def draw(figure: Figure, wide: bool) -> None:
        has_metric, schedules = _has_metric(curves), _schedules(curves)
        ratios = [0.26 * len(schedules) + 0.1, 2.0, *([1.6] if has_metric else []), 1.2]
        panels = list(figure.subplots(len(ratios), 1, sharex=True, height_ratios=ratios))
        _draw_phases(panels[0], schedules, styles, wide=wide)
        # The first losses are so high that they would hide all others.
        seen_from = primary.run.schedule[0]["end"] / 2 if primary.run.schedule else 0
        _draw_loss(panels[1], arms, styles, seen_from)
        if has_metric:
            _draw_metric(panels[2], arms, styles, str(metric), seen_from, wide=wide)
        _draw_rate(panels[-1], arms, styles)
        for axes, phase in product(panels[1:], primary.run.schedule):
            if phase["kind"] == "sparse":
                axes.axvspan(phase["start"], phase["end"], facecolor=light("band"), edgecolor="none", zorder=0)
        panels[-1].set_xlabel("optimizer step")
        _mark_phase_ends(panels[-1], primary.run.schedule, wide=wide)
        panels[-1].set_xlim(left=0)
        draw_arm_legend(figure, {arm: styles[arm] for arm in arms}, wide=wide)

    return draw


def timeline_height(curves: Sequence[Curves]) -> tuple[float, float]:
    """Inches for the wide and the narrow figure."""
    panels = 0.26 * len(_schedules(curves)) + (5.6 if _has_metric(curves) else 4.2)
    arms = list(dict.fromkeys(found.run.arm for found in curves))
    return panels + arm_legend_height(arms, wide=True), panels + arm_legend_height(arms, wide=False) + 0.4


def _has_metric(curves: Sequence[Curves]) -> bool:
    return any(found.metric or found.scored for found in curves)


def _schedules(curves: Sequence[Curves]) -> Mapping[str, Sequence[Mapping[str, Any]]]:
    """Arm -> its phases; the seeds of an arm share them unless one left a phase early, then the first is drawn."""
    found: dict[str, Sequence[Mapping[str, Any]]] = {}
    for curve in curves:
        found.setdefault(curve.run.arm, curve.run.schedule)
    return {arm: schedule for arm, schedule in found.items() if schedule}


def _draw_phases(
    axes: Axes, schedules: Mapping[str, Sequence[Mapping[str, Any]]], styles: Mapping[str, ArmStyle], *, wide: bool
) -> None:
    for row, (arm, schedule) in enumerate(schedules.items()):
        total = schedule[-1]["end"] or 1
        for phase in schedule:
            start, width = phase["start"], phase["end"] - phase["start"]
            sparse = phase["kind"] == "sparse"
            face = styles[arm].colour if sparse else light("band")
            axes.barh(row, width, left=start, height=0.78, color=face, edgecolor=light("paper"), linewidth=1.5)
            text = f"S {phase['sparsity']:.0%}" if sparse else "D"
            if width / total > (0.06 if wide else 0.13):
                colour = light("paper") if sparse else light("ink")
                axes.text(start + width / 2, row, text, ha="center", va="center", color=colour, fontsize=7.5)
    axes.set_yticks(range(len(schedules)), [shortened(arm, wide=wide) for arm in schedules])
    axes.set_ylim(len(schedules) - 0.45, -0.55)
    axes.grid(visible=False)
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.tick_params(length=0, labelbottom=False)
    axes.set_title("phases: D dense, S sparse")


def _draw_loss(
    axes: Axes, arms: Mapping[str, Sequence[Curves]], styles: Mapping[str, ArmStyle], seen_from: float
) -> None:
    label_panel(axes, "loss", y="loss")
    shown: list[tuple[int, float]] = []
    for arm, seeds in arms.items():
        shown += _draw_seeds(axes, arm, styles[arm], [found.train_loss for found in seeds], width=1.0)
        evaluations = [found.eval_loss for found in seeds]
        shown += _draw_seeds(axes, arm, styles[arm], evaluations, marker=styles[arm].marker, width=1.4)
    _small_legend(axes, [_handle("training", linewidth=1.0), _handle("validation", linewidth=1.4, marker="o")])
    _show(axes, shown, seen_from)


def _draw_metric(
    axes: Axes,
    arms: Mapping[str, Sequence[Curves]],
    styles: Mapping[str, ArmStyle],
    metric: str,
    seen_from: float,
    *,
    wide: bool,
) -> None:
    factor = 100 if is_rate(metric) else 1
    better = {True: ["greater is better"], False: ["smaller is better"], None: []}[greater_is_better(metric)]
    title = score_title(metric)
    label_panel(axes, (", " if wide else ",\n").join([title.removesuffix(rate_unit(metric)), *better]), y=title)
    shown: list[tuple[int, float]] = []
    for arm, seeds in arms.items():
        scaled = [[(step, factor * value) for step, value in found.metric] for found in seeds]
        shown += _draw_seeds(axes, arm, styles[arm], scaled, marker=styles[arm].marker, width=1.4)
    for place, (arm, seeds) in enumerate(arms.items()):
        shown += _draw_scored(axes, styles[arm], seeds, factor, shift=place - (len(arms) - 1) / 2)
    split = next((found.run.scored_split for seeds in arms.values() for found in seeds if found.scored), None)
    several = any(sum(bool(found.scored) for found in seeds) > 1 for seeds in arms.values())
    has_log = any(found.metric for seeds in arms.values() for found in seeds)
    handles = [_handle("validation", linewidth=1.4, marker="o")] if has_log else []
    if split is not None:
        bars = "range of seeds (of one: 95 % interval)" if several else "95 % interval"
        handles.append(_handle(f"{split}, {bars}", linewidth=0, marker="o", markerfacecolor=light("paper")))
    _small_legend(axes, handles, columns=2 if wide else 1)
    _show(axes, shown, seen_from)


def _draw_scored(axes: Axes, style: ArmStyle, seeds: Sequence[Curves], factor: float, *, shift: float) -> Points:
    """The scores after training at their phases' ends: of one seed with their interval, of several the seeds' range."""
    points: dict[int, list[tuple[float, Sequence[float] | None]]] = {}
    for found in seeds:
        for step, value, interval in found.scored:
            points.setdefault(step, []).append((value, interval))
    total = max((found.run.schedule[-1]["end"] for found in seeds if found.run.schedule), default=0)
    shown = []
    for step, scored in points.items():
        values = [value for value, _ in scored]
        low, high = (min(values), max(values)) if len(values) > 1 else scored[0][1] or (values[0], values[0])
        mean = fmean(values)
        axes.errorbar(
            step + 0.009 * total * shift,  # beside each other, not on each other
            factor * mean,
            # A bootstrap's interval need not hold its own score.
            yerr=[[factor * max(mean - low, 0)], [factor * max(high - mean, 0)]],
            color=style.colour,
            marker=style.marker,
            **_SCORED_STYLE,
        )
        shown += [(step, factor * value) for value in (low, mean, high)]
    return shown


def _draw_seeds(
    axes: Axes, arm: str, style: ArmStyle, curves: Sequence[Points], *, marker: str = "", width: float
) -> Points:
    """Draws one arm and returns the points that must be seen."""
    colour, order = style.colour, _order(arm)
    rows = over_seeds([curve for curve in curves if curve])
    if not rows:
        return []
    steps, mean, low, high = zip(*rows, strict=True)
    if low != high:
        axes.fill_between(steps, low, high, facecolor=colour, edgecolor="none", alpha=0.16, zorder=order - 1)
    line: dict[str, Any] = {"linestyle": style.line, "linewidth": width, "marker": marker, "markersize": 3.5}
    axes.plot(steps, mean, color=colour, **line, alpha=0.9, zorder=order)
    return [(step, value) for step, *values in rows for value in values]


_SCORED_STYLE: dict[str, Any] = {"linestyle": "", "markersize": 4.5, "markerfacecolor": light("paper")}
_SCORED_STYLE |= {"elinewidth": 1.2, "capsize": 2.5, "zorder": 6}


def _order(arm: str) -> int:
    """What arms share, such as their first phase, is drawn as DSD's."""
    return 4 if arm == "dsd" else 3


def _show(axes: Axes, points: Points, seen_from: float) -> None:
    """Sets the range to the values from a step on, or to all where there are none."""
    values = [value for step, value in points if step >= seen_from] or [value for _, value in points]
    if values:
        margin = 0.08 * (max(values) - min(values) or abs(values[0]) or 1)
        axes.set_ylim(min(values) - margin, max(values) + margin)
        axes.ticklabel_format(axis="y", useOffset=False)  # of a score that stays at 100, 0 with a small "+1e2" above it


def _draw_rate(axes: Axes, arms: Mapping[str, Sequence[Curves]], styles: Mapping[str, ArmStyle]) -> None:
    label_panel(axes, "learning rate", y="learning rate")
    planned = [phase.get("learning_rate") for seeds in arms.values() for found in seeds for phase in found.run.schedule]
    peaks = [rate for rate in map(finite_number, planned) if rate is not None and rate > 0]
    for arm, seeds in arms.items():
        colour, order = styles[arm].colour, _order(arm)
        for curve in dict.fromkeys(tuple(curve) for found in seeds for curve in found.learning_rates):
            above = [point for point in curve if point[1] > 0]  # the axis is logarithmic
            steps, rates = [step for step, _ in above], [rate for _, rate in above]
            axes.plot(steps, rates, color=colour, linestyle=styles[arm].line, linewidth=1.2, zorder=order)
        for start, end, rate in dict.fromkeys(peak for found in seeds for peak in found.peaks):
            axes.hlines(rate, start, end, colors=colour, linestyles="dotted", linewidth=1.4)
    axes.set_yscale("log")
    if peaks:
        axes.set_ylim(min(peaks) / 30, max(peaks) * 2)
    axes.yaxis.set_major_locator(LogLocator(numticks=6))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda rate, _: f"{rate:g}".replace("e-0", "e-")))


def _mark_phase_ends(axes: Axes, schedule: Sequence[Mapping[str, Any]], *, wide: bool) -> None:
    """Ticks at the phases' ends; of those too close to each other to be read, the first and the last."""
    axes.xaxis.set_major_formatter(FuncFormatter(lambda step, _: f"{step:,.0f}"))
    ends = sorted({0, *(phase["end"] for phase in schedule)})
    if len(ends) < 2:
        axes.xaxis.set_major_locator(MaxNLocator(8 if wide else 4, integer=True))
        return
    room = ends[-1] * (0.07 if wide else 0.17)
    kept = [ends[0]]
    for end in ends[1:-1]:
        if end - kept[-1] >= room and ends[-1] - end >= room:
            kept.append(end)
    axes.set_xticks([*kept, ends[-1]])


def _handle(label: str, colour: str = "ink", **style: Any) -> Line2D:
    return Line2D([], [], color=light(colour), markersize=3.5, label=label, **style)


def _small_legend(axes: Axes, handles: Sequence[Line2D], columns: int = 2) -> None:
    axes.legend(handles=handles, loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0, ncols=columns)
