"""The demo's picture: scenes with the captions that each model wrote under them."""

import textwrap
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

_RIGHT, _WRONG = "#1a7f37", "#b42318"


def draw_captioned_scenes(
    images: Sequence[Image.Image], captions: Sequence[Sequence[Sequence[tuple[str, bool]]]], path: Path
) -> Path:
    """Draws images in rows of three with their captions below, writes a PNG and returns its path.

    Args:
        images: At least one RGB image.
        captions: For each image its captions, of words that may be wrong: these are in brackets, and their line is red.
        path: Where to write; its folder must exist.
    """
    columns = min(3, len(images))
    rows = -(-len(images) // columns)
    figure = Figure(figsize=(4.6 * columns, 4.9 * rows), layout="constrained")
    places = figure.subplots(2 * rows, columns, squeeze=False, height_ratios=[3, 2] * rows)
    for index, (image, lines) in enumerate(zip(images, captions, strict=True)):
        row, column = divmod(index, columns)
        places[2 * row, column].imshow(image, interpolation="nearest")
        _write_captions(places[2 * row + 1, column], lines)
    for axes in figure.axes:
        axes.set_axis_off()
    figure.savefig(path, dpi=100)
    return path


def _write_captions(axes: Axes, lines: Sequence[Sequence[tuple[str, bool]]]) -> None:
    top = 1.0
    for words in lines:
        text = " ".join(f"[{word}]" if wrong else word for word, wrong in words)
        folded = textwrap.wrap(text, 58, subsequent_indent="    ")
        color = _WRONG if any(wrong for _, wrong in words) else _RIGHT
        axes.text(0, top, "\n".join(folded), color=color, fontsize=8.5, va="top", transform=axes.transAxes)
        top -= 0.095 * len(folded)
