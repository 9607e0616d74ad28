"""The paper's Figure 2, and what became of the pruned weights."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from hf_dsd.runs.numbers import significant

from .sparse_layer import Moment, SparseLayer, finite, returns_by_value
from .svg_figure import Draw, label_panel, light

_KEPT, _PRUNED = "blue", "vermilion"


def draw_moments(moments: Sequence[Moment]) -> Draw:
    """Returns how to draw one histogram per moment, all to one scale."""

    def draw(figure: Figure, wide: bool) -> None:
        shape = (1, len(moments)) if wide else (len(moments), 1)
        panels = list(np.atleast_1d(figure.subplots(*shape, sharex=True, sharey=True)).flat)
        top = histogram_top(moments)
        for index, (axes, moment) in enumerate(zip(panels, moments, strict=True)):
            label_panel(axes, f"{index + 1}  {moment.title}")
            _bars(axes, moment)
            _note(axes, moment, top)
            axes.set_ylim(0, top * 1.35)
            axes.xaxis.set_major_locator(MaxNLocator(3, symmetric=True))
            axes.yaxis.set_major_locator(MaxNLocator(4))
            axes.yaxis.set_major_formatter(FuncFormatter(lambda count, _: _thousands(count)))
            if wide or index == len(moments) - 1:
                axes.set_xlabel("weight")
            if not wide or index == 0:
                axes.set_ylabel("weights per bin")
        handles = [
            axes.fill_between([], [], color=light(role), label=text)
            for role, text in ((_KEPT, "kept by the mask"), (_PRUNED, "pruned in the sparse phase"))
        ]
        figure.legend(handles=handles, loc="outside upper left", ncols=2)

    return draw


def histogram_top(moments: Sequence[Moment]) -> int:
    """The highest bin that is drawn whole: of kept weights, or of the dense model's.

    What comes back after pruning crowds around zero, far higher: drawn whole, it would flatten everything else.
    """
    dense = int((moments[0].kept + moments[0].returned).max())
    return max(1, dense, *(int(moment.kept.max()) for moment in moments))


def _bars(axes: Axes, moment: Moment) -> None:
    axes.stairs(moment.kept, moment.edges, fill=True, color=light(_KEPT))
    if moment.returned.any():
        both = moment.kept + moment.returned
        axes.stairs(both, moment.edges, baseline=moment.kept.astype(float), fill=True, color=light(_PRUNED))


def _note(axes: Axes, moment: Moment, top: int) -> None:
    highest = int((moment.kept + moment.returned).max())
    if moment.absent:
        text = "pruned weights\nare zero: not drawn"
    elif moment.at_zero > moment.returned.sum():
        axes.vlines(0, 0, top * 1.08, colors=light(_PRUNED), linewidth=2.2)
        text = f"{_thousands(moment.at_zero)} weights\nat exactly 0"
    elif highest > top:
        axes.fill_between(moment.edges[[0, -1]], top * 1.08, top * 1.35, color=light("paper"), zorder=5)
        text = f"cut off: the highest\nbin holds {_thousands(highest)}"
    else:
        return
    axes.text(
        0.5, 0.985, text, transform=axes.transAxes, ha="center", va="top", fontsize=7, color=light("muted"), zorder=6
    )


def draw_fate(layer: SparseLayer) -> Draw:
    """Returns how to draw a layer's pruned weights after re-training: their sizes, and where they went."""

    def draw(figure: Figure, wide: bool) -> None:
        left, right = figure.subplots(1, 2) if wide else figure.subplots(2, 1)
        _draw_sizes(left, layer)
        _draw_returns(right, layer)

    return draw


def _draw_sizes(axes: Axes, layer: SparseLayer) -> None:
    label_panel(axes, "how large they came back", "magnitude after re-dense", "share of weights per bin [%]")
    if layer.redense is None:
        return
    edges = np.linspace(0, float(np.quantile(np.abs(finite(layer.redense)), 0.995)) or 1.0, 51)
    for role, text, chosen in ((_KEPT, "kept", ~layer.pruned), (_PRUNED, "pruned", layer.pruned)):
        sizes = np.abs(finite(layer.redense[chosen]))
        if sizes.size:
            counts = np.histogram(np.clip(sizes, 0, edges[-1]), edges)[0]
            axes.stairs(100 * counts / sizes.size, edges, color=light(role), linewidth=1.5, label=text)
    if layer.threshold is not None:
        axes.axvline(layer.threshold, color=light("muted"), linewidth=1, linestyle="dashed", label="pruned below this")
    axes.set_xlim(0, edges[-1])
    axes.set_ylim(bottom=0)
    axes.legend(loc="upper right")


def _draw_returns(axes: Axes, layer: SparseLayer) -> None:
    label_panel(axes, "where they went", "value before pruning", "value after re-dense")
    found = returns_by_value(layer)
    if not found:
        return
    dense, low, median, high, _ = zip(*found, strict=True)
    range_style: dict[str, Any] = {"facecolor": light(_PRUNED), "alpha": 0.22, "edgecolor": "none"}
    axes.fill_between(dense, low, high, **range_style, label="10th to 90th percentile")
    axes.plot(dense, median, color=light(_PRUNED), label="median of pruned weights")
    axes.plot(dense, dense, color=light("muted"), linewidth=1, linestyle="dashed", label="back to the old value")
    axes.axhline(0, color=light("rule"), linewidth=0.8)
    reach = max(map(abs, (*dense, *low, *high)))
    axes.set_ylim(-1.1 * reach, 1.75 * reach)
    axes.legend(loc="upper left")


def _thousands(count: float) -> str:
    size, unit = (1e6, " M") if count >= 1e6 else (1e3, " k") if count >= 1e3 else (1, "")
    return f"{significant(count / size, 3)}{unit}"
