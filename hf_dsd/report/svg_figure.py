"""Matplotlib figures as inline SVG for a page of either colour scheme, and as PNG for a paper.

The house colours are told apart by colour-blind eyes, on light and on dark paper: Okabe and Ito's palette, lighter on
dark paper. A figure is drawn in the light colours; in a page each of them becomes a CSS variable of the role's name, so
one figure serves both schemes.

References:
    Okabe and Ito, `Color Universal Design <https://jfly.uni-koeln.de/color/>`_, 2008.
"""

import io
import logging
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import cycle, product
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hf_dsd.files import written_whole

logger = logging.getLogger(__name__)


class Colour(NamedTuple):
    """A role's colour on light and on dark paper, as #rrggbb; every light one is different from all others."""

    light: str
    dark: str


COLOURS: Mapping[str, Colour] = {
    "paper": Colour("#fffffe", "#14181d"),
    "ink": Colour("#1b2026", "#e8eaed"),
    "muted": Colour("#5c6670", "#a3adb8"),
    "rule": Colour("#d5dadf", "#3a424b"),
    "band": Colour("#eef1f6", "#222a35"),
    "blue": Colour("#0072b2", "#56b4e9"),
    "vermilion": Colour("#d55e00", "#ff9a5c"),
    "green": Colour("#009e73", "#3ccfa4"),
    "purple": Colour("#b0578d", "#e7a6cb"),
    "ochre": Colour("#b07800", "#f0c24a"),
    "grey": Colour("#6b7680", "#9aa5b1"),
    "teal": Colour("#1f7f95", "#72cfe2"),
}

_LINES: Any = ("solid", (0, (5, 1.5)), (0, (1.2, 1.2)), (0, (6, 1.5, 1.2, 1.5)), (0, (9, 1.5, 3, 1.5)))
"""Lines differ in more than their colour: solid, or (offset, (on, off, ...)) in line widths."""


_MARKERS = ("o", "s", "^", "X", "v")


class ArmStyle(NamedTuple):
    """How an arm is drawn in every figure of a page: its colour's role, matplotlib's style of its lines, and marker."""

    role: str
    line: Any = _LINES[0]
    marker: str = _MARKERS[0]

    @property
    def colour(self) -> str:
        """The colour to draw with."""
        return light(self.role)


_KNOWN_ARMS: Mapping[str, ArmStyle] = {
    "dsd": ArmStyle("blue"),
    "dense": ArmStyle("vermilion", _LINES[1]),
    "random": ArmStyle("green", _LINES[2]),
    "iterative": ArmStyle("purple", _LINES[3]),
    "sparse": ArmStyle("ochre"),
    "ema": ArmStyle("grey"),
    "swa": ArmStyle("teal"),
}


def light(role: str) -> str:
    """The colour to draw with."""
    return COLOURS[role].light


def arm_styles(arms: Iterable[str]) -> dict[str, ArmStyle]:
    """The style of each arm of a page: no two have the same colour and line in up to 35 arms, nor marker in up to 175.

    The known arms look the same on all pages. Arms of other names get, in their order, the colours that no known one of
    the page has, then the others, each with a line that differs from the one before; a colour that comes again has
    another marker, too.
    """
    names = list(dict.fromkeys(arms))
    known = {name: style for name, style in _KNOWN_ARMS.items() if name in names}
    left_first = sorted(enumerate(_KNOWN_ARMS), key=lambda found: found[1] in known)
    count = len(_LINES)
    styles = [
        # Every `count` turns the lines come again, each with the next marker.
        ArmStyle(_KNOWN_ARMS[name].role, _LINES[(place + turn) % count], _MARKERS[(turn + turn // count) % count])
        for turn, (place, name) in product(range(count * len(_MARKERS)), left_first)
    ]
    others = cycle([style for style in styles if style not in known.values()])
    return {name: known.get(name) or next(others) for name in names}


WIDE, NARROW = 9.0, 3.9
"""Inches: on a desktop and in print, and on a phone, where a figure of 9 inches would be unreadably small."""

DPI = 300

STYLE: Any = {
    "text.parse_math": False,  # a layer's name may hold a dollar sign
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial", "sans-serif"],
    **dict.fromkeys(("font.size", "axes.labelsize"), 8.5),
    **dict.fromkeys(("xtick.labelsize", "ytick.labelsize", "legend.fontsize"), 8),
    **dict.fromkeys(("axes.labelcolor", "axes.titlecolor", "text.color"), light("ink")),
    **dict.fromkeys(("axes.edgecolor", "xtick.color", "ytick.color"), light("muted")),
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.facecolor": "none",
    **dict.fromkeys(("axes.spines.top", "axes.spines.right", "axes.formatter.use_mathtext", "legend.frameon"), False),
    "axes.linewidth": 0.7,
    **dict.fromkeys(("axes.grid", "axes.axisbelow"), True),
    "grid.color": light("rule"),
    "grid.linewidth": 0.5,
    "lines.linewidth": 1.5,
    "svg.fonttype": "none",  # text stays text: it can be read aloud, searched and copied
    "svg.hashsalt": "hf_dsd",  # the same figure, the same bytes
}

Draw = Callable[[Figure, bool], None]
"""Draws into an empty figure; True means wide."""


@dataclass(frozen=True)
class PageFigure:
    """A figure for the page, in the two widths, and its caption.

    Attributes:
        name: Stem of the PNG's file, and of the page's anchor.
        alt: What it shows, in one sentence, for who cannot see it.
        wide: Inline SVG for desktops.
        narrow: Inline SVG for phones.
        missing: Why it could not be drawn, or "".
    """

    name: str
    alt: str
    wide: Markup = Markup()
    narrow: Markup = Markup()
    missing: str = ""


def render_figure(name: str, alt: str, draw: Draw, height: tuple[float, float], png_folder: Path) -> PageFigure:
    """Draws a figure, one of `FIGURES`, as two SVGs and as `png_folder/NAME.png`, or says why it is `missing`.

    `height` is in inches, of the wide and of the narrow figure.
    """
    try:
        with mpl.rc_context(STYLE):
            return _render(name, alt, draw, height, png_folder)
    except ValueError as error:  # matplotlib's, for numbers that fit on no axis: one figure is no reason to lose a page
        logger.warning("figure %s cannot be drawn: %s", name, error)
        return PageFigure(name, alt, missing=f"The figure cannot be drawn: {error}")


def _render(name: str, alt: str, draw: Draw, height: tuple[float, float], png_folder: Path) -> PageFigure:
    wide = _figure(draw, height[0], wide=True)
    png_folder.mkdir(parents=True, exist_ok=True)
    with written_whole(png_folder / f"{name}.png") as partial:
        wide.savefig(partial, format="png", dpi=DPI, facecolor="white", metadata={"Software": None})
    narrow = _figure(draw, height[1], wide=False)
    return PageFigure(name, alt, _svg(wide, f"{name}-w", alt), _svg(narrow, f"{name}-n", alt))


def _figure(draw: Draw, height: float, *, wide: bool) -> Figure:
    figure = Figure(figsize=(WIDE if wide else NARROW, height), layout="constrained", facecolor="none")
    engine = figure.get_layout_engine()
    engine.set(w_pad=0.03, h_pad=0.04)  # type: ignore[union-attr, call-arg]
    draw(figure, wide)
    # Laid out once and frozen: savefig would do it anew for every file, with a draw of its own.
    engine.execute(figure)  # type: ignore[union-attr]
    figure.set_layout_engine(None)
    return figure


def _svg(figure: Figure, prefix: str, alt: str) -> Markup:
    """The figure's <svg> element alone: own ids, colours as CSS variables, no metadata, no size of its own."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    # Matplotlib's own ids repeat from figure to figure, and some of them change from call to call.
    own = {name: f"{prefix}-{number}" for number, name in enumerate(re.findall(r'<[^<>]* id="([^"]+)"', text))}
    text = re.sub(r'(\bid="|href="#|url\(#)([^")]+)', lambda found: found[1] + own.get(found[2], found[2]), text)
    for role, colour in COLOURS.items():
        text = text.replace(colour.light, f"var(--{role})")
    for size in ("width", "height"):
        text = re.sub(rf'(<svg[^>]*?) {size}="[^"]*"', r"\1", text, count=1)
    return Markup(text.replace("<svg", f'<svg role="img" aria-label="{escape(alt)}"', 1))  # noqa: S704 (matplotlib's own)


def label_panel(axes: Axes, title: str, x: str = "", y: str = "") -> None:
    """Gives a panel its title and the labels of its axes, with their units."""
    axes.set_title(title)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
