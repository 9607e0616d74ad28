"""A sensitivity analysis as a figure."""

import math
import os
from collections.abc import Mapping
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from hf_dsd.files import written_whole
from hf_dsd.runs.metric_names import is_rate

from .result import Curve, Sensitivity

FILE_NAME = "sensitivity.png"

_NAMED = 8  # layers with a colour of their own, those that cost most; the others are grey
_SHOWN_TOLERANCES = 8  # a pruned model's loss explodes: beyond so many tolerances the axis is cut off


def draw_sensitivity(
    result: Sensitivity, folder: str | os.PathLike[str], others: Mapping[str, bool] | None = None
) -> Path:
    """Writes `sensitivity.png`, atomically, and returns its path; arguments as at `build_figure`."""
    path = Path(folder) / FILE_NAME
    with written_whole(path) as partial:
        build_figure(result, others).savefig(partial, dpi=130, format="png")
    return path


def build_figure(result: Sensitivity, others: Mapping[str, bool] | None = None) -> Figure:
    """Scores against sparsity: a row for each score, on the left all layers pruned at once, on the right each alone.

    Args:
        result: What to draw.
        others: Scores to draw below the deciding one -> whether greater is better.
    """
    with mpl.rc_context({"text.parse_math": False}):  # a path or a layer's name may hold a dollar sign
        return _build_figure(result, {result.metric: result.greater_is_better, **(others or {})})


def _build_figure(result: Sensitivity, directions: Mapping[str, bool]) -> Figure:
    figure = Figure(figsize=(12, 1.2 + 3.4 * len(directions)), layout="constrained")
    rows = figure.subplots(len(directions), 2, squeeze=False, sharex=True, sharey="row")
    for (left, right), (name, greater_is_better) in zip(rows, directions.items(), strict=True):
        _draw_together(left, result, name)
        left.set_ylabel(f"{name}, {'greater' if greater_is_better else 'smaller'} is better")
        _draw_layers(right, result, name)
        _limit(left, result, name)
    rows[0][0].set_title("all layers at once", fontsize=10)
    rows[0][1].set_title("each layer alone", fontsize=10)
    for axes in rows[-1]:
        axes.set_xlabel("sparsity (pruned only, not retrained)")
        axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    figure.suptitle(f"{result.model}\n{result.data}", fontsize=10)
    return figure


def _draw_together(axes: Axes, result: Sensitivity, metric: str) -> None:
    """The curve of all layers, the tolerance, and the suggestion as it was measured."""
    _plot(axes, result.together, metric, color="black", marker="o", zorder=3)
    dense = result.dense[metric]
    axes.axhline(dense, color="0.6", linewidth=1, linestyle=":")
    if is_rate(metric):
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    if metric != result.metric:
        return
    sign, suggestion = (-1 if result.greater_is_better else 1), result.suggestion
    axes.axhspan(dense, dense + sign * result.allowed, color="tab:green", alpha=0.15, label="tolerated")
    errors = [point.standard_error for point in result.together.points]
    if None not in errors:
        spread = [(p.scores[metric], 2 * (p.standard_error or 0.0)) for p in result.together.points]
        sparsities = [point.sparsity for point in result.together.points]
        low, high = [value - two for value, two in spread], [value + two for value, two in spread]
        axes.fill_between(sparsities, low, high, color="black", alpha=0.12, label="± 2 standard errors")
    if suggestion.sparsity is not None:
        label = "suggested" + (", with overrides" if suggestion.sparsity_overrides else "")
        value = dense + sign * suggestion.worse_by
        axes.plot(suggestion.sparsity, value, "*", color="tab:green", markersize=15, zorder=4, label=label)
    axes.legend(fontsize=8, loc="upper left" if sign > 0 else "lower left")


def _draw_layers(axes: Axes, result: Sensitivity, metric: str) -> None:
    """One line a layer; the costliest ones are named, in the order in which they end."""
    ranked = sorted(result.layers, key=_cost, reverse=True)
    for layer in ranked[_NAMED:]:
        _plot(axes, layer, metric, color="0.75", linewidth=1)
    named = {
        layer.name: _plot(axes, layer, metric, color=f"C{number}", marker="o", markersize=3, label=layer.name)
        for number, layer in enumerate(ranked[:_NAMED])
    }
    axes.axhline(result.dense[metric], color="0.6", linewidth=1, linestyle=":")
    if len(ranked) > _NAMED:
        (named[f"{len(ranked) - _NAMED} others"],) = axes.plot([], [], color="0.75")
    if metric == result.metric:
        _draw_legend(axes, named)


def _draw_legend(axes: Axes, named: Mapping[str, Line2D]) -> None:
    """Labels first without the names: matplotlib leaves out what begins with an underscore, as a layer's name may."""
    numbers = [str(number) for number in range(len(named))]
    legend = axes.legend(list(named.values()), numbers, fontsize=7, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    for text, name in zip(legend.get_texts(), named, strict=True):
        text.set_text(name)


def _plot(axes: Axes, curve: Curve, metric: str, **style: object) -> Line2D:
    values = [point.scores[metric] for point in curve.points]
    finite = [value if math.isfinite(value) else math.nan for value in values]  # a gap, where a model diverges
    (line,) = axes.plot([point.sparsity for point in curve.points], finite, **style)  # type: ignore[arg-type]
    return line


def _cost(layer: Curve) -> float:
    """What orders layers: the sum of all that the curve is worse; one that diverges comes first."""
    total = math.fsum(point.worse_by for point in layer.points if math.isfinite(point.worse_by))
    return total if all(math.isfinite(point.worse_by) for point in layer.points) else math.inf


def _limit(axes: Axes, result: Sensitivity, metric: str) -> None:
    """Cuts the deciding metric's axis off where the tolerance would be too small to see."""
    if metric != result.metric:
        return
    sign, dense = (-1 if result.greater_is_better else 1), result.dense[metric]
    curves = (result.together, *result.layers)
    costs = [point.worse_by for curve in curves for point in curve.points if math.isfinite(point.worse_by)]
    worst = min(max(*costs, 2 * result.allowed), _SHOWN_TOLERANCES * result.allowed)
    best = max(min(costs), -worst)
    margin = 0.05 * (worst - best)
    low, high = sorted((dense + sign * (best - margin), dense + sign * (worst + margin)))
    axes.set_ylim(low, high)
