"""The timeline: which phase every arm is in, and loss, metric and learning rate over the same steps.

Layer: matplotlib on the curves next door.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from hf_dsd.runs.metric_names import greater_is_better, is_rate, rate_unit, score_title

from .palette import arm_role, light, line_style
from .svg_figure import Draw, label_panel
from .timeline import Curves, Points


def draw_timeline(curves: Sequence[Curves], primary: Curves, metric: str | None) -> Draw:
    """Returns how to draw the timeline.

    Args:
        curves: Of all runs.
        primary: Whose sparse phases are shaded through all panels.
        metric: The key of `Curves.metric`; None leaves its panel out.
    """

    def draw(figure: Figure, wide: bool) -> None:
        metric_rows = 1 if any(found.metric for found in curves) else 0
        schedules = _schedules(curves)
        ratios = [0.26 * len(schedules) + 0.1, 2.0, *([1.6] * metric_rows), 1.2]
        panels = list(figure.subplots(len(ratios), 1, sharex=True, height_ratios=ratios))
        _draw_phases(panels[0], schedules, wide=wide)
        seen_from = _seen_from(primary)
        _draw_loss(panels[1], curves, seen_from)
        if metric_rows:
            _draw_metric(panels[2], curves, str(metric), seen_from)
        _draw_rate(panels[-1], curves)
        _shade(panels[1:], primary.run.schedule)
        panels[-1].set_xlabel("optimizer step")
        panels[-1].xaxis.set_major_locator(MaxNLocator(8 if wide else 4, integer=True))
        panels[-1].xaxis.set_major_formatter(FuncFormatter(lambda step, _: f"{step:,.0f}"))
        panels[-1].set_xlim(left=0)
        if len({found.run.arm for found in curves}) > 1:
            _legend(figure, curves, wide=wide)

    return draw


def timeline_height(curves: Sequence[Curves]) -> tuple[float, float]:
    """Inches for the wide and the narrow figure."""
    rows = 0.26 * len(_schedules(curves))
    panels = 5.6 if any(found.metric for found in curves) else 4.2
    return panels + rows, panels + rows + 0.4


def _schedules(curves: Sequence[Curves]) -> Mapping[str, Sequence[Mapping[str, Any]]]:
    """Arm -> its phases; the seeds of an arm share them unless one left a phase early, then the first is drawn."""
    found: dict[str, Sequence[Mapping[str, Any]]] = {}
    for curve in curves:
        found.setdefault(curve.run.arm, curve.run.schedule)
    return {arm: schedule for arm, schedule in found.items() if schedule}


def _draw_phases(axes: Axes, schedules: Mapping[str, Sequence[Mapping[str, Any]]], *, wide: bool) -> None:
    for row, (arm, schedule) in enumerate(schedules.items()):
        total = schedule[-1]["end"] or 1
        for phase in schedule:
            start, width = phase["start"], phase["end"] - phase["start"]
            sparse = phase["kind"] == "sparse"
            axes.barh(
                row,
                width,
                left=start,
                height=0.78,
                color=light(arm_role(arm)) if sparse else light("band"),
                edgecolor=light("paper"),
                linewidth=1.5,
            )
            text = f"S {phase['sparsity']:.0%}" if sparse else "D"
            if width / total > (0.06 if wide else 0.13):
                colour = light("paper") if sparse else light("ink")
                axes.text(start + width / 2, row, text, ha="center", va="center", color=colour, fontsize=7.5)
    axes.set_yticks(range(len(schedules)), list(schedules))
    axes.set_ylim(len(schedules) - 0.45, -0.55)
    axes.grid(visible=False)
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.tick_params(length=0, labelbottom=False)
    axes.set_title("phases: D dense, S sparse")


def _draw_loss(axes: Axes, curves: Sequence[Curves], seen_from: float) -> None:
    label_panel(axes, "loss", y="loss")
    for found in curves:
        _line(axes, found, found.train_loss, marker="", width=1.0)
        _line(axes, found, found.eval_loss, marker="o", width=1.4)
    handles = [
        Line2D([], [], color=light("ink"), linewidth=1.0, label="training"),
        Line2D([], [], color=light("ink"), linewidth=1.4, marker="o", markersize=3.5, label="validation"),
    ]
    axes.legend(handles=handles, loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0, ncols=2)
    _show(axes, [point for found in curves for point in (*found.train_loss, *found.eval_loss)], seen_from)


def _seen_from(primary: Curves) -> float:
    """The step from which on every value is seen: the first ones are so high that they would hide all others."""
    schedule = primary.run.schedule
    return schedule[0]["end"] / 2 if schedule else 0


def _show(axes: Axes, points: Points, seen_from: float) -> None:
    """Sets the range to the values from a step on, or to all where there are none."""
    values = [value for step, value in points if step >= seen_from] or [value for _, value in points]
    if values:
        margin = 0.08 * (max(values) - min(values) or 1)
        axes.set_ylim(min(values) - margin, max(values) + margin)


def _draw_metric(axes: Axes, curves: Sequence[Curves], metric: str, seen_from: float) -> None:
    factor = 100 if is_rate(metric) else 1
    better = {True: ", greater is better", False: ", smaller is better", None: ""}[greater_is_better(metric)]
    title = score_title(metric)
    label_panel(axes, f"validation {title.removesuffix(rate_unit(metric))}{better}", y=title)
    for found in curves:
        _line(axes, found, [(step, factor * value) for step, value in found.metric], marker="o", width=1.4)
    _show(axes, [(step, factor * value) for found in curves for step, value in found.metric], seen_from)


def _draw_rate(axes: Axes, curves: Sequence[Curves]) -> None:
    label_panel(axes, "learning rate", y="learning rate")
    peaks = []
    for found in curves:
        for curve in found.learning_rates:
            _line(axes, found, [(step, rate) for step, rate in curve if rate > 0], marker="", width=1.2)
        peaks += [phase["learning_rate"] for phase in found.run.schedule if phase.get("learning_rate")]
        for start, end, rate in found.peaks:
            axes.hlines(rate, start, end, colors=light(arm_role(found.run.arm)), linestyles="dotted", linewidth=1.4)
    axes.set_yscale("log")
    if peaks:
        axes.set_ylim(min(peaks) / 30, max(peaks) * 2)
    axes.yaxis.set_major_locator(LogLocator(numticks=6))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda rate, _: f"{rate:g}".replace("e-0", "e-")))


def _line(axes: Axes, found: Curves, points: Points, *, marker: str, width: float) -> None:
    if not points:
        return
    arm = found.run.arm
    axes.plot(
        [step for step, _ in points],
        [value for _, value in points],
        color=light(arm_role(arm)),
        linestyle=line_style(arm),
        linewidth=width,
        marker=marker,
        markersize=3.5,
        alpha=0.9,
        zorder=4 if arm == "dsd" else 3,
    )


def _shade(panels: Sequence[Axes], schedule: Sequence[Mapping[str, Any]]) -> None:
    for axes in panels:
        for phase in schedule:
            if phase["kind"] == "sparse":
                axes.axvspan(phase["start"], phase["end"], facecolor=light("band"), edgecolor="none", zorder=0)


def _legend(figure: Figure, curves: Sequence[Curves], *, wide: bool) -> None:
    arms = dict.fromkeys(found.run.arm for found in curves)
    handles = [
        Line2D(
            [],
            [],
            color=light(arm_role(arm)),
            linestyle=line_style(arm),
            linewidth=1.6,
            label=arm,
        )
        for arm in arms
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles) if wide else min(len(handles), 3))
