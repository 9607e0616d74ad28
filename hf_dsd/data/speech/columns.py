"""Which columns of a speech dataset hold the transcripts and the speakers."""

from collections.abc import Iterable

TEXT_COLUMNS = ("transcription", "text", "sentence", "transcript")
"""Names that speech datasets give their transcripts: audiofolder, LibriSpeech, Common Voice, Mozilla's DeepSpeech."""

SPEAKER_COLUMNS = ("speaker", "speaker_id", "client_id")
"""Names that speech datasets give their speakers; the first that is there is read."""


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


def find_speaker_column(columns: Iterable[str]) -> str | None:
    """The first of `SPEAKER_COLUMNS` that a table has."""
    names = set(columns)
    return next((name for name in SPEAKER_COLUMNS if name in names), None)


def speaker_name(cell: object) -> str | None:
    """A speaker as a text, whatever type the table has; None where the cell is empty."""
    return None if cell in (None, "") else str(cell)
