"""A sensitivity analysis as a figure."""

import math
import os
from pathlib import Path

import matplotlib as mpl
import numpy as np
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


def draw_sensitivity(result: Sensitivity, folder: str | os.PathLike[str]) -> Path:
    """Writes `sensitivity.png` into a folder, atomically, and returns its path."""
    path = Path(folder) / FILE_NAME
    with written_whole(path) as partial:
        build_figure(result).savefig(partial, dpi=130, format="png")
    return path


def build_figure(result: Sensitivity) -> Figure:
    """The deciding metric against sparsity: on the left all layers pruned at once, on the right each alone."""
    with mpl.rc_context({"text.parse_math": False}):  # a path or a layer's name may hold a dollar sign
        figure = Figure(figsize=(12, 4.6), layout="constrained")
        left, right = figure.subplots(1, 2, sharex=True, sharey=True)
        _draw_together(left, result)
        _draw_layers(right, result)
        left.set_ylabel(f"{result.metric}, {'greater' if result.greater_is_better else 'smaller'} is better")
        left.set_ylim(*_shown_range(result))
        for axes, title in ((left, "all layers at once"), (right, "each layer alone")):
            axes.axhline(result.dense[result.metric], color="0.6", linewidth=1, linestyle=":")
            axes.set_title(title, fontsize=10)
            axes.set_xlabel("sparsity (pruned only, not retrained)")
            axes.xaxis.set_major_formatter(PercentFormatter(1.0))
        if is_rate(result.metric):
            left.yaxis.set_major_formatter(PercentFormatter(1.0))
        figure.suptitle(f"{result.model}\n{result.data}", fontsize=10)
        return figure


def _draw_together(axes: Axes, result: Sensitivity) -> None:
    """The curve of all layers, the tolerance, and the suggestion as it was measured."""
    _plot(axes, result.together, result.metric, color="black", marker="o", zorder=3)
    sign, dense, points = _sign(result), result.dense[result.metric], result.together.points
    axes.axhspan(dense, dense + sign * result.allowed, color="tab:green", alpha=0.15, label="tolerated")
    errors = [2 * point.standard_error for point in points if point.standard_error is not None]
    if len(errors) == len(points):
        values, sparsities = [point.scores[result.metric] for point in points], [point.sparsity for point in points]
        low, high = np.subtract(values, errors), np.add(values, errors)
        axes.fill_between(sparsities, low, high, color="black", alpha=0.12, label="± 2 standard errors")
    suggestion = result.suggestion
    if suggestion.sparsity is not None:
        label = "suggested" + (", with overrides" if suggestion.sparsity_overrides else "")
        value = dense + sign * suggestion.worse_by
        axes.plot(suggestion.sparsity, value, "*", color="tab:green", markersize=15, zorder=4, label=label)
    axes.legend(fontsize=8, loc="upper left" if sign > 0 else "lower left")


def _draw_layers(axes: Axes, result: Sensitivity) -> None:
    """One line a layer; the costliest ones are named, in the order in which they end."""
    ranked = sorted(result.layers, key=_cost, reverse=True)
    for layer in ranked[_NAMED:]:
        _plot(axes, layer, result.metric, color="0.75", linewidth=1)
    named = {
        layer.name: _plot(axes, layer, result.metric, color=f"C{number}", marker="o", markersize=3, label=layer.name)
        for number, layer in enumerate(ranked[:_NAMED])
    }
    if len(ranked) > _NAMED:
        (named[f"{len(ranked) - _NAMED} others"],) = axes.plot([], [], color="0.75")
    # matplotlib leaves out labels that begin with an underscore, as a layer's name may: the names come after.
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


def _shown_range(result: Sensitivity) -> tuple[float, float]:
    """The scores between which the axis ends, so that the tolerance is still to be seen."""
    curves = (result.together, *result.layers)
    costs = [point.worse_by for curve in curves for point in curve.points if math.isfinite(point.worse_by)]
    worst = min(max(*costs, 2 * result.allowed), _SHOWN_TOLERANCES * result.allowed)
    best = max(min(costs), -worst)
    margin = 0.05 * (worst - best)
    ends = [result.dense[result.metric] + _sign(result) * cost for cost in (best - margin, worst + margin)]
    return min(ends), max(ends)


def _sign(result: Sensitivity) -> int:
    """Where worse lies on the axis: 1 upwards, -1 downwards."""
    return -1 if result.greater_is_better else 1
