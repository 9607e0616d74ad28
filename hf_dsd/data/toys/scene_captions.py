"""Words a scene: a small grammar with synonyms, free word order, left-out details and the slips of human annotators."""

from itertools import cycle
from typing import NamedTuple

import numpy as np

from .scene_content import COLORS, OPPOSITE, SHAPES, SIDES, Scene, ShapeGroup

CAPTIONS_PER_SCENE = 5

_SLIP = 0.08  # share of noun phrases with a colour or shape mistaken for a similar one
_NAMES_SIZE = 0.6  # shares of captions that mention what could be left out
_NAMES_THIRD_GROUP = 0.75
_NAMES_BACKGROUND = 0.25

_SHAPE_WORDS = {
    "circle": ("circle", "circle", "disc"),
    "square": ("square", "square", "box"),
    "cross": ("cross", "plus"),
}
_SIZE_WORDS = {"small": ("small", "little", "tiny"), "large": ("large", "big", "huge")}
_COLOR_WORDS = {"purple": ("purple", "purple", "violet")}
_NUMBER_WORDS = {2: ("two", "two", "a pair of"), 3: ("three", "three", "several")}
_BACKGROUND_WORDS = {"light": ("light", "bright")}
_SIMILAR = {
    "red": "orange", "orange": "red", "purple": "blue", "blue": "purple", "pink": "red", "brown": "red",
    "yellow": "orange", "green": "blue", "square": "diamond", "diamond": "square", "star": "cross", "cross": "star",
    "circle": "square", "triangle": "diamond",
}  # fmt: skip
_COUNTS = {1: ("a", "an"), 2: ("two", "pair"), 3: ("three", "several")}
_RELATION_WORDS = {
    "left": ("left of", "to the left of", "on the left side of"),
    "right": ("right of", "to the right of", "on the right side of"),
    "above": ("above", "over", "on top of"),
    "below": ("below", "under", "beneath"),
    "inside": ("inside", "within", "in the middle of"),
    "around": ("around", "that contains", "surrounding"),
}
_WITH = {"left": "on {its} left", "right": "on {its} right"}
_BESIDE_BOTH = {"left": "next to them", "right": "next to them", "top": "above them", "bottom": "below them"}
_PLACE_WORDS = {
    "left": ("on the left", "on the left side"),
    "right": ("on the right", "on the right side"),
    "top": ("at the top", "near the top"),
    "bottom": ("at the bottom", "near the bottom"),
    "middle": ("in the middle", "in the center"),
}


def _plural(noun: str) -> str:
    return noun + ("es" if noun[-1] in "sx" else "s")


_SAID: dict[str, tuple[str, object]] = {
    **{word: ("count", count) for count, words in _COUNTS.items() for word in words},
    **{word: ("size", size) for size, words in _SIZE_WORDS.items() for word in words},
    **{word: ("color", color) for color in COLORS for word in _COLOR_WORDS.get(color, (color,))},
    **{
        form: ("shape", shape)
        for shape in SHAPES
        for noun in _SHAPE_WORDS.get(shape, (shape,))
        for form in (noun, _plural(noun))
    },
}
"""What a word says of a group: field and value."""

_PLACE_SAID = {"center": "middle", **{place: place for place in _PLACE_WORDS}}


class NounPhrase(NamedTuple):
    """Words for a group and whether a verb after them is plural."""

    text: str
    plural: bool


def write_captions(scene: Scene) -> list[str]:
    """Writes `CAPTIONS_PER_SCENE` different lower-case sentences without punctuation, in words chosen by the seed."""
    random = np.random.RandomState([*scene.seed, 2])  # a stream of its own, as in the drawing
    write = _write_single if len(scene.groups) == 1 else _write_related
    captions: dict[str, None] = {}
    for template in cycle(map(int, random.permutation(8))):
        captions[write(scene, template, random) + _background(scene, random)] = None
        if len(captions) == CAPTIONS_PER_SCENE:
            break
    return list(captions)


def mark_caption(caption: str, scene: Scene) -> list[tuple[str, bool]]:
    """The words of a caption and whether each is wrong of the scene: a number, size, colour, shape or place.

    Each is judged by the group of the colour that is said with it; if there is none, the colour is wrong, and the rest
    is judged by the group that it fits best. The place is judged where there is one group; backgrounds never are.
    Where no shape is named, every word is wrong.
    """
    words = caption.split()
    wrong: set[int] = set()
    said: dict[int, tuple[str, object]] = {}  # of the group that is being named: place of a word -> field and value
    for index, word in enumerate(words):
        if len(scene.groups) == 1 and _PLACE_SAID.get(word, scene.place) != scene.place:
            wrong.add(index)
        if word not in _SAID:
            said = said if word == "of" else {}  # "a pair of"
            continue
        said = {at: found for at, found in said.items() if found[0] != _SAID[word][0]}  # "a pair": not one
        said[index] = _SAID[word]
        if _SAID[word][0] == "shape":  # the noun: the phrase ends here
            own = [group for group in scene.groups if ("color", group.color) in said.values()] or scene.groups
            wrong |= min(({at for at, (name, is_) in said.items() if getattr(g, name) != is_} for g in own), key=len)
            said = {}
    names = any(_SAID.get(word, ("",))[0] == "shape" for word in words)
    return [(word, index in wrong or not names) for index, word in enumerate(words)]


def _pick(random: np.random.RandomState, words: tuple[str, ...]) -> str:
    return words[random.randint(len(words))]


def _name(group: ShapeGroup, random: np.random.RandomState) -> NounPhrase:
    """Names a group: number, perhaps size, colour, shape; now and then one of the last two wrongly."""
    shape, color = group.shape, group.color
    if random.random_sample() < _SLIP:
        if random.random_sample() < 0.5:
            shape = _SIMILAR[shape]
        else:
            color = _SIMILAR[color]
    noun = _pick(random, _SHAPE_WORDS.get(shape, (shape,)))
    adjectives = [_pick(random, _COLOR_WORDS.get(color, (color,)))]
    if random.random_sample() < _NAMES_SIZE:
        adjectives.insert(0, _pick(random, _SIZE_WORDS[group.size]))
    if group.count == 1:
        article = "an" if adjectives[0][0] in "aeiou" else "a"
        return NounPhrase(" ".join([article, *adjectives, noun]), plural=False)
    number = _pick(random, _NUMBER_WORDS[group.count])
    return NounPhrase(" ".join([number, *adjectives, _plural(noun)]), plural=number != "a pair of")


def _write_single(scene: Scene, template: int, random: np.random.RandomState) -> str:
    thing = _name(scene.groups[0], random)
    place = _pick(random, _PLACE_WORDS[scene.place or "middle"])
    verb = "are" if thing.plural else "is"
    sentences = (
        f"{thing.text} {place}",
        f"there {verb} {thing.text} {place}",
        f"a picture of {thing.text} {place}",
        f"{place} {verb} {thing.text}",
        f"the picture shows {thing.text} {place}",
        f"{thing.text} {verb} alone {place}",
        f"only {thing.text} can be seen {place}",
        f"{thing.text} {'sit' if thing.plural else 'sits'} {place} of the picture",
    )
    return sentences[template]


def _write_related(scene: Scene, template: int, random: np.random.RandomState) -> str:
    first, second = _name(scene.groups[0], random), _name(scene.groups[1], random)
    relation = scene.relation or "left"
    near = _pick(random, _RELATION_WORDS[relation])
    back = _pick(random, _RELATION_WORDS[OPPOSITE.get(relation, "around")])
    verb = "are" if first.plural else "is"
    pronouns = {"it": "them", "its": "their"} if scene.groups[1].count > 1 else {"it": "it", "its": "its"}
    where = _WITH.get(relation, relation + " {it}").format(**pronouns)
    here, there = "in the center", "around it"
    if side := SIDES.get(relation):
        here, there = _PLACE_WORDS[side][0], _PLACE_WORDS[OPPOSITE[side]][0]
    sentences = (
        f"{first.text} {near} {second.text}",
        f"{first.text} {verb} {near} {second.text}",
        f"there {verb} {first.text} {near} {second.text}",
        f"{second.text} with {first.text} {where}",
        f"{second.text} {back} {first.text}",
        f"the picture shows {first.text} {near} {second.text}",
        f"{first.text} {'sit' if first.plural else 'sits'} {near} {second.text}",
        f"{first.text} {here} and {second.text} {there}",
    )
    return sentences[template] + _third(scene, random)


def _third(scene: Scene, random: np.random.RandomState) -> str:
    if len(scene.groups) < 3 or random.random_sample() >= _NAMES_THIRD_GROUP:
        return ""
    thing = _name(scene.groups[2], random)
    side = scene.place or "top"
    place = _BESIDE_BOTH[side] if random.random_sample() < 0.5 else _PLACE_WORDS[side][0]
    return f" {_pick(random, ('and', 'with'))} {thing.text} {place}"


def _background(scene: Scene, random: np.random.RandomState) -> str:
    if random.random_sample() >= _NAMES_BACKGROUND:
        return ""
    kind = _pick(random, _BACKGROUND_WORDS.get(scene.background, (scene.background,)))
    return f" {_pick(random, ('on', 'against'))} a {kind} background"
