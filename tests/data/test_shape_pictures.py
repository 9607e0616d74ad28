"""The embedded pictures of shapes."""

import numpy as np
import pytest

from hf_dsd.data import SHAPES, make_shape_pictures


def test_the_same_seed_draws_the_same_and_every_shape_occurs() -> None:
    sizes = {"train": 60, "test": 30}
    first, again, other = make_shape_pictures(sizes), make_shape_pictures(sizes), make_shape_pictures(sizes, seed=1)
    assert {split: len(found.images) for split, found in first.items()} == sizes
    assert set(first["train"].labels) == set(range(len(SHAPES)))
    pixels = [np.stack([np.asarray(image) for image in found["train"].images]) for found in (first, again, other)]
    assert pixels[0].shape == (60, 64, 64, 3)
    assert (pixels[0] == pixels[1]).all()
    assert (pixels[0] != pixels[2]).any()
    assert first["train"].labels == again["train"].labels
    assert not any((pixels[0] == np.asarray(image)).all(axis=(1, 2, 3)).any() for image in first["test"].images)


def test_more_training_pictures_leave_the_others_as_they_are() -> None:
    few, more = make_shape_pictures({"train": 1, "test": 5}), make_shape_pictures({"train": 9, "test": 5})
    assert few["test"].labels == more["test"].labels
    assert more["train"].labels[:1] == few["train"].labels


@pytest.mark.parametrize(
    ("sizes", "seed", "message"),
    [
        ({"train": 0}, 0, r"split_sizes\['train'\] must be in \[1, 100000\], got 0; leave a split out"),
        ({"dev": 3}, 0, r"split_sizes must be 'train' and any of .* got \['dev'\]; rename"),
        (None, -1, "seed must be at least 0, got -1"),
    ],
)
def test_bad_arguments_are_refused(sizes: dict[str, int] | None, seed: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_shape_pictures(sizes, seed)
