"""The house colours: told apart by colour-blind eyes, on light and on dark paper.

Okabe and Ito's palette, lighter on dark paper. A figure is drawn in the light colours; in a page each of them becomes a
CSS variable of the role's name, so one figure serves both schemes.

References:
    Okabe and Ito, `Color Universal Design <https://jfly.uni-koeln.de/color/>`_, 2008.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple


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

ARM_COLOURS: Mapping[str, str] = {
    "dsd": "blue",
    "dense": "vermilion",
    "random": "green",
    "iterative": "purple",
    "sparse": "ochre",
    "ema": "grey",
    "swa": "teal",
}

_ARM_DASHES: Mapping[str, tuple[float, ...]] = {
    "dense": (5, 1.5),
    "random": (1.2, 1.2),
    "iterative": (6, 1.5, 1.2, 1.5),
}
"""Lines differ in more than their colour: (on, off, ...) in line widths; solid where nothing is said."""


def light(role: str) -> str:
    """The colour to draw with."""
    return COLOURS[role].light


def arm_role(arm: str) -> str:
    """The role of an arm's colour; arms of other names share the greys."""
    return ARM_COLOURS.get(arm, "grey")


def line_style(arm: str) -> Any:
    """How matplotlib draws an arm's lines."""
    return (0, _ARM_DASHES[arm]) if arm in _ARM_DASHES else "solid"
