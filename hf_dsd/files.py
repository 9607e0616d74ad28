"""Files that are read checked and written whole: a person, a killed process or a full disk may have damaged them."""

import glob
import hashlib
import json
import os
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_CHUNK = 1 << 22
"""Bytes of a file that are in memory at a time."""


def parse_json(text: str) -> Any:
    """The value of a JSON text, whoever wrote it.

    Raises:
        ValueError: If it is no JSON, is nested too deeply, has a key twice (Python would take the last) or an integer
            of more than 300 digits, which no float can hold.
    """
    try:
        return json.loads(text, parse_int=_integer, object_pairs_hook=without_repeats)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def without_repeats(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """A dictionary of pairs whose keys must differ, or a ValueError."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key!r} appears twice: give it once")
        found[key] = value
    return found


def read_json_object(path: Path) -> dict[str, Any]:
    """The object that a JSON file holds.

    Raises:
        FileNotFoundError: If there is no file.
        ValueError: If it cannot be read, is no UTF-8, no JSON (see `parse_json`), or holds something else; the message
            says what is wrong, not where: the caller knows the remedy.
    """
    try:
        if stat.S_ISFIFO(path.stat().st_mode):  # reading would wait for who writes
            raise ValueError("it is a pipe")
        content = parse_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:  # no permission, a folder; no UTF-8, no JSON, a number of 5,000 digits
        raise ValueError(f"{type(error).__name__}: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"it must hold a JSON object, got {type(content).__name__}")
    return content


def read_json(path: Path, remedy: str, check: Callable[[dict[str, Any]], None] | None = None) -> dict[str, Any] | None:
    """The object that a JSON file holds; None where there is no file.

    Args:
        path: The file.
        remedy: What to do about a damaged one, for the error.
        check: Raises a ValueError for an object that is not as it should be; the file counts as damaged then.

    Raises:
        ValueError: If the file is damaged; names it.
    """
    try:
        content = read_json_object(path)
        if check is not None:
            check(content)
        return content
    except FileNotFoundError:
        if path.is_symlink():
            raise ValueError(f"{path} is damaged (a link to {os.readlink(path)}, which is missing): {remedy}") from None
        return None
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}): {remedy}") from error


def _integer(digits: str) -> int:
    """An integer that becomes a float without an OverflowError, wherever it is used."""
    if len(digits) > 300:
        raise ValueError(f"it holds an integer of {len(digits)} digits")
    return int(digits)


def file_digest(*files: Path) -> str:
    """SHA-256, hexadecimal, of files one after the other: 1.2 GB/s on the CPU that this was written on."""
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as opened:
            while chunk := opened.read(_CHUNK):
                digest.update(chunk)
    return digest.hexdigest()


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Gives a place beside `path` to write to, renamed to `path` at the end; after an error `path` is as it was.

    What a killed process left half-written is removed by the next one that writes the same file.
    """
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.partial"):
        if _has_ended(left.suffixes[-2][1:]):
            left.unlink(missing_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _has_ended(process: str) -> bool:
    """True if this machine has no process of that number; False where the system cannot be asked."""
    try:
        if os.name == "posix" and process.isdecimal():  # elsewhere signal 0 is a real one
            os.kill(int(process), 0)
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:  # another user's
        return False
    return False


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
    if os.path.lexists(folder):  # a link to nowhere, too
        os.replace(folder, old)  # a folder cannot be renamed over one that is not empty
    os.replace(partial, folder)
    if old.is_symlink() or old.is_file():
        old.unlink()
    shutil.rmtree(old, ignore_errors=True)


def copy_folder_whole(source: Path, folder: Path) -> None:
    """Copies a folder's files, without links to the source's: whoever writes there again must not change the copy."""
    with folder_written_whole(folder) as partial:
        shutil.copytree(source, partial)
