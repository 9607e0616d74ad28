"""Words a scene: a small grammar with synonyms, free word order, left-out details and the slips of human annotators."""

from typing import NamedTuple

import numpy as np

from .scene_content import Scene, ShapeGroup

CAPTIONS_PER_SCENE = 5

_SLIP = 0.08  # share of noun phrases with a colour or shape mistaken for a similar one
_NAMES_SIZE = 0.6  # shares of captions that mention what could be left out
_NAMES_THIRD_GROUP = 0.75
_NAMES_BACKGROUND = 0.25

_SHAPE_WORDS = {
    "circle": (("circle", "circles"), ("circle", "circles"), ("disc", "discs")),
    "square": (("square", "squares"), ("square", "squares"), ("box", "boxes")),
    "triangle": (("triangle", "triangles"),),
    "star": (("star", "stars"),),
    "cross": (("cross", "crosses"), ("plus", "pluses")),
    "diamond": (("diamond", "diamonds"),),
}
_SIZE_WORDS = {"small": ("small", "little", "tiny"), "large": ("large", "big", "huge")}
_COLOR_WORDS = {"purple": ("purple", "purple", "violet")}
_BACKGROUND_WORDS = {"light": ("light", "bright"), "dark": ("dark",), "striped": ("striped",), "checked": ("checked",)}
_SIMILAR = {
    "red": "orange", "orange": "red", "purple": "blue", "blue": "purple", "pink": "red", "brown": "red",
    "yellow": "orange", "green": "blue", "square": "diamond", "diamond": "square", "star": "cross", "cross": "star",
    "circle": "square", "triangle": "diamond",
}  # fmt: skip
_RELATION_WORDS = {
    "left": ("left of", "to the left of", "on the left side of"),
    "right": ("right of", "to the right of", "on the right side of"),
    "above": ("above", "over", "on top of"),
    "below": ("below", "under", "beneath"),
    "inside": ("inside", "within", "in the middle of"),
    "around": ("around", "that contains", "surrounding"),
}
_OPPOSITE = {"left": "right", "right": "left", "above": "below", "below": "above", "inside": "around"}
_BESIDE = {
    "left": ("on the left", "on the right"),
    "right": ("on the right", "on the left"),
    "above": ("at the top", "at the bottom"),
    "below": ("at the bottom", "at the top"),
}
_WITH = {
    "left": "on {its} left",
    "right": "on {its} right",
    "above": "above {it}",
    "below": "below {it}",
    "inside": "inside {it}",
}
_BESIDE_BOTH = {"left": "next to them", "right": "next to them", "top": "above them", "bottom": "below them"}
_PLACE_WORDS = {
    "left": ("on the left", "on the left side"),
    "right": ("on the right", "on the right side"),
    "top": ("at the top", "near the top"),
    "bottom": ("at the bottom", "near the bottom"),
    "middle": ("in the middle", "in the center"),
}


class NounPhrase(NamedTuple):
    """Words for a group and whether a verb after them is plural."""

    text: str
    plural: bool


def write_captions(scene: Scene) -> list[str]:
    """Writes five different captions of a scene.

    Args:
        scene: What to describe; its seed chooses the words.

    Returns:
        `CAPTIONS_PER_SCENE` different lower-case sentences without punctuation. The same scene gives the same ones.
    """
    random = np.random.RandomState([*scene.seed, 2])  # a stream of its own, as in the drawing
    write = _write_single if len(scene.groups) == 1 else _write_related
    captions: list[str] = []
    order = [int(template) for template in random.permutation(8)]
    attempt = 0
    while len(captions) < CAPTIONS_PER_SCENE:
        caption = write(scene, order[attempt % len(order)], random) + _background(scene, random)
        attempt += 1
        if caption not in captions:
            captions.append(caption)
    return captions


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
    nouns = _SHAPE_WORDS[shape]
    singular, plural = nouns[random.randint(len(nouns))]
    adjectives = [_pick(random, _COLOR_WORDS.get(color, (color,)))]
    if random.random_sample() < _NAMES_SIZE:
        adjectives.insert(0, _pick(random, _SIZE_WORDS[group.size]))
    if group.count == 1:
        article = "an" if adjectives[0][0] in "aeiou" else "a"
        return NounPhrase(" ".join([article, *adjectives, singular]), plural=False)
    number = {2: ("two", "two", "a pair of"), 3: ("three", "three", "several")}[group.count]
    words = _pick(random, number)
    return NounPhrase(" ".join([words, *adjectives, plural]), plural=words != "a pair of")


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
    back = _pick(random, _RELATION_WORDS[_OPPOSITE[relation]])
    verb = "are" if first.plural else "is"
    pronouns = {"it": "them", "its": "their"} if scene.groups[1].count > 1 else {"it": "it", "its": "its"}
    here, there = _BESIDE.get(relation, ("in the center", "around it"))
    sentences = (
        f"{first.text} {near} {second.text}",
        f"{first.text} {verb} {near} {second.text}",
        f"there {verb} {first.text} {near} {second.text}",
        f"{second.text} with {first.text} {_WITH[relation].format(**pronouns)}",
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
    kind = _pick(random, _BACKGROUND_WORDS[scene.background])
    return f" {_pick(random, ('on', 'against'))} a {kind} background"
