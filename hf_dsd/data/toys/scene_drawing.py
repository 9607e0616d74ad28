"""Draws a scene with PIL, 64 x 64 pixels, with positions, tints, specks and noise that no caption mentions."""

import math
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from .scene_content import OPPOSITE, SIDES, Scene, ShapeGroup

IMAGE_SIZE = 64
"""Width and height of a picture, in pixels."""

_SCALE = 4  # drawn four times as large and averaged down: smooth edges without a drawing library
_RADIUS = {"small": 5.5, "large": 10.0}
_PIXEL_NOISE = 14.0  # standard deviation, in grey levels of 0..255
_SPECKS = 4  # at most

PAINTS = {
    "red": (211, 47, 47),
    "green": (56, 152, 68),
    "blue": (48, 98, 206),
    "yellow": (240, 204, 40),
    "purple": (132, 62, 168),
    "orange": (240, 130, 34),
    "pink": (242, 142, 178),
    "brown": (118, 80, 54),
}
"""Colour -> red, green and blue in grey levels of 0..255, before tint, shade and noise."""

_BACKGROUND_RGB = {
    "light": ((232, 230, 222), (232, 230, 222)),
    "dark": ((44, 46, 54), (44, 46, 54)),
    "striped": ((226, 226, 220), (178, 184, 190)),
    "checked": ((214, 222, 214), (160, 172, 168)),
}


Random = np.random.RandomState
_Points = list[tuple[float, float]]


class Box(NamedTuple):
    """A part of the picture, in pixels from the top left corner."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def size(self) -> tuple[float, float]:
        """Width and height."""
        return self.right - self.left, self.bottom - self.top

    def side(self, side: str, share: float) -> "Box":
        """The part along one side, `share` of the width or height deep."""
        edges, axis = list(self), 0 if side in ("left", "right") else 1
        if side in ("left", "top"):
            edges[axis + 2] = edges[axis] + self.size[axis] * share
        else:
            edges[axis] = edges[axis + 2] - self.size[axis] * share
        return Box(*edges)

    def slots(self, count: int) -> "list[Box]":
        """Equal parts along the longer side."""
        axis = 0 if self.size[0] >= self.size[1] else 1
        cuts = [self[axis] + self.size[axis] * index / count for index in range(count + 1)]
        names = self._fields[axis], self._fields[axis + 2]
        return [self._replace(**dict(zip(names, ends, strict=True))) for ends in pairwise(cuts)]

    def somewhere(self, radius: float, random: Random) -> tuple[float, float]:
        """A centre for a shape, so that it lies within the box if there is room."""
        middle = (self.left + self.right) / 2, (self.top + self.bottom) / 2
        x, y = (
            at + random.uniform(-1, 1) * max(0.0, length / 2 - radius - 1)
            for at, length in zip(middle, self.size, strict=True)
        )
        return x, y


def draw_scene(scene: Scene) -> Image.Image:
    """Draws the picture of a scene, RGB, 64 x 64; its seed decides what the content leaves open."""
    random = np.random.RandomState([*scene.seed, 1])  # another stream than the one that chose the content
    canvas = Image.new("RGB", (IMAGE_SIZE * _SCALE, IMAGE_SIZE * _SCALE))
    pen = ImageDraw.Draw(canvas)
    _draw_background(pen, scene.background, random)
    _draw_specks(pen, random)
    boxes = _boxes(scene)
    if scene.relation == "inside":
        _draw_inside(pen, scene.groups[0], scene.groups[1], boxes[0], random)
    else:
        for group, box in zip(scene.groups[:2], boxes, strict=False):
            _draw_group(pen, group, box, random)
    if len(scene.groups) == 3:
        _draw_group(pen, scene.groups[2], boxes[-1], random)
    return _add_noise(canvas.reduce(_SCALE), random)


def _boxes(scene: Scene) -> list[Box]:
    """Where each group goes: one box per group; for `inside` the first two groups share the first box."""
    whole = Box(0.0, 0.0, float(IMAGE_SIZE), float(IMAGE_SIZE))
    if len(scene.groups) == 1:
        return [_middle(scene.groups[0].count) if scene.place == "middle" else whole.side(str(scene.place), 0.5)]
    pair, third = whole, []
    if scene.place is not None:
        pair, third = whole.side(OPPOSITE[scene.place], 0.6), [whole.side(scene.place, 0.4)]
    if scene.relation == "inside":
        return [pair, *third]
    side = SIDES[str(scene.relation)]
    return [pair.side(side, 0.5), pair.side(OPPOSITE[side], 0.5), *third]


def _middle(count: int) -> Box:
    """A box around the centre, as wide as so many shapes need: one alone must not drift to a side."""
    half_width, half_height = IMAGE_SIZE * 0.155 * count, IMAGE_SIZE * 0.2
    center = IMAGE_SIZE / 2
    return Box(center - half_width, center - half_height, center + half_width, center + half_height)


def _draw_group(pen: ImageDraw.ImageDraw, group: ShapeGroup, box: Box, random: Random) -> None:
    """Spreads the shapes along the longer side of their box, each somewhere in its own slot."""
    for slot in box.slots(group.count):
        radius = min(_RADIUS[group.size] * random.uniform(0.88, 1.12), min(slot.size) / 2 - 0.5)
        _draw_shape(pen, group, slot.somewhere(radius, random), radius, random)


def _draw_inside(pen: ImageDraw.ImageDraw, inner: ShapeGroup, outer: ShapeGroup, box: Box, random: Random) -> None:
    radius = min(min(box.size) / 2 - 1, 22.0) * random.uniform(0.9, 1.0)
    x, y = box.somewhere(radius, random)
    _draw_shape(pen, outer, (x, y), radius, random)
    shift = radius * 0.15
    center = (x + random.uniform(-shift, shift), y + random.uniform(-shift, shift))
    _draw_shape(pen, inner, center, radius * 0.36, random)


def _draw_shape(
    pen: ImageDraw.ImageDraw, group: ShapeGroup, center: tuple[float, float], radius: float, random: Random
) -> None:
    tint = random.normal(0, 9, size=3)
    red, green, blue = (
        int(np.clip(channel + shift, 0, 255)) for channel, shift in zip(PAINTS[group.color], tint, strict=True)
    )
    tilt = math.radians(random.uniform(-9, 9))
    pen.polygon(_corners(group.shape, center, radius, tilt), fill=(red, green, blue))


def _corners(shape: str, center: tuple[float, float], radius: float, tilt: float = 0.0) -> _Points:
    return [
        (
            _SCALE * (center[0] + radius * (x * math.cos(tilt) - y * math.sin(tilt))),
            _SCALE * (center[1] + radius * (x * math.sin(tilt) + y * math.cos(tilt))),
        )
        for x, y in _OUTLINES[shape]
    ]


def draw_outline(shape: str, radius: float) -> NDArray[np.float64]:
    """The upright shape in the middle of an empty picture: (64, 64), the share of each pixel that it covers."""
    canvas = Image.new("L", (IMAGE_SIZE * _SCALE, IMAGE_SIZE * _SCALE))
    ImageDraw.Draw(canvas).polygon(_corners(shape, (IMAGE_SIZE / 2, IMAGE_SIZE / 2), radius), fill=255)
    return np.asarray(canvas.reduce(_SCALE), dtype=np.float64) / 255


def _ring(*radii: float) -> _Points:
    angles = [2 * math.pi * index / len(radii) - math.pi / 2 for index in range(len(radii))]
    return [(radius * math.cos(angle), radius * math.sin(angle)) for radius, angle in zip(radii, angles, strict=True)]


_ARM = 0.32  # half the width of a cross's arms
# Corners of shapes of radius 1 around the origin, y downwards.
_OUTLINES: dict[str, _Points] = {
    "circle": _ring(*[0.95] * 40),
    "square": [(-0.82, -0.82), (0.82, -0.82), (0.82, 0.82), (-0.82, 0.82)],
    "diamond": [(0, -1.1), (0.72, 0), (0, 1.1), (-0.72, 0)],
    "triangle": [(0, -0.95), (1.0, 0.8), (-1.0, 0.8)],
    "star": _ring(*[1.1, 0.45] * 5),
    "cross": [
        (-_ARM, -1), (_ARM, -1), (_ARM, -_ARM), (1, -_ARM), (1, _ARM), (_ARM, _ARM),
        (_ARM, 1), (-_ARM, 1), (-_ARM, _ARM), (-1, _ARM), (-1, -_ARM), (-_ARM, -_ARM),
    ],
}  # fmt: skip


def _draw_background(pen: ImageDraw.ImageDraw, background: str, random: Random) -> None:
    shade = int(random.randint(-14, 15))
    first, second = (tuple(channel + shade for channel in color) for color in _BACKGROUND_RGB[background])
    edge, step = IMAGE_SIZE * _SCALE, 8 * _SCALE
    pen.rectangle((0, 0, edge, edge), fill=first)
    if background == "striped":
        for top in range(step, edge, 2 * step):
            pen.rectangle((0, top, edge, top + step - 1), fill=second)
    if background == "checked":
        for top in range(0, edge, step):
            for left in range(step if top // step % 2 == 0 else 0, edge, 2 * step):
                pen.rectangle((left, top, left + step - 1, top + step - 1), fill=second)


def _draw_specks(pen: ImageDraw.ImageDraw, random: Random) -> None:
    """Grey scratches that mean nothing."""
    for _ in range(random.randint(_SPECKS + 1)):
        x, y = random.uniform(0, IMAGE_SIZE * _SCALE, size=2)
        length_x, length_y = random.uniform(-8, 8, size=2) * _SCALE
        grey = int(random.randint(90, 170))
        pen.line((x, y, x + length_x, y + length_y), fill=(grey, grey, grey), width=_SCALE)


def _add_noise(image: Image.Image, random: Random) -> Image.Image:
    pixels = np.asarray(image, dtype=np.float64) * random.uniform(0.85, 1.1)
    noisy = pixels + random.normal(0, _PIXEL_NOISE, size=pixels.shape)
    return Image.fromarray(np.clip(np.rint(noisy), 0, 255).astype(np.uint8))
