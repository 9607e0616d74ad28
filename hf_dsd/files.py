"""Files that are read checked and written whole: a person, a killed process or a full disk may have damaged them."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def read_json_object(path: Path) -> dict[str, Any]:
    """The object that a file holds.

    Raises:
        FileNotFoundError: If there is no file.
        ValueError: If it is cut off, is no text, or holds something else; the message says what, not where.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"it must hold a JSON object, got {type(content).__name__}")
    return content


def read_json(path: Path, remedy: str) -> dict[str, Any] | None:
    """The object that a file holds; None where there is no file.

    Args:
        path: The file.
        remedy: What to do about a damaged one, for the error.

    Raises:
        ValueError: If it is no JSON, or no JSON object; names the file.
    """
    if not path.is_file():
        return None
    try:
        return read_json_object(path)
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}): {remedy}") from error


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Gives a place beside `path` to write to, renamed to `path` at the end; after an error `path` is as it was."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def write_json(path: Path, content: Any, **options: Any) -> Path:
    """Writes JSON-ready `content` as indented text, atomically, and returns `path`; `options` are `json.dumps`'."""
    with written_whole(path) as partial:
        partial.write_text(json.dumps(content, indent=1, **options) + "\n", encoding="utf-8")
    return path


@contextmanager
def folder_written_whole(folder: Path) -> Iterator[Path]:
    """Gives a place beside `folder` to fill, renamed to `folder` at the end; until then an older one stays as it is.

    What a killed process left half-written is removed by the next one that writes the same folder.
    """
    partial, old = folder.with_name(f".{folder.name}.partial"), folder.with_name(f".{folder.name}.old.partial")
    shutil.rmtree(partial, ignore_errors=True)
    yield partial
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        os.replace(folder, old)  # a folder cannot be renamed over one that is not empty
    os.replace(partial, folder)
    shutil.rmtree(old, ignore_errors=True)
