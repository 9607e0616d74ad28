"""A folder that is searched for speech: which files list recordings, and how their rows become recordings."""

import math
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from hf_dsd.data.splits import split_of_name
from hf_dsd.data.tables import locate_file

from .audio import AudioPart
from .columns import find_speaker_column, find_text_column, speaker_name
from .utterances import Recording

Rows = Iterable[tuple[str, Recording]]
"""Recordings, each with its place for messages: file and line."""

_LISTS = (".csv", ".tsv", ".json", ".jsonl", ".trans.txt", "wav.scp")


@dataclass(frozen=True)
class SpeechFolder:
    """What the user named, and which columns to read.

    Attributes:
        root: The folder, absolute.
        lists: Every file below it that may list recordings, sorted.
        audio_column: Column of the paths; None takes the layout's own.
        text_column: Column of the transcripts; None takes the one of `TEXT_COLUMNS` that is there.
    """

    root: Path
    lists: tuple[Path, ...]
    audio_column: str | None = None
    text_column: str | None = None

    @classmethod
    def search(cls, data_dir: str | Path, audio_column: str | None, text_column: str | None) -> "SpeechFolder":
        """Searches a folder, linked folders in it too.

        Raises:
            FileNotFoundError: If there is no such folder.
        """
        root = Path(os.path.abspath(data_dir))
        if not root.is_dir():
            raise FileNotFoundError(f"data_dir must be a folder with speech, got no folder {str(data_dir)!r}; check it")
        return cls(root, tuple(sorted(_find_lists(root))), audio_column, text_column)

    def at_top(self, *suffixes: str) -> dict[str, Path]:
        """Lists with one of the suffixes that lie in the folder itself, by the name of the split that each is."""
        paths = [path for path in self.lists if path.parent == self.root and path.suffix in suffixes]
        stems = Counter(path.stem for path in paths)
        return {path.stem if stems[path.stem] == 1 else path.name: path for path in paths if path.stem != "metadata"}

    def split_of(self, folder: PurePath, level: int | None = None) -> str:
        """The split that a folder belongs to.

        Args:
            folder: Relative to the root.
            level: Which of the names on the way is the split's if none speaks of one, counted as in a list.

        Returns:
            The first name on the way that speaks of a split, otherwise that of the level, otherwise "train".
        """
        names = folder.parts
        known = next((name for name in names if split_of_name(name)), None)
        return known or (names[level] if level is not None and -len(names) <= level < len(names) else "train")

    def recording(
        self,
        place: str,
        column: str,
        file: Any,
        folder: Path,
        transcript: Any,
        speaker: str | None = None,
        times: tuple[Any, Any] | None = None,
    ) -> Recording:
        """A recording that is named by its path in the root.

        Args:
            place: Of the row, for messages.
            column: What messages call the path.
            file: The path, absolute or relative to `folder`.
            folder: Where relative paths begin.
            transcript: As `Recording.transcript`.
            speaker: As `Recording.speaker`.
            times: Of a part of the file, as in `read_part`; None is the whole.

        Raises:
            ValueError: As `locate_file` and `read_part`.
        """
        path = locate_file(place, column, file, folder, self.root)
        # Names are published with the scores: of a file elsewhere they hold no private path.
        inside = path.is_relative_to(self.root)
        name = path.relative_to(self.root).as_posix() if inside else f"{place} ({path.name})"
        if times is None:
            return Recording(name, path, transcript, speaker)
        part = read_part(place, path, *times)
        return Recording(f"{name}@{part.start:g}", part, transcript, speaker)

    def table(self, rows: Iterable[tuple[str, dict[str, Any]]], audio_column: str, folder: Path) -> Rows:
        """The recordings of a table with a header.

        A row with `offset` is a part of its file, from there on, `duration` long, both in seconds.

        Args:
            rows: Of the table.
            audio_column: The layout's column of paths.
            folder: Where relative paths begin.

        Raises:
            ValueError: As `recording`, or if the transcript's column is not found.
        """
        column = self.audio_column or audio_column
        for place, row in rows:
            text = row[find_text_column(place, row, self.text_column)]
            speaker = speaker_name(row.get(find_speaker_column(row) or ""))
            times = (row["offset"], row.get("duration")) if row.get("offset") is not None else None
            yield place, self.recording(place, column, row.get(column), folder, text, speaker, times)


def read_part(place: str, file: Path, start: Any, seconds: Any) -> AudioPart:
    """A part of a file from what a table says of it.

    Args:
        place: Of the row, for messages.
        file: The whole.
        start: In seconds, a number or its text.
        seconds: How long it is; None to the end.

    Raises:
        ValueError: If a time is no number of at least 0.
    """
    return AudioPart(file, _read_seconds(place, start), None if seconds is None else _read_seconds(place, seconds))


def _read_seconds(place: str, value: Any) -> float:
    try:
        seconds = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise ValueError(f"{place}: offset and duration must be seconds, at least 0, got {value!r:.80}; correct them")
    return seconds


def first_line(path: Path) -> str:
    """The first line of a list that is not empty, to tell layouts apart: damage is met when the file is read."""
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        return next((line.strip() for line in file if line.strip()), "")


def _find_lists(root: Path) -> Iterator[Path]:
    """Files that may list recordings, hidden ones left out; links may lead in a circle."""
    seen: set[str] = set()
    for folder, folders, names in os.walk(root, followlinks=True):
        if (real := os.path.realpath(folder)) in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths = (Path(folder, name) for name in names if name.endswith(_LISTS) and not name.startswith("."))
        yield from (path for path in paths if path.is_file())  # and no link to nothing
