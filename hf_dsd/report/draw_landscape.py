"""Loss along the lines between the models of a run, and the sharpness of every run's models.

Layer: matplotlib on the landscape next door.
"""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from .landscape import Landscape
from .palette import ARM_COLOURS, arm_role, light
from .svg_figure import Draw, label_panel

_LINE_ROLES = ("blue", "vermilion", "green", "purple", "ochre", "teal")
_MARKERS = "os^Dv*"


def draw_landscapes(landscapes: Mapping[str, Landscape], primary: str) -> Draw:
    """Returns how to draw the primary run's lines, and all runs' sharpness at the largest radius that they share.

    Args:
        landscapes: Label of a run (`dsd, seed 1`) -> its landscape.
        primary: Whose lines are drawn.
    """

    def draw(figure: Figure, wide: bool) -> None:
        left, right = figure.subplots(1, 2) if wide else figure.subplots(2, 1, height_ratios=_ratios(landscapes))
        _draw_lines(left, landscapes[primary])
        _draw_sharpness(right, landscapes)

    return draw


def landscape_height(landscapes: Mapping[str, Landscape]) -> tuple[float, float]:
    """Inches for the wide and the narrow figure."""
    rows = 0.24 * sum(len(found.losses) for found in landscapes.values())
    return max(3.2, rows + 1), 3.3 + rows + 0.9


def _ratios(landscapes: Mapping[str, Landscape]) -> list[float]:
    return [3.2, 0.24 * sum(len(found.losses) for found in landscapes.values()) + 0.6]


def short_phase(name: str) -> str:
    """`0 dense` of `phase-0-dense`."""
    return name.removeprefix("phase-").replace("-", " ", 1)


def _draw_lines(axes: Axes, landscape: Landscape) -> None:
    label_panel(axes, "loss along the straight lines", "position between the two models", "loss")
    for index, line in enumerate(landscape.lines):
        axes.plot(
            line.positions,
            line.losses,
            color=light(_LINE_ROLES[index % len(_LINE_ROLES)]),
            marker=_MARKERS[index % len(_MARKERS)],
            markersize=3.5,
            label=f"{short_phase(line.start)} to {short_phase(line.end)}",
        )
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.12 * (len(landscape.lines) + 0.5) * (high - low))  # room for the legend
    if landscape.lines:
        axes.legend(loc="upper left")


def shared_radius(landscapes: Mapping[str, Landscape]) -> float:
    """The largest radius that all runs were measured at; where they share none, the first run's largest."""
    first, *others = (set(found.radii) for found in landscapes.values())
    return max(first.intersection(*others) or first)


def _draw_sharpness(axes: Axes, landscapes: Mapping[str, Landscape]) -> None:
    radius = shared_radius(landscapes)
    label_panel(axes, f"sharpness at radius {radius:g}", "mean rise of the loss ± sd")
    rows = [
        (run, phase, *measured)
        for run, found in landscapes.items()
        for phase in found.losses
        if (measured := found.sharpness_at(phase, radius)) is not None
    ]
    names = [f"{run}: {short_phase(phase)}" if len(landscapes) > 1 else short_phase(phase) for run, phase, _, _ in rows]
    colours = [
        light(arm_role(run.partition(",")[0]) if run.partition(",")[0] in ARM_COLOURS else "blue") for run, *_ in rows
    ]
    places = np.arange(len(rows))
    axes.barh(places, [value for *_, value, _ in rows], color=colours, height=0.7)
    axes.errorbar(
        [value for *_, value, _ in rows],
        places,
        xerr=[spread for *_, spread in rows],
        fmt="none",
        ecolor=light("ink"),
        elinewidth=1,
        capsize=2,
    )
    axes.set_yticks(places, names)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
