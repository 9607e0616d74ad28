"""What is in a drawn scene: the choices, how one is drawn by lot, and when two scenes count as the same."""

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
SIDES = {"left": "left", "right": "right", "above": "top", "below": "bottom"}
"""On which side of the pair the first of two groups lies."""

OPPOSITE = {"left": "right", "right": "left", "above": "below", "below": "above", "top": "bottom", "bottom": "top"}

_GROUP_NUMBERS = (0.25, 0.5, 0.25)  # shares of scenes with one, two and three groups


@dataclass(frozen=True)
class ShapeGroup:
    """One to three equal shapes; a ValueError if a field has another value than those here.

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

    def __post_init__(self) -> None:
        _check_choice("shape", self.shape, SHAPES)
        _check_choice("color", self.color, COLORS)
        _check_choice("size", self.size, SIZES)
        _check_choice("count", self.count, (1, 2, 3))


def _check_choice(field: str, value: object, choices: tuple[object, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{field} must be one of {choices}, got {value!r}; choose one of them")


@dataclass(frozen=True)
class Scene:
    """Everything a caption may say about a picture, and the seed of everything it may not.

    Attributes:
        groups: One to three groups.
        background: One of `BACKGROUNDS`.
        relation: Where `groups[0]` lies as seen from `groups[1]`, one of `RELATIONS`; None with a single group.
        place: One of `PLACES`: where a single group lies, or the side of the picture the third group is on; None with
            two groups.
        seed: Non-negative integers: positions, tilt, tints, specks, pixel noise, and the choice of words.

    Raises:
        ValueError: If a field has another value, two groups have one colour, or relation and place do not fit the
            number of groups.
    """

    groups: tuple[ShapeGroup, ...]
    background: str
    relation: str | None
    place: str | None
    seed: tuple[int, ...]

    def __post_init__(self) -> None:
        number = len(self.groups)
        if not 1 <= number <= 3 or len({group.color for group in self.groups}) < number:
            raise ValueError(
                f"groups must be 1 to 3 groups of different colors, got {self.groups}; recolor or drop one"
            )
        _check_choice("background", self.background, BACKGROUNDS)
        _check_choice("relation", self.relation, (None,) if number == 1 else RELATIONS)
        _check_choice("place", self.place, _places(number, self.relation))
        if self.relation == "inside" and self.groups[1].shape not in CONTAINERS:
            raise ValueError(f"the outer shape must be one of {CONTAINERS}, got {self.groups[1].shape!r}; use another")

    @property
    def content(self) -> tuple[object, ...]:
        """What two scenes must not share across splits: shapes, colours and counts, and their relation.

        Groups come in a fixed order, so a mirrored description (left of / right of) is the same content.
        """
        things = [(group.shape, group.color, group.count) for group in self.groups]
        pair, third, relation = things[:2], things[2:], self.relation
        if relation in ("right", "below"):
            pair, relation = pair[::-1], OPPOSITE[relation]
        return (*pair, relation, *third, self.place)


def sample_scene(seed: tuple[int, ...]) -> Scene:
    """Draws a scene by lot; the same seed gives the same scene on every machine and numpy version."""
    # RandomState and not Generator: numpy has frozen its stream for good (NEP 19).
    random = np.random.RandomState(list(seed))
    number = 1 + int(random.choice(3, p=_GROUP_NUMBERS))
    relation = str(random.choice(RELATIONS)) if number > 1 else None
    colors = random.permutation(len(COLORS))[:number]
    largest_count = 3 if number < 3 else 2
    groups = [
        ShapeGroup(
            shape=str(random.choice(SHAPES)),
            color=COLORS[color],
            size=str(random.choice(SIZES)),
            count=1 + int(random.randint(largest_count)),
        )
        for color in colors
    ]
    if relation == "inside":
        groups[0] = ShapeGroup(groups[0].shape, groups[0].color, "small", 1)
        groups[1] = ShapeGroup(str(random.choice(CONTAINERS)), groups[1].color, "large", 1)
    background = str(random.choice(BACKGROUNDS))
    places = _places(number, relation)
    return Scene(tuple(groups), background, relation, places[random.randint(len(places))], seed)


def _places(number: int, relation: str | None) -> tuple[str | None, ...]:
    """Where a single or a third group may lie; the latter across the axis of the other two, so that neither blurs."""
    if number == 1:
        return PLACES
    if number == 2:
        return (None,)
    return ("left", "right") if relation in ("above", "below") else ("top", "bottom")
