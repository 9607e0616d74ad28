"""Why it may work: the loss between the models of a run and the sharpness of each, as `landscape.json` and as a figure.

The paper explains DSD by saddle points left and by flatter, more robust minima; these are the two measurements that
such a claim can be held against. `measure_landscape` makes them.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from hf_dsd.files import read_json_object, write_json
from hf_dsd.runs.json_checks import is_number, is_text, list_of, values

from .svg_figure import ArmStyle, Draw, label_panel, light

LANDSCAPE_FILE_NAME = "landscape.json"

_LINE_ROLES = ("blue", "vermilion", "green", "purple", "ochre", "teal")
_MARKERS = "os^Dv*"


@dataclass(frozen=True)
class Line:
    """The loss along the straight line from the model `start` to the model `end`.

    Attributes:
        positions: t in [0, 1], rising; the weights are (1 - t) start + t end.
        losses: The loss at each of these positions.
    """

    start: str
    end: str
    positions: Sequence[float]
    losses: Sequence[float]

    @property
    def barrier(self) -> float:
        """How far the highest loss on the line lies above the higher of its ends; 0 where none does."""
        return max(0.0, max(self.losses) - max(self.losses[0], self.losses[-1]))


@dataclass(frozen=True)
class Landscape:
    """What `loss_landscape` measured.

    Attributes:
        losses: Model -> its loss.
        lines: Between the models.
        radii: How far the perturbations reach, relative to the weights' norm.
        sharpness: Model -> its sharpness at each radius.
        spread: Model -> the sample standard deviation over the directions, at each radius.
        directions: Number of random directions, drawn with `seed`.
        definition: What sharpness is, in words.
        data: What the loss was measured on.
        batch_norm: How batch norm's statistics were treated, in words; "" for a model without.
        version: The file's format.
    """

    losses: Mapping[str, float]
    lines: Sequence[Line]
    radii: Sequence[float]
    sharpness: Mapping[str, Sequence[float]]
    spread: Mapping[str, Sequence[float]]
    directions: int
    seed: int
    definition: str
    data: str = ""
    batch_norm: str = ""
    version: int = 1

    def sharpness_at(self, model: str, radius: float) -> tuple[float, float] | None:
        """A model's sharpness at one of the radii, and its standard deviation; None if it was not measured there."""
        if radius not in self.radii:
            return None
        place = list(self.radii).index(radius)
        return self.sharpness[model][place], self.spread[model][place]

    def write(self, folder: str | os.PathLike[str]) -> Path:
        """Writes `landscape.json` into a run's folder, atomically, and returns its path."""
        return write_json(Path(folder) / LANDSCAPE_FILE_NAME, asdict(self))

    @classmethod
    def read(cls, folder: str | os.PathLike[str]) -> "Landscape":
        """Reads what `write` wrote; a file that is damaged, or of a newer version of hf_dsd, is a ValueError."""
        path = Path(folder) / LANDSCAPE_FILE_NAME
        try:
            content = read_json_object(path)
            version = content.get("version", 1)
            if version == 1:
                _check(content)
                return cls(**{**content, "lines": [Line(**line) for line in content["lines"]]})
        except ValueError as error:
            raise ValueError(f"{path} cannot be read ({error}): measure it again, or remove it") from error
        raise ValueError(f"{path} has format version {version!r}, this hf_dsd reads 1: upgrade hf-dsd")


def _check(content: Mapping[str, Any]) -> None:
    """Every value that a figure or a table uses; a loss may be NaN, where a model has diverged."""
    names = {field.name for field in fields(Landscape)}
    if content.keys() != names:
        raise ValueError(f"it lacks or does not know {', '.join(sorted(content.keys() ^ names))}")
    losses, radii, lines = content["losses"], content["radii"], content["lines"]
    if not values(is_number)(losses) or not losses:
        raise ValueError("'losses' must give each model a number")
    if not list_of(is_number)(radii) or not radii:
        raise ValueError("'radii' must be numbers")
    for name in ("sharpness", "spread"):
        found = content[name]
        if not isinstance(found, dict) or found.keys() != losses.keys():
            raise ValueError(f"{name!r} must be of the models of 'losses'")
        if not values(list_of(is_number, len(radii)))(found):
            raise ValueError(f"{name!r} must hold a number for each radius")
    if not list_of(_is_line)(lines):
        raise ValueError("'lines' must have start, end, and as many positions as losses")
    if not all(is_text(content[name]) for name in ("definition", "data", "batch_norm")):
        raise ValueError("'definition', 'data' and 'batch_norm' must be texts")


def _is_line(line: Any) -> bool:
    if not isinstance(line, dict) or line.keys() != {field.name for field in fields(Line)}:
        return False
    numbers = list_of(is_number)(line["positions"]) and list_of(is_number, len(line["positions"]))(line["losses"])
    return numbers and bool(line["losses"]) and is_text(line["start"]) and is_text(line["end"])


def draw_landscapes(landscapes: Mapping[str, Landscape], primary: str, styles: Mapping[str, ArmStyle]) -> Draw:
    """Returns how to draw the primary run's lines, and all runs' sharpness at the largest radius that they share.

    Runs are called by their labels (`dsd, seed 1`), in `styles`, too.
    """

    def draw(figure: Figure, wide: bool) -> None:
        ratios = [3.2, _bars_height(landscapes) + 0.6]
        left, right = figure.subplots(1, 2) if wide else figure.subplots(2, 1, height_ratios=ratios)
        _draw_lines(left, landscapes[primary])
        _draw_sharpness(right, landscapes, styles)

    return draw


def landscape_height(landscapes: Mapping[str, Landscape]) -> tuple[float, float]:
    """Inches for the wide and the narrow figure."""
    bars = _bars_height(landscapes)
    return max(3.2, bars + 1), 3.3 + bars + 0.9


def _bars_height(landscapes: Mapping[str, Landscape]) -> float:
    return 0.24 * sum(len(found.losses) for found in landscapes.values())


def short_phase(name: str) -> str:
    """`0 dense` of `phase-0-dense`."""
    return name.removeprefix("phase-").replace("-", " ", 1)


def _draw_lines(axes: Axes, landscape: Landscape) -> None:
    label_panel(axes, "loss along the straight lines", "position between the two models", "loss")
    for line, role, marker in zip(landscape.lines, cycle(_LINE_ROLES), cycle(_MARKERS), strict=False):
        label = f"{short_phase(line.start)} to {short_phase(line.end)}"
        axes.plot(line.positions, line.losses, color=light(role), marker=marker, markersize=3.5, label=label)
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.12 * (len(landscape.lines) + 0.5) * (high - low))  # room for the legend
    if landscape.lines:
        axes.legend(loc="upper left")


def shared_radius(landscapes: Mapping[str, Landscape]) -> float:
    """The largest radius that all runs were measured at; where they share none, the first run's largest."""
    first, *others = (set(found.radii) for found in landscapes.values())
    return max(first.intersection(*others) or first)


def _draw_sharpness(axes: Axes, landscapes: Mapping[str, Landscape], styles: Mapping[str, ArmStyle]) -> None:
    radius = shared_radius(landscapes)
    label_panel(axes, f"sharpness at radius {radius:g}", "mean rise of the loss ± sd")
    rows = [
        (run, phase, *measured)
        for run, found in landscapes.items()
        for phase in found.losses
        if (measured := found.sharpness_at(phase, radius)) is not None
    ]
    names = [f"{run}: {short_phase(phase)}" if len(landscapes) > 1 else short_phase(phase) for run, phase, _, _ in rows]
    colours = [styles[run].colour for run, *_ in rows]
    rises, spreads, places = [row[2] for row in rows], [row[3] for row in rows], np.arange(len(rows))
    axes.barh(places, rises, color=colours, height=0.7)
    axes.errorbar(rises, places, xerr=spreads, fmt="none", ecolor=light("ink"), elinewidth=1, capsize=2)
    axes.set_yticks(places, names)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
