"""What is in a drawn scene: the choices, how one is drawn by lot, and when two scenes count as the same.

Layer: numpy only. Drawing, wording and features are modules of their own.
"""

from dataclasses import dataclass

import numpy as np

SHAPES = ("circle", "square", "triangle", "star", "cross", "diamond")
COLORS = ("red", "green", "blue", "yellow", "purple", "orange", "pink", "brown")
SIZES = ("small", "large")
BACKGROUNDS = ("light", "dark", "striped", "checked")
RELATIONS = ("left", "right", "above", "below", "inside")
CONTAINERS = ("circle", "square", "diamond")
"""Shapes with room for another inside."""

PLACES = ("left", "right", "top", "bottom", "middle")

_GROUP_NUMBERS = (0.25, 0.5, 0.25)  # shares of scenes with one, two and three groups


@dataclass(frozen=True)
class Group:
    """One to three equal shapes.

    Attributes:
        shape: One of `SHAPES`.
        color: One of `COLORS`; no other group of the scene has it.
        size: One of `SIZES`.
        count: 1 to 3.
    """

    shape: str
    color: str
    size: str
    count: int


@dataclass(frozen=True)
class Scene:
    """Everything a caption may say about a picture, and the seed of everything it may not.

    Attributes:
        groups: One to three groups.
        background: One of `BACKGROUNDS`.
        relation: Where `groups[0]` lies as seen from `groups[1]`, one of `RELATIONS`; None with a single group.
        place: One of `PLACES`: where a single group lies, or the side of the picture the third group is on; None with
            two groups.
        seed: Seed of positions, tilt, tints, specks and pixel noise.
    """

    groups: tuple[Group, ...]
    background: str
    relation: str | None
    place: str | None
    seed: tuple[int, ...]

    @property
    def content(self) -> tuple[object, ...]:
        """What two scenes must not share across splits: shapes, colours and counts, and their relation.

        Groups come in a fixed order, so a mirrored description (left of / right of) is the same content.
        """
        things = [(group.shape, group.color, group.count) for group in self.groups[:2]]
        relation = self.relation
        opposite = {"right": "left", "below": "above"}
        if relation in opposite:
            things.reverse()
            relation = opposite[relation]
        rest = [(group.shape, group.color, group.count) for group in self.groups[2:]]
        return (*things, relation, *rest, self.place)


def sample_scene(seed: tuple[int, ...]) -> Scene:
    """Draws a scene by lot.

    Args:
        seed: Non-negative integers; the same ones give the same scene on every machine and numpy version.

    Returns:
        The scene.
    """
    # RandomState and not Generator: numpy has frozen its stream for good (NEP 19).
    random = np.random.RandomState(list(seed))
    number = 1 + int(random.choice(3, p=_GROUP_NUMBERS))
    relation = str(random.choice(RELATIONS)) if number > 1 else None
    colors = random.permutation(len(COLORS))[:number]
    largest_count = 3 if number < 3 else 2
    groups = [
        Group(
            shape=str(random.choice(SHAPES)),
            color=COLORS[color],
            size=str(random.choice(SIZES)),
            count=1 + int(random.randint(largest_count)),
        )
        for color in colors
    ]
    if relation == "inside":
        groups[0] = Group(groups[0].shape, groups[0].color, "small", 1)
        groups[1] = Group(str(random.choice(CONTAINERS)), groups[1].color, "large", 1)
    return Scene(
        groups=tuple(groups),
        background=str(random.choice(BACKGROUNDS)),
        relation=relation,
        place=_sample_place(random, number, relation),
        seed=seed,
    )


def _sample_place(random: np.random.RandomState, number: int, relation: str | None) -> str | None:
    if number == 1:
        return str(random.choice(PLACES))
    if number == 3:  # across the axis of the other two, so that neither relation blurs the other
        return str(random.choice(("left", "right") if relation in ("above", "below") else ("top", "bottom")))
    return None
