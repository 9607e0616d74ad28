"""Why it may work: the loss between the models of a run and the sharpness of each, as `landscape.json` and as a figure.

The paper explains DSD by saddle points left and by flatter, more robust minima; these are the two measurements that
such a claim can be held against. `measure_landscape` makes them.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from hf_dsd.files import read_json_object, write_json

from .svg_figure import ARM_COLOURS, Draw, arm_role, label_panel, light

LANDSCAPE_FILE_NAME = "landscape.json"

_LINE_ROLES = ("blue", "vermilion", "green", "purple", "ochre", "teal")
_MARKERS = "os^Dv*"


@dataclass(frozen=True)
class Line:
    """The loss along the straight line between two models.

    Attributes:
        start: Name of the model at position 0.
        end: Name of the model at position 1.
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
        directions: Number of random directions.
        seed: What the directions were drawn with.
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
        """Reads what `write` wrote.

        Raises:
            FileNotFoundError: If the folder has no `landscape.json`.
            ValueError: If the file is damaged, or a newer version of hf_dsd wrote it.
        """
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
    if not isinstance(losses, dict) or not losses or not _are_numbers(list(losses.values())):
        raise ValueError("'losses' must give each model a number")
    if not _are_numbers(radii) or not radii:
        raise ValueError("'radii' must be numbers")
    for name in ("sharpness", "spread"):
        found = content[name]
        if not isinstance(found, dict) or found.keys() != losses.keys():
            raise ValueError(f"{name!r} must be of the models of 'losses'")
        if not all(_are_numbers(row) and len(row) == len(radii) for row in found.values()):
            raise ValueError(f"{name!r} must hold a number for each radius")
    if not isinstance(lines, list) or not all(map(_is_line, lines)):
        raise ValueError("'lines' must have start, end, and as many positions as losses")
    if not all(isinstance(content[name], str) for name in ("definition", "data", "batch_norm")):
        raise ValueError("'definition', 'data' and 'batch_norm' must be texts")


def _is_line(line: Any) -> bool:
    if not isinstance(line, dict) or line.keys() != {field.name for field in fields(Line)}:
        return False
    positions, losses = line["positions"], line["losses"]
    names = isinstance(line["start"], str) and isinstance(line["end"], str)
    return names and _are_numbers(positions) and _are_numbers(losses) and 0 < len(positions) == len(losses)


def _are_numbers(values: Any) -> bool:
    return isinstance(values, list) and all(isinstance(value, float | int) for value in values)


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
