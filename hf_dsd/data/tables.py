"""Tables of text from files that people write: JSON, JSON Lines and CSV, read strictly.

A reader that guesses turns a damaged transcript into a wrong one; these refuse by file and line.
"""

import csv
import io
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any


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
    header: list[str] = []
    for place, line in read_lines(path):
        fields = _split_line(place, line)
        if not header:
            _check_header(place, fields)
            header = fields
        elif len(fields) != len(header):
            raise ValueError(
                f"{place} must have {len(header)} fields like the header {header}, got {len(fields)}: {line!r:.80}; "
                "put quotes around a text with commas"
            )
        else:
            yield place, dict(zip(header, fields, strict=True))


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


def _check_header(place: str, names: list[str]) -> None:
    separator = next((mark for mark in ";\t|" if len(names) == 1 and mark in names[0]), None)
    if separator is not None:
        raise ValueError(f"{place} must be separated by commas, got {separator!r} in {names[0]!r:.80}; write commas")
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ValueError(f"{place} must name every column once, got {twice[0]!r} twice; rename or remove one")


class _NotJSONError(ValueError):
    """What is wrong with a JSON text."""


def _parse(text: str) -> Any:
    try:
        content = json.loads(text, object_pairs_hook=_unique_keys)
        if "\\u" in text:  # an escaped half of a surrogate pair is a str that nothing can encode
            json.dumps(content, ensure_ascii=False).encode()
    except RecursionError as error:
        raise _NotJSONError("it is nested too deeply") from error
    except ValueError as error:  # no JSON, a number of 5,000 digits, a lone surrogate
        raise _NotJSONError(str(error)) from error
    return content


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) < len(pairs):
        twice = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise ValueError(f"the key {twice!r} appears twice")
    return row


def _short(path: Path) -> str:
    """Folder and file, as a person knows them."""
    return f"{path.parent.name}/{path.name}"
