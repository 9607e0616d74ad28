"""The legend that tells the arms of a figure apart: whole at any number of arms, and however long their names are."""

from collections.abc import Mapping, Sequence
from textwrap import wrap

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.textpath import TextPath

from .svg_figure import NARROW, WIDE, ArmStyle

_HANDLE, _LINE = 0.8, 0.175
"""Inches of an entry's line with the space around it, and of a line of text, in 8 points."""


def draw_arm_legend(figure: Figure, styles: Mapping[str, ArmStyle], *, wide: bool) -> None:
    """Names the arms above the panels, in as many columns as there is room for; a single arm needs no legend."""
    if len(styles) < 2:
        return
    columns, texts = _layout(list(styles), wide=wide)
    handles = [
        Line2D(
            [],
            [],
            color=style.colour,
            linestyle=style.line,
            marker=style.marker,
            label=text,
            linewidth=1.6,
            markersize=4.5,
        )
        for style, text in zip(styles.values(), texts, strict=True)
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=columns, handlelength=4)


def arm_legend_height(arms: Sequence[str], *, wide: bool) -> float:
    """Inches that a figure must be higher by for the legend of these arms, beyond that of one line."""
    columns, texts = _layout(arms, wide=wide)
    rows = -(-len(texts) // columns)
    return _LINE * (rows * max(text.count("\n") + 1 for text in texts) - 1)


def shortened(arm: str, *, wide: bool) -> str:
    """A name as it fits beside a panel: of a long one the beginning and the end, since the legend has it whole."""
    most = 30 if wide else 14
    return arm if len(arm) <= most else f"{arm[: most // 2]}…{arm[-most // 2 + 1 :]}"


def _layout(arms: Sequence[str], *, wide: bool) -> tuple[int, list[str]]:
    """The number of columns, and the names, broken where one is longer than the figure is wide."""
    width = WIDE if wide else NARROW
    texts = ["\n".join(wrap(arm, int(len(arm) * (width - _HANDLE) / _inches(arm)))) for arm in arms]
    longest = max(_inches(line) for text in texts for line in text.split("\n"))
    return max(1, min(len(texts), int(width / (_HANDLE + longest)))), texts


def _inches(text: str) -> float:
    """The width of a text in 8 points, and a tenth: a page is read in the fonts that its reader has."""
    return float(1.1 * TextPath((0, 0), text, size=8).get_extents().width / 72)
