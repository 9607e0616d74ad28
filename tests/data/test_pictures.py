"""Picture files as people have them."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from transformers.image_utils import load_image

from hf_dsd.data.captions.pictures import find_pictures, read_picture

RED, GREY = (200, 0, 0), 90


def draw(mode: str = "RGB", colour: object = RED, size: tuple[int, int] = (6, 4)) -> Image.Image:
    return Image.new(mode, size, colour)


def two_halves() -> Image.Image:
    """Its left half is red, its right half green."""
    picture = draw(size=(16, 8))
    picture.paste((0, 200, 0), (8, 0, 16, 8))
    return picture


def exif(orientation: int) -> Image.Exif:
    entries = Image.Exif()
    entries[0x0112] = orientation
    return entries


@pytest.mark.parametrize(
    ("picture", "name", "expected"),
    [
        pytest.param(draw(), "a.png", RED, id="rgb"),
        pytest.param(draw("L", GREY), "a.png", (GREY,) * 3, id="grey"),
        pytest.param(draw("1", 1), "a.png", (255,) * 3, id="black-and-white"),
        pytest.param(draw("LA", (GREY, 128)), "a.png", (GREY,) * 3, id="grey-transparent"),
        pytest.param(draw("RGBA", (*RED, 10)), "a.png", RED, id="transparent"),
        pytest.param(draw().convert("P"), "a.gif", (204, 0, 0), id="palette"),
        pytest.param(draw("CMYK", (0, 255, 255, 0)), "a.tif", (255, 0, 0), id="cmyk"),
        pytest.param(draw(size=(1, 1)), "a.png", RED, id="one-pixel"),
        pytest.param(draw(size=(3, 1)), "a.png", RED, id="three-pixels"),
        pytest.param(draw(), "böld 猫.png", RED, id="other-alphabet"),
    ],
)
def test_every_kind_of_picture_is_read_in_rgb(tmp_path, picture, name, expected):
    picture.save(tmp_path / name)
    read = read_picture(tmp_path / name)
    assert (read.mode, read.size) == ("RGB", picture.size)
    assert (np.asarray(read) == expected).all()
    assert read == load_image(str(tmp_path / name))  # which is how the pipeline reads it


def test_a_cmyk_jpeg_has_its_colours(tmp_path):
    draw("CMYK", (0, 255, 255, 0), (16, 16)).save(tmp_path / "a.jpg", quality=95)
    assert np.abs(np.asarray(read_picture(tmp_path / "a.jpg")).astype(int) - (255, 0, 0)).max() < 8


@pytest.mark.parametrize(("orientation", "size"), [(1, (16, 8)), (3, (16, 8)), (6, (8, 16)), (8, (8, 16))])
def test_a_picture_is_turned_as_the_camera_was(tmp_path, orientation, size):
    two_halves().save(tmp_path / "a.jpg", exif=exif(orientation), quality=95)
    read = read_picture(tmp_path / "a.jpg")
    assert read.size == size
    first = {1: (3, 4), 3: (12, 4), 6: (4, 3), 8: (4, 12)}[orientation]  # where the left half's middle went
    assert read.getpixel(first)[0] > 150
    assert read.getpixel(first)[1] < 50


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    ("name", "picture", "message"),
    [
        ("cut.jpg", Image.effect_noise((64, 64), 90), "image file is truncated"),
        ("cut.png", Image.effect_noise((64, 64), 90), ""),
        ("empty.jpg", None, "it is no picture that Pillow reads"),
        ("deep.png", Image.new("I;16", (4, 4), 60_000), "of more than 8 bits: save it with 8 bits per channel"),
        ("real.tif", Image.new("F", (4, 4), 0.5), "it has F pixels, of more than 8 bits"),
    ],
    ids=["cut-jpeg", "cut-png", "empty", "16-bit", "float"],
)
def test_a_damaged_picture_is_refused_by_its_path(tmp_path, name, picture, message):
    if picture is None:
        (tmp_path / name).write_bytes(b"")
    else:
        picture.save(tmp_path / name)
    if name.startswith("cut"):
        cut(tmp_path / name)
    with pytest.raises(ValueError, match=f"^{re.escape(str(tmp_path / name))}: .*{message}"):
        read_picture(tmp_path / name)


def make_files(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    return folder


def test_pictures_are_found_in_sub_folders(tmp_path):
    folder = make_files(tmp_path, "1.jpg", "train2017/2.jpg", "a/val/3.jpg", "b/3.jpg", "cafe\u0301.jpg")
    names = ["1.jpg", "2.jpg", "val/3.jpg", "b/3.jpg", "caf\u00e9.jpg"]
    found = {name: path.relative_to(folder).as_posix() for name, path in find_pictures(folder, names).items()}
    assert found == dict(
        zip(names, ["1.jpg", "train2017/2.jpg", "a/val/3.jpg", "b/3.jpg", "cafe\u0301.jpg"], strict=True)
    )


@pytest.mark.parametrize(
    ("names", "error", "message"),
    [
        (
            ["1.jpg", "x.jpg"],
            FileNotFoundError,
            "lacks 1 of the 2 pictures of the captions file: x.jpg; check image_dir",
        ),
        (
            [f"{n}.png" for n in range(12)],
            FileNotFoundError,
            "lacks 12 of the 12 pictures of the captions file: 0.png; .*; 9.png and 2 more; check",
        ),
        (["3.jpg"], ValueError, "'3.jpg' must be one picture of image_dir, got .*a/3.jpg, .*b/3.jpg; name its folder"),
        (["c/3.jpg"], FileNotFoundError, "lacks 1 of the 1 pictures of the captions file: c/3.jpg"),
        (["2.jpg", "a/2.jpg"], ValueError, "two names must not be one picture, got '2.jpg' and 'a/2.jpg'"),
    ],
    ids=["missing", "many", "two-folders", "other-folder", "two-names"],
)
def test_pictures_that_cannot_be_told_are_refused(tmp_path, names, error, message):
    folder = make_files(tmp_path, "1.jpg", "a/2.jpg", "a/3.jpg", "b/3.jpg")
    with pytest.raises(error, match=message):
        find_pictures(folder, names)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="image_dir must be a folder, got '.*/no'; check the path"):
        find_pictures(tmp_path / "no", ["1.jpg"])
