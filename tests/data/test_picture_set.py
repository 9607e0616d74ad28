"""What a network sees of a picture: its pixels, and crops that seed, epoch and row decide."""

import numpy as np
import pytest
import torch
from PIL import Image
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

from hf_dsd.data import PictureSet
from hf_dsd.data.images.augmentation import RandomCrop

PLAIN = {"do_rescale": False, "do_normalize": False}


def ramp(width: int, height: int) -> Image.Image:
    """Red tells the column, green the row."""
    rows, columns = np.mgrid[:height, :width]
    return Image.fromarray(np.stack([columns, rows, rows * 0], axis=-1).astype(np.uint8))


def rows(count: int = 3) -> list[dict[str, object]]:
    return [{"image": ramp(24, 20), "label": n} for n in range(count)]


def cropping(image_size: int, resize_size: int) -> ViTImageProcessorPil:
    square = {"height": image_size, "width": image_size}
    return ViTImageProcessorPil(size={"shortest_edge": resize_size}, do_center_crop=True, crop_size=square, **PLAIN)


def test_without_augmentation_a_row_is_the_processors() -> None:
    processor = cropping(16, 20)
    found = PictureSet(rows(), processor)[1]
    assert found["labels"] == 1
    assert torch.equal(found["pixel_values"], processor(ramp(24, 20), return_tensors="pt")["pixel_values"][0])
    assert found["pixel_values"][:2, 0, 0].tolist() == [4, 2]  # the middle 16 of 24 and of 20


def test_crops_move_and_are_mirrored_within_the_picture() -> None:
    pictures = PictureSet(rows(60), cropping(16, 20), "crop")
    corners, mirrored = set(), 0
    for row in range(60):
        red, green, _ = pictures[row]["pixel_values"]
        is_mirrored = bool(red[0, 0] > red[0, -1])
        mirrored += is_mirrored
        left = float(red.min())
        assert (0 <= left <= 8, 0 <= float(green.min()) <= 4) == (True, True)
        assert float(red.max()) - left == pytest.approx(15, abs=1)
        corners.add((round(left), round(float(green.min()))))
    assert len(corners) > 20
    assert 18 <= mirrored <= 42  # a fair coin leaves this range once in a thousand


def test_a_crop_depends_on_seed_epoch_and_row_alone() -> None:
    first, second = PictureSet(rows(), cropping(16, 20), "crop"), PictureSet(rows(), cropping(16, 20), "crop", seed=1)
    before = [first[row]["pixel_values"] for row in range(3)]
    first.set_epoch(1)
    changed = first[0]["pixel_values"]
    first.set_epoch(0)
    assert torch.equal(first[0]["pixel_values"], before[0])
    assert torch.equal(first[-1]["pixel_values"], before[2])
    assert not any(torch.equal(before[0], other) for other in (changed, before[1], second[0]["pixel_values"]))


def test_resized_crops_have_the_papers_areas_and_shapes() -> None:
    crop, areas, ratios = RandomCrop(8, 8, is_resized=True), [], []
    random, picture = np.random.default_rng(0), ramp(200, 200)
    for _ in range(400):
        left, top, right, bottom = crop._resized_box(picture, random)
        assert (0 <= left < right <= 200, 0 <= top < bottom <= 200) == (True, True)
        areas.append((right - left) * (bottom - top) / 200**2)
        ratios.append((right - left) / (bottom - top))
    assert 0.08 <= min(areas) < 0.1
    assert 0.9 < max(areas) <= 1.0
    assert (min(ratios) >= 0.749, max(ratios) <= 1.334) == (True, True)
    assert np.mean(np.log(ratios)) == pytest.approx(0, abs=0.03)
    assert crop(ramp(300, 9), random).size == (8, 8)  # no box of that shape fits: the largest square


def test_kept_pictures_are_made_once() -> None:
    made = rows()
    pictures = PictureSet(made, cropping(16, 20), keep=True)
    first = pictures[0]["pixel_values"]
    made[0] = {"image": ramp(30, 30), "label": 5}
    assert pictures[0]["pixel_values"] is first


@pytest.mark.parametrize(
    ("augment", "keep", "sizes", "message"),
    [
        ("flip", False, (16, 20), r"^augment must be one of none, crop, resized_crop, got 'flip'; choose one$"),
        (
            "crop",
            False,
            (16, 16),
            r"^augment 'crop' needs pictures larger than the crop of 16, got 16; set resize_size",
        ),
        (
            "crop",
            True,
            (16, 20),
            r"^keep needs pictures that stay the same, got augment 'crop'; leave one of them out$",
        ),
    ],
    ids=["unknown", "no room", "kept"],
)
def test_what_cannot_be_shown_is_refused(augment: str, keep: bool, sizes: tuple[int, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PictureSet(rows(), cropping(*sizes), augment, keep=keep)
