"""Picture files: found by the names that a captions file gives, and read as the pipeline reads them."""

import unicodedata
from collections.abc import Iterable
from pathlib import Path

from PIL import Image, UnidentifiedImageError
from transformers.image_utils import load_image

_LISTED = 10  # of the pictures that are missing or damaged, in an error


def find_pictures(image_dir: Path, names: Iterable[str]) -> dict[str, Path]:
    """The file of each picture: at its path below the folder, or else in the only sub-folder that has its name.

    Args:
        image_dir: The folder.
        names: Paths as a captions file gives them, for example COCO's, without the folder `train2017`.

    Returns:
        Name -> file, one file each.

    Raises:
        FileNotFoundError: If the folder or a picture is missing; names the first ten.
        ValueError: If several sub-folders have a picture of the name, or two names are one file.
    """
    if not image_dir.is_dir():
        raise FileNotFoundError(f"image_dir must be a folder, got {str(image_dir)!r}; check the path")
    found = {name: image_dir / name for name in names}
    absent = [name for name, path in found.items() if not path.is_file()]
    below = _files_by_name(image_dir) if absent else {}
    for name in absent:
        candidates = below.get(_normal(Path(name).name), [])
        # A name with a folder is not looked for in another folder.
        found_there = [path for path in candidates if _normal(path.as_posix()).endswith("/" + _normal(name))]
        if len(found_there) > 1:
            raise ValueError(
                f"{name!r} must be one picture of image_dir, got {', '.join(map(str, sorted(found_there)))}; name its "
                "folder in the captions file"
            )
        if found_there:
            found[name] = found_there[0]
    if missing := [name for name in absent if not found[name].is_file()]:
        raise FileNotFoundError(
            f"image_dir {str(image_dir)!r} lacks {len(missing)} of the {len(found)} pictures of the captions file: "
            f"{_some(missing)}; check image_dir, or take them out of the captions file"
        )
    _check_one_name_each(found)
    return found


def _files_by_name(folder: Path) -> dict[str, list[Path]]:
    files: dict[str, list[Path]] = {}
    for path in folder.rglob("*"):
        if path.is_file():
            files.setdefault(_normal(path.name), []).append(path)
    return files


def _normal(name: str) -> str:
    """An accented letter may be one character in a captions file and two in a file's name (macOS), or the reverse."""
    return unicodedata.normalize("NFC", name)


def _check_one_name_each(found: dict[str, Path]) -> None:
    name_of: dict[Path, str] = {}
    for name, path in found.items():
        if (other := name_of.setdefault(path.resolve(), name)) != name:
            raise ValueError(f"two names must not be one picture, got {other!r} and {name!r}, both {path}; remove one")


def read_picture(path: Path) -> Image.Image:
    """A picture in RGB, turned as its EXIF entry says; transparency is dropped, of an animation the first is taken.

    This is how transformers' pipelines read a file, so a captioner sees what it saw in training.

    Raises:
        ValueError: If the file is damaged, cut off, no picture, too large to be one, or of 16 or 32 bits per channel,
            which would be clipped; names it.
    """
    try:
        with Image.open(path) as picture:
            if picture.mode.startswith(("I", "F")):
                raise ValueError(f"it has {picture.mode} pixels, of more than 8 bits: save it with 8 bits per channel")
            read: Image.Image = load_image(picture)
            return read
    except UnidentifiedImageError as error:
        raise ValueError(f"{path}: it is no picture that Pillow reads") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:  # Pillow raises them all
        raise ValueError(f"{path}: {error}") from error


def check_all_read(damaged: list[str], total: int) -> None:
    """Refuses pictures that could not be read.

    Args:
        damaged: What is wrong with each, its path first.
        total: How many there are in all.

    Raises:
        ValueError: If there is one; names the first ten.
    """
    if damaged:
        raise ValueError(
            f"every picture must be readable, got {len(damaged)} of {total} that are not: {_some(damaged)}; restore "
            "them, or take them out of the captions file (the other pictures' vectors are kept)"
        )


def _some(things: list[str]) -> str:
    more = f" and {len(things) - _LISTED} more" if len(things) > _LISTED else ""
    return "; ".join(things[:_LISTED]) + more
