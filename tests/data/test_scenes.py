import re

import numpy as np
import pytest
import torch

from hf_dsd.data import CaptionData, Scene, SceneSet, ShapeGroup, draw_scene, make_scenes
from hf_dsd.data.toys.scene_captions import mark_caption, write_captions
from hf_dsd.data.toys.scene_content import COLORS, PLACES, RELATIONS, SHAPES, sample_scene
from hf_dsd.data.toys.scene_features import extract_features

RED, BLUE = (211, 47, 47), (48, 98, 206)


@pytest.fixture(scope="module")
def scenes() -> SceneSet:
    """A small set, made once."""
    return make_scenes({"train": 400, "validation": 60, "test": 60}, seed=0)


def pair(relation: str, *, seed: int = 0, sizes: tuple[str, str] = ("large", "large"), counts=(1, 1)) -> Scene:
    """A red circle and a blue square on a plain light background."""
    groups = (ShapeGroup("circle", "red", sizes[0], counts[0]), ShapeGroup("square", "blue", sizes[1], counts[1]))
    return Scene(groups, "light", relation, None, (seed,))


def mask_of(scene: Scene, color: tuple[int, int, int]) -> np.ndarray:
    """Pixels nearer to a colour's hue than to any other of the picture: (64, 64) bool."""
    pixels = np.asarray(draw_scene(scene), dtype=float)
    palette = np.array([RED, BLUE, (232, 230, 222), (128, 128, 128)], dtype=float)
    nearest = np.linalg.norm(pixels[:, :, None] - palette, axis=-1).argmin(axis=-1)
    return nearest == [RED, BLUE].index(color)


def center_of(scene: Scene, color: tuple[int, int, int]) -> np.ndarray:
    """Mean x and y of a colour's pixels."""
    y, x = mask_of(scene, color).nonzero()
    return np.array([x.mean(), y.mean()])


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("relation", "axis", "sign"),
    [("left", 0, 1), ("right", 0, -1), ("above", 1, 1), ("below", 1, -1)],
    ids=["left", "right", "above", "below"],
)
def test_the_picture_shows_the_relation(relation, axis, sign, seed):
    scene = pair(relation, seed=seed)
    offset = center_of(scene, BLUE) - center_of(scene, RED)
    assert sign * offset[axis] > 18  # nearly a radius between the shapes


@pytest.mark.parametrize("seed", range(3))
def test_inside_is_inside(seed):
    scene = pair("inside", seed=seed, sizes=("small", "large"))
    inner = mask_of(scene, RED)
    y, x = inner.nonzero()
    outer_y, outer_x = mask_of(scene, BLUE).nonzero()
    assert outer_x.min() < np.percentile(x, 5) < np.percentile(x, 95) < outer_x.max()
    assert outer_y.min() < np.percentile(y, 5) < np.percentile(y, 95) < outer_y.max()
    assert 4 * inner.sum() < len(outer_x)


@pytest.mark.parametrize(
    ("place", "low", "high"),
    [
        ("left", (0, 0), (32, 64)),
        ("right", (32, 0), (64, 64)),
        ("top", (0, 0), (64, 32)),
        ("bottom", (0, 32), (64, 64)),
        ("middle", (20, 20), (44, 44)),
    ],
    ids=PLACES,
)
def test_the_picture_shows_the_place(place, low, high):
    scene = Scene((ShapeGroup("circle", "red", "large", 1),), "light", None, place, (1,))
    center = center_of(scene, RED)
    assert (center > low).all()
    assert (center < high).all()


def test_counts_and_sizes_show_in_the_area():
    one, three = (mask_of(pair("above", counts=(count, 1)), RED).sum() for count in (1, 3))
    small, large = (mask_of(pair("left", sizes=(size, "small")), RED).sum() for size in ("small", "large"))
    assert 2.2 < three / one < 3.8
    assert 2.0 < large / small < 5.0


def test_pictures_are_repeatable_and_differ_by_seed():
    first, again, other = (np.asarray(draw_scene(pair("left", seed=seed))) for seed in (0, 0, 1))
    assert first.shape == (64, 64, 3)
    assert (first == again).all()
    assert (first != other).mean() > 0.5


@pytest.mark.parametrize("relation", RELATIONS)
def test_captions_name_the_relation_and_never_another(relation):
    words = {
        "left": {"left", "right"},
        "right": {"left", "right"},
        "above": {"above", "over", "top", "below", "under", "beneath", "bottom"},
        "below": {"above", "over", "top", "below", "under", "beneath", "bottom"},
        "inside": {"inside", "within", "middle", "center", "around", "contains", "surrounding"},
    }
    others = set.union(*words.values()) - words[relation]
    captions = [c for seed in range(30) for c in write_captions(pair(relation, seed=seed, sizes=("small", "large")))]
    assert all(set(caption.split()) & words[relation] for caption in captions)
    assert not any(set(caption.split()) & others for caption in captions)


def test_direction_words_are_the_right_way_round():
    captions = [caption for seed in range(60) for caption in write_captions(pair("left", seed=seed))]
    red_first = [
        caption for caption in captions if re.search(r"\bred (circle|disc).*left of.*\bblue (square|box)", caption)
    ]
    blue_first = [
        caption for caption in captions if re.search(r"\bblue (square|box).*right of.*\bred (circle|disc)", caption)
    ]
    wrong = [caption for caption in captions if re.search(r"\bred \w+ .*right of|\bblue \w+ .*left of", caption)]
    assert len(red_first) > 50
    assert len(blue_first) > 10
    assert wrong == []


def test_number_and_verb_agree():
    captions = [c for seed in range(60) for c in write_captions(pair("above", seed=seed, counts=(3, 1)))]
    assert not [caption for caption in captions if re.search(r"\b(three|several)\b.*\b(is|sits)\b", caption)]
    assert not [caption for caption in captions if re.search(r"\ba (orange)\b|\ban (?!orange)", caption)]
    assert all(re.search(r"\b(circles|discs|squares|boxes)\b", caption) for caption in captions)


def test_annotators_slip_now_and_then():
    captions = [caption for seed in range(200) for caption in write_captions(pair("left", seed=seed))]
    assert 0.02 < 1 - np.mean(["red" in caption.split() for caption in captions]) < 0.06  # half of 8 %


def test_captions_of_the_first_scene_are_the_same_everywhere(scenes):
    assert scenes.data.split("test").captions[0] == [
        "a tiny blue cross is alone at the bottom",
        "a blue plus at the bottom",
        "there is a little blue plus at the bottom against a light background",
        "the picture shows a small blue cross at the bottom",
        "near the bottom is a blue cross against a bright background",
    ]


def test_every_scene_has_five_different_captions_of_plain_words(scenes):
    captions = [texts for split in scenes.data.splits.values() for texts in split.captions]
    assert {len(set(texts)) for texts in captions} == {5}
    vocabulary = {word for texts in captions for caption in texts for word in caption.split()}
    assert 85 <= len(vocabulary) <= 95
    assert all(re.fullmatch("[a-z]+", word) for word in vocabulary)


def test_no_two_scenes_have_the_same_content(scenes):
    assert len({scene.content for scene in scenes.scenes.values()}) == 520


def test_a_mirrored_relation_is_the_same_content():
    red, blue = ShapeGroup("circle", "red", "large", 1), ShapeGroup("square", "blue", "small", 2)
    seen = {
        Scene(groups, "dark", relation, None, (0,)).content
        for groups, relation in (((red, blue), "left"), ((blue, red), "right"))
    }
    assert len(seen) == 1
    assert Scene((red, blue), "dark", "right", None, (0,)).content not in seen


def test_the_same_seed_gives_the_same_set_and_the_test_split_does_not_depend_on_the_training_size(scenes):
    again = make_scenes({"train": 20, "validation": 60, "test": 60}, seed=0)
    for split in ("validation", "test"):
        assert again.data.split(split).captions == scenes.data.split(split).captions
    assert again.data.split("train").captions == scenes.data.split("train").captions[:20]
    assert (
        make_scenes({"train": 2, "test": 60}, seed=1).data.split("test").captions != scenes.data.split("test").captions
    )


def test_images_are_drawn_again_by_name(scenes):
    pictures = torch.from_numpy(np.stack([np.asarray(scenes.image(f"train/{row}")) for row in range(400)]))
    features = extract_features(pictures.permute(0, 3, 1, 2))
    assert torch.allclose(features, scenes.data.features[:400], atol=1e-4)
    with pytest.raises(ValueError, match="name must be an image of this set, got 'train/400'; for example 'train/0'"):
        scenes.image("train/400")


def test_features_tell_colors_and_shapes(scenes):
    """What makes a caption learnable: a linear readout of 400 pictures, judged on the other 120."""
    assert isinstance(scenes.data, CaptionData)
    assert scenes.data.features.shape == (520, 173)
    train = scenes.data.features[:400]
    features = (scenes.data.features - train.mean(dim=0)) / train.std(dim=0).clamp_min(1e-3) / 173**0.5

    def readout(present: list[bool]) -> torch.Tensor:
        x, y = features[:400], torch.tensor(present)[:400].float()
        weights = torch.linalg.solve(x.T @ x + 3 * torch.eye(173), x.T @ (y - y.mean()))
        return features[400:] @ weights

    everything = list(scenes.scenes.values())
    found = {
        (color, shape): readout([any((g.color, g.shape) == (color, shape) for g in s.groups) for s in everything])
        for color in COLORS
        for shape in SHAPES
    }
    groups = [(row, group) for row, scene in enumerate(everything[400:]) for group in scene.groups]
    named = [max(SHAPES, key=lambda shape: found[g.color, shape][row]) == g.shape for row, g in groups]
    colors = [max(COLORS, key=lambda c: max(found[c, shape][row] for shape in SHAPES)) for row in range(120)]
    assert np.mean(named) > 0.85
    assert (
        np.mean([color in {g.color for g in s.groups} for color, s in zip(colors, everything[400:], strict=True)])
        > 0.95
    )


@pytest.mark.parametrize("shape", SHAPES)
def test_the_best_outline_is_the_drawn_one(shape):
    """The features' layout: for each paint 6 outlines, 5 radii and 3 places; its amount and middle follow."""
    scene = Scene((ShapeGroup(shape, "blue", "large", 2),), "light", None, "left", (3,))
    pixels = torch.from_numpy(np.array(draw_scene(scene))).permute(2, 0, 1)[None]
    features = extract_features(pixels)[0]
    fits, places = features[: 8 * 17].reshape(8, 17)[:, :14], features[: 8 * 17].reshape(8, 17)[:, 14:]
    blue = COLORS.index("blue")
    assert int(fits[blue, :6].argmax()) == SHAPES.index(shape)
    assert int(fits[blue, 6:11].argmax()) in (2, 3)  # 9.5 pixels, or the square that is as large as a circle of 13
    assert fits[blue, 12] > 0.5 > fits[blue, 13]  # two shapes, not three
    assert -0.8 < places[blue, 1] < -0.2  # on the left
    empty = [COLORS.index(color) for color in ("red", "green", "yellow", "orange", "brown")]
    assert fits[empty].eq(0).all()
    assert places[empty].eq(0).all()


def test_an_even_picture_shows_one_grey_and_no_shape():
    white = extract_features(torch.full((1, 3, 64, 64), 230, dtype=torch.uint8))[0]
    assert white[:150].abs().max() < 0.01
    assert float(white[-1]) > 0.95


def test_scenes_of_one_group():
    scenes = make_scenes({"train": 30, "validation": 5}, most_groups=1)
    assert {len(scene.groups) for scene in scenes.scenes.values()} == {1}
    for most, message in ((0, "most_groups must be 1, 2 or 3, got 0"), (1, "split_sizes must sum to 720 at most")):
        with pytest.raises(ValueError, match=message):
            make_scenes({"train": 721}, most_groups=most)


RED_DISC = ShapeGroup("circle", "red", "large", 1)
BOXES = ShapeGroup("square", "purple", "small", 2)


@pytest.mark.parametrize(
    ("caption", "wrong"),
    [
        ("a picture of a big red disc to the left of a pair of tiny violet boxes", []),
        ("three red circles next to purple squares", ["three"]),
        ("a green circle and two small purple diamonds", ["green", "diamonds"]),
        ("a tiny red square on a dark background", ["tiny", "square"]),
        ("a red picture", ["a", "red", "picture"]),
    ],
    ids=["right", "number", "color and shape", "size and shape", "nothing said"],
)
def test_mistakes_of_captions_are_found(caption, wrong):
    scene = Scene((RED_DISC, BOXES), "light", "left", None, (0,))
    marked = mark_caption(caption, scene)
    assert " ".join(word for word, _ in marked) == caption
    assert [word for word, is_wrong in marked if is_wrong] == wrong


def test_the_place_of_a_single_group_is_judged():
    scene = Scene((RED_DISC,), "light", None, "bottom", (0,))
    said = {"at the bottom": [], "on the left side": ["left"], "in the center": ["center"]}
    for place, wrong in said.items():
        assert [word for word, is_wrong in mark_caption(f"a red disc {place}", scene) if is_wrong] == wrong


def test_only_slips_are_wrong_in_what_people_write(scenes):
    """8 % of the noun phrases have a slip, and a caption has about two."""
    marked = [
        any(wrong for _, wrong in mark_caption(caption, scenes.scenes[name]))
        for split in scenes.data.splits.values()
        for name, captions in zip(split.images, split.captions, strict=True)
        for caption in captions
    ]
    assert 0.10 < np.mean(marked) < 0.18


@pytest.mark.parametrize(
    ("sizes", "seed", "message"),
    [
        pytest.param({"test": 3}, 0, r"must be 'train' and any of .* got \['test'\]", id="no-train"),
        pytest.param({"train": 3, "dev": 3}, 0, r"got \['train', 'dev'\]", id="unknown"),
        pytest.param({"train": 1}, 0, r"split_sizes\['train'\] must be in \[2, 100000\], got 1", id="one-scene"),
        pytest.param({"train": 2, "test": 0}, 0, r"split_sizes\['test'\] must be in \[1, 100000\], got 0", id="empty"),
        pytest.param({"train": 2}, -1, "seed must be at least 0, got -1", id="seed"),
    ],
)
def test_impossible_sets_are_refused(sizes, seed, message):
    with pytest.raises(ValueError, match=message):
        make_scenes(sizes, seed)


CIRCLE = ShapeGroup("circle", "red", "large", 1)
STAR = ShapeGroup("star", "blue", "large", 1)


@pytest.mark.parametrize(
    ("groups", "relation", "place", "message"),
    [
        pytest.param((), None, "top", "groups must be 1 to 3 groups", id="no-group"),
        pytest.param((CIRCLE, CIRCLE), "left", None, "groups must be .* of different colors", id="same-color"),
        pytest.param((CIRCLE,), "left", "top", r"relation must be one of \(None,\), got 'left'", id="relation-of-one"),
        pytest.param((CIRCLE, STAR), None, None, "relation must be one of .* got None", id="no-relation"),
        pytest.param((CIRCLE, STAR), "left", "top", r"place must be one of \(None,\), got 'top'", id="place-of-two"),
        pytest.param((CIRCLE, STAR), "inside", None, "the outer shape must be one of .* got 'star'", id="container"),
    ],
)
def test_impossible_scenes_are_refused(groups, relation, place, message):
    with pytest.raises(ValueError, match=message):
        Scene(groups, "light", relation, place, (0,))


@pytest.mark.parametrize(
    ("field", "value"), [("shape", "hexagon"), ("color", "mauve"), ("size", "medium"), ("count", 4)]
)
def test_impossible_groups_are_refused(field, value):
    fields = {"shape": "circle", "color": "red", "size": "small", "count": 1, field: value}
    with pytest.raises(ValueError, match=f"{field} must be one of .*, got {value!r}"):
        ShapeGroup(**fields)


def test_every_sampled_scene_can_be_drawn_and_described():
    for number in range(200):
        scene = sample_scene((3, number))
        assert draw_scene(scene).size == (64, 64)
        assert len(write_captions(scene)) == 5
