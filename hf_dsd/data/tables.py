"""Tables of text from files that people write: JSON, JSON Lines, CSV and TSV, read strictly.

A reader that guesses turns a damaged transcript into a wrong one; these refuse by file and line.
"""

import csv
import io
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hf_dsd.files import parse_json


def read_text(path: Path) -> str:
    """A UTF-8 file, with or without a byte order mark.

    Raises:
        ValueError: If it is not UTF-8 or holds a NUL; names the file and the line.
    """
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"{_short(path)} line {line} must be UTF-8, got the byte 0x{content[error.start]:02x}; save the file as "
            "UTF-8 (it may be Latin-1 or UTF-16)"
        ) from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise ValueError(f"{_short(path)} line {line} must be text, got a NUL character; write the file again as UTF-8")
    return text


def read_json(path: Path, what: str) -> Any:
    """What a JSON file holds.

    Args:
        path: The file.
        what: What it must be, for messages.

    Raises:
        ValueError: If it is no JSON or has a key twice; names the file.
    """
    try:
        return _parse(read_text(path))
    except _NotJSONError as error:
        raise ValueError(f"{path} must be {what}, got invalid JSON ({error}); write it again") from error


def read_json_list(path: Path, what: str) -> list[str]:
    """A JSON list of strings.

    Args:
        path: The file.
        what: Its entries, in the plural, for messages.

    Raises:
        ValueError: If it is not that; names the file.
    """
    content = read_json(path, f"a JSON list of {what}")
    if not isinstance(content, list) or not all(isinstance(entry, str) for entry in content):
        raise ValueError(f"{path} must be a JSON list of {what}, got {content!r:.80}; write it again")
    return content


def read_lines(path: Path) -> Iterator[tuple[str, str]]:
    """The lines of a text, each with its place for messages; empty lines are passed over.

    Raises:
        ValueError: As `read_text`.
    """
    for number, line in enumerate(read_text(path).replace("\r\n", "\n").replace("\r", "\n").split("\n"), start=1):
        if line.strip():
            yield f"{_short(path)} line {number}", line


def read_jsonl(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The objects of a JSON Lines file, each with its place for messages; empty lines are passed over.

    Raises:
        ValueError: If a line is no JSON object or has a key twice; names the file and the line.
    """
    for place, line in read_lines(path):
        try:
            row = _parse(line)
        except _NotJSONError as error:
            raise ValueError(
                f"{place} must be a JSON object, got {line.strip()!r:.80} ({error}); write it again"
            ) from error
        if not isinstance(row, dict):
            raise ValueError(f"{place} must be a JSON object, got {line.strip()!r:.80}; write it again")
        yield place, row


def read_csv(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The rows of a CSV file with a header, each with its place for messages; empty lines are passed over.

    A comma in a text needs quotes around the text (RFC 4180). A line break inside quotes is refused: it is an open
    quote far more often than a text of two lines.

    Raises:
        ValueError: If a row has more or fewer fields than the header, a quote is left open, or the header names a
            column twice or is separated by something else than commas; names the file and the line.
    """
    return _read_table(path, "commas", _split_line, "put quotes around a text with commas")


def read_tsv(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The rows of a file of fields between tabs, with a header; quotes are characters like others, as in Common Voice.

    Raises:
        ValueError: As `read_csv`, without what it says of quotes.
    """
    return _read_table(path, "tabs", lambda place, line: line.split("\t"), "a text must hold no tab")


def _read_table(
    path: Path, separator: str, split: Callable[[str, str], list[str]], remedy: str
) -> Iterator[tuple[str, dict[str, Any]]]:
    header: list[str] = []
    for place, line in read_lines(path):
        fields = split(place, line)
        if not header:
            _check_header(place, fields, separator)
            header = fields
        elif len(fields) != len(header):
            raise ValueError(
                f"{place} must have {len(header)} fields like the header {header}, got {len(fields)}: {line!r:.80}; "
                f"{remedy}"
            )
        else:
            yield place, dict(zip(header, fields, strict=True))


def locate_file(place: str, column: str, name: Any, folder: Path, root: Path) -> Path:
    """The file that a table names.

    Args:
        place: Of the row, for messages.
        column: Where the name stands, for messages.
        name: The path, absolute or relative to `folder`.
        folder: Where the table lies, inside `root`; absolute, as `root`.
        root: What the user named: a relative path must not leave it.

    Returns:
        The absolute path, whether there is such a file or not.

    Raises:
        ValueError: If `name` is no path, or relative and outside of `root`.
    """
    if not isinstance(name, str) or not name:
        raise ValueError(f"{place}: {column} must be a str, got {name!r:.80}; give the path of the file")
    path = Path(
        os.path.normpath(folder / name)
    )  # links are followed when it is opened: many data sets are full of them
    if not Path(name).is_absolute() and not path.is_relative_to(root):
        raise ValueError(
            f"{place}: {column} must lie in the folder {root.name!r}, got {name!r}, which leaves it; name a "
            "folder that holds both, or write the absolute path"
        )
    return path


def _split_line(place: str, line: str) -> list[str]:
    try:
        (fields,) = csv.reader(io.StringIO(line, newline=""), strict=True)
    except csv.Error as error:
        raise ValueError(
            f"{place} must have its quotes closed on the line, got {line!r:.80} ({error}); close them, and double a "
            "quote inside quotes"
        ) from error
    if wrong := next((field for field in fields if field.lstrip(" ").startswith('"') and field[0] == " "), None):
        raise ValueError(f"{place} must have no space before a quote, got {wrong!r:.80}; remove the space")
    return fields


def _check_header(place: str, names: list[str], separator: str) -> None:
    other = next((mark for mark in ",;\t|" if len(names) == 1 and mark in names[0]), None)
    if other is not None:
        raise ValueError(
            f"{place} must be separated by {separator}, got {other!r} in {names[0]!r:.80}; write {separator}"
        )
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ValueError(f"{place} must name every column once, got {twice[0]!r} twice; rename or remove one")


class _NotJSONError(ValueError):
    """What is wrong with a JSON text."""


def _parse(text: str) -> Any:
    try:
        content = parse_json(text)
        if "\\u" in text:  # an escaped half of a surrogate pair is a str that nothing can encode
            json.dumps(content, ensure_ascii=False).encode()
    except ValueError as error:  # no JSON, a lone surrogate
        raise _NotJSONError(str(error)) from error
    return content


def _short(path: Path) -> str:
    """Folder and file, as a person knows them."""
    return f"{path.parent.name}/{path.name}"
