"""Captions of pictures, read from the files that people have; which format a file is in is told by what it holds."""

import json
import logging
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from hf_dsd.data.splits import SPLIT_WORDS, split_of_name
from hf_dsd.data.tables import read_csv, read_json, read_jsonl, read_lines

logger = logging.getLogger(__name__)

NAME_FIELDS = ("file_name", "image")
"""Of a table's rows: `datasets`' imagefolder, and our own captions.jsonl."""

TEXT_FIELDS = ("captions", "caption", "text", "sentence")
"""Of a table's rows; `captions` holds a list, the others a str or a list."""

FORMATS = (
    "Karpathy's JSON, COCO's captions JSON, Flickr8k.token.txt, an imagefolder's metadata.jsonl or metadata.csv, or "
    "captions.jsonl"
)

_FLICKR_LINE = re.compile(r"(?P<name>.+)#(?P<number>\d+)\t(?P<caption>.*)")
_FLICKR_LISTS = {"train": "trainImages", "validation": "devImages", "test": "testImages"}


class Annotation(NamedTuple):
    """What one entry of a file says about one picture.

    Attributes:
        place: File and line or entry, for messages.
        name: The picture's path, as the file gives it.
        split: "train", "validation" or "test"; None where the file does not say.
        captions: At least one.
    """

    place: str
    name: str
    split: str | None
    captions: list[str]


def read_annotations(path: Path) -> Iterator[Annotation]:
    """The entries of a file in any of `FORMATS`; a picture may have several.

    Args:
        path: The file. Beside a Flickr8k.token.txt lie its lists of splits (`*.trainImages.txt`, `*.devImages.txt`,
            `*.testImages.txt`), if there are any; pictures in no list are then left out and counted in the log. Of a
            COCO file or a table without a column `split`, names tell the split: the file's own name
            (`captions_val2017.json`), its folder's or that of the picture (`test/metadata.jsonl`, `test/1.png`).

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is of no such format, or an entry is malformed (named by its place).
    """
    if not path.is_file():
        raise FileNotFoundError(f"captions must be a file, got {str(path)!r}; check the path")
    with path.open("rb") as file:
        if file.read(8).startswith((b"MATLAB", b"\x89HDF")):
            raise ValueError(
                f"captions must be {FORMATS}, got the MATLAB file {path.name}, which holds image vectors; give the "
                "captions beside it (dataset.json), and the pictures as image_dir: their vectors are made from them"
            )
    lines = list(read_lines(path))
    if not lines:
        raise ValueError(f"captions must be {FORMATS}, got {path.name} without a line; check the path")
    first = lines[0][1]
    if not first.lstrip().startswith(("{", "[")):
        is_flickr = _FLICKR_LINE.fullmatch(first)
        return _read_flickr(path, lines) if is_flickr else _read_rows(path, read_csv(path))
    if len(lines) > 1 and _is_json(first):
        return _read_rows(path, read_jsonl(path))
    return _read_document(path, read_json(path, "JSON"))


def _is_json(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _read_document(path: Path, document: Any) -> Iterator[Annotation]:
    rows = document if isinstance(document, list) else [document]
    if not all(isinstance(row, dict) for row in rows):
        raise ValueError(f"captions must be {FORMATS}, got {path.name} with {document!r:.80}; check the file")
    if isinstance(document, dict) and isinstance(document.get("images"), list):
        return (_read_coco if "annotations" in document else _read_karpathy)(path, document)
    return _read_rows(path, ((f"{path.name} entry {number}", row) for number, row in enumerate(rows, start=1)))


def _read_karpathy(path: Path, document: Mapping[str, Any]) -> Iterator[Annotation]:
    seen: set[str] = set()
    for number, image in enumerate(document["images"]):
        place = f"{path.name} images[{number}]"
        name = _text(place, image, "filename")
        if folder := image.get("filepath"):  # of COCO, whose pictures lie in two folders
            name = f"{folder}/{name}"
        _check_new(place, name, seen)
        sentences = image.get("sentences")
        if not isinstance(sentences, list) or not sentences:
            raise ValueError(
                f"{place} ({name}): sentences must be a list of objects with raw or tokens, got {sentences!r:.80}; "
                'write [{"raw": "a dog runs"}]'
            )
        captions = [_sentence(f"{place} ({name})", sentence) for sentence in sentences]
        yield Annotation(place, name, _split_named(place, image.get("split")), captions)


def _sentence(place: str, sentence: Any) -> str:
    raw, tokens = (sentence.get(key) for key in ("raw", "tokens")) if isinstance(sentence, dict) else (None, None)
    if isinstance(raw, str):
        return raw
    if isinstance(tokens, list) and tokens and all(isinstance(token, str) for token in tokens):
        return " ".join(tokens)
    raise ValueError(
        f"{place}: a sentence must have raw, a str, or tokens, a list of str, got {sentence!r:.80}; write "
        '{"raw": "a dog runs"}'
    )


def _read_coco(path: Path, document: Mapping[str, Any]) -> Iterator[Annotation]:
    names: dict[Any, str] = {}
    seen: set[str] = set()
    if not isinstance(document["annotations"], list):
        raise ValueError(
            f"{path.name}: annotations must be a list, got {document['annotations']!r:.80}; check the file"
        )
    for number, image in enumerate(document["images"]):
        place = f"{path.name} images[{number}]"
        name = _text(place, image, "file_name")
        _check_new(place, name, seen)
        if not isinstance(image.get("id"), int | str) or image["id"] in names:
            raise ValueError(
                f"{place} ({name}): id must be there and its own, got {image.get('id')!r}; give it another"
            )
        names[image["id"]] = name
    captioned = set()
    for number, annotation in enumerate(document["annotations"]):
        place = f"{path.name} annotations[{number}]"
        caption = _text(place, annotation, "caption")
        image_id = annotation.get("image_id")
        if not isinstance(image_id, int | str) or image_id not in names:
            raise ValueError(
                f"{place}: image_id must be the id of one of its images, got {image_id!r:.80}; remove the "
                "annotation or add the image"
            )
        captioned.add(image_id)
        name = names[image_id]
        yield Annotation(place, name, split_of_name(path.stem) or _split_of_folders(name), [caption])
    if len(captioned) < len(names):
        logger.warning("%s: left out %d picture(s) without a caption", path.name, len(names) - len(captioned))


def _read_flickr(path: Path, lines: list[tuple[str, str]]) -> Iterator[Annotation]:
    splits = _flickr_splits(path.parent)
    left_out, captioned, seen = set(), set(), set[str]()
    for place, line in lines:
        if (found := _FLICKR_LINE.fullmatch(line)) is None:
            raise ValueError(f"{place} must be NAME.jpg#NUMBER, a tab and a caption, got {line!r:.80}; write it again")
        name = found["name"]
        _check_new(place, f"{name}#{found['number']}", seen)
        if splits and name not in splits:
            left_out.add(name)
            continue
        captioned.add(name)
        yield Annotation(place, name, splits.get(name), [found["caption"]])
    if bare := sorted(splits.keys() - captioned):
        raise ValueError(f"{path.name} must have a caption of every picture in its lists, got none of {bare[0]!r}")
    if left_out:
        logger.warning("%s: left out %d picture(s) that are in no list of a split", path.name, len(left_out))


def _flickr_splits(folder: Path) -> dict[str, str]:
    """Picture -> split, from the lists beside a Flickr8k.token.txt; empty where there is none."""
    splits: dict[str, str] = {}
    for split, word in _FLICKR_LISTS.items():
        for path in sorted(folder.glob(f"*{word}.txt")):
            for _, line in read_lines(path):
                if splits.setdefault(name := line.strip(), split) != split:
                    raise ValueError(f"{path.name}: a picture must be in one list, got {name!r} in another, too")
    return splits


def _read_rows(path: Path, rows: Iterator[tuple[str, dict[str, Any]]]) -> Iterator[Annotation]:
    for place, row in rows:
        name = _text(place, row, _only_field(place, row, NAME_FIELDS))
        split = _split_named(place, row["split"]) if "split" in row else _split_of_folders(f"{path.parent.name}/{name}")
        yield Annotation(place, name, split, _row_captions(place, row))


def _row_captions(place: str, row: Mapping[str, Any]) -> list[str]:
    field = _only_field(place, row, TEXT_FIELDS)
    captions = row[field]
    if isinstance(captions, str) and field != "captions":
        return [captions]
    if isinstance(captions, list) and captions and all(isinstance(caption, str) for caption in captions):
        return captions
    raise ValueError(f'{place}: {field} must be a non-empty list of str, got {captions!r:.80}; write ["a dog runs"]')


def _check_new(place: str, name: str, seen: set[str]) -> None:
    if name in seen:
        raise ValueError(f"{place}: {name} must appear once, got it again; remove or rename one")
    seen.add(name)


def _only_field(place: str, row: Mapping[str, Any], fields: tuple[str, ...]) -> str:
    found = [field for field in fields if field in row]
    if len(found) != 1:
        raise ValueError(f"{place} must have one of the fields {fields}, got {found or list(row)}; rename or remove")
    return found[0]


def _text(place: str, entry: Any, field: str) -> str:
    value = entry.get(field) if isinstance(entry, dict) else None
    if not isinstance(value, str) or not value:
        raise ValueError(f"{place}: {field} must be a str, got {value if value is not None else entry!r:.80}; give one")
    return value


def _split_named(place: str, word: Any) -> str:
    """The split that a file calls by one of its words: train, val, dev, test."""
    if word == "restval":  # Karpathy's: pictures of COCO's validation set that everybody trains on
        return "train"
    for split, words in SPLIT_WORDS.items():
        if isinstance(word, str) and word.lower() in words:
            return split
    raise ValueError(f"{place}: split must be train, restval, val or test, got {word!r:.80}; rename it")


def _split_of_folders(name: str) -> str | None:
    """Of train2017/1.jpg, the training split; a folder like test-pictures says nothing."""
    words = [folder for folder in Path(name).parts[:-1] if re.fullmatch(r"[a-z]+\d*", folder.lower())]
    return next(filter(None, map(split_of_name, words)), None)
