"""The demo's picture: scenes with the captions that each model wrote under them."""

import textwrap
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image


def draw_captioned_scenes(images: Sequence[Image.Image], captions: Sequence[Sequence[str]], path: Path) -> Path:
    """Draws images in rows of three with their captions below, writes a PNG and returns its path.

    Args:
        images: At least one RGB image.
        captions: For each image its caption lines.
        path: Where to write; its folder must exist.
    """
    columns = min(3, len(images))
    rows = -(-len(images) // columns)
    figure = Figure(figsize=(4.2 * columns, 4.4 * rows), layout="constrained")
    for axes, image, lines in zip(figure.subplots(rows, columns, squeeze=False).flat, images, captions, strict=False):
        axes.imshow(image, interpolation="nearest")
        axes.set_axis_off()
        text = "\n".join(textwrap.fill(line, 52, subsequent_indent="    ") for line in lines)
        axes.set_title(text, y=-0.05, va="top", loc="left", fontsize=8)
    for axes in figure.axes[len(images) :]:
        axes.set_visible(False)
    figure.savefig(path, dpi=110)
    return path
