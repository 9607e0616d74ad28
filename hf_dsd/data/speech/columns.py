"""Which column of a speech dataset holds the transcripts."""

from collections.abc import Iterable, Mapping
from typing import Any

TEXT_COLUMNS = ("transcription", "text", "sentence")
"""Names that speech datasets give their transcripts: audiofolder, LibriSpeech, Common Voice."""

SPEAKER_COLUMNS = ("speaker", "speaker_id", "client_id")


def find_speaker(row: Mapping[str, Any]) -> str | None:
    """Who speaks, by the first column that says so; None where none does."""
    found = next((row[name] for name in SPEAKER_COLUMNS if row.get(name) is not None), None)
    return None if found is None else str(found)


def find_text_column(place: str, columns: Iterable[str], text_column: str | None) -> str:
    """Chooses the transcript's column.

    Args:
        place: What messages call the table.
        columns: The names that there are.
        text_column: The name asked for; None takes the only one of `TEXT_COLUMNS` that is there.

    Returns:
        The name.

    Raises:
        ValueError: If the name asked for is missing, or none or several of `TEXT_COLUMNS` are there.
    """
    names = list(columns)
    if text_column is None:
        found = [name for name in TEXT_COLUMNS if name in names]
        if len(found) == 1:
            return found[0]
        raise ValueError(f"{place} must have one of {TEXT_COLUMNS}, got {found or names}; pass text_column")
    if text_column not in names:
        raise ValueError(f"{place} must have the column {text_column!r}, got {names}; rename it or pass text_column")
    return text_column
