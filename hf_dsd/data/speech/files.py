"""Speech from a folder in the `audiofolder` layout."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hf_dsd.data.splits import SPLITS
from hf_dsd.data.tables import read_csv, read_jsonl

from .columns import find_speaker, find_text_column
from .utterances import DEFAULT_SAMPLING_RATE, SpeechData, collect_speech

METADATA_FILES = ("metadata.jsonl", "metadata.csv")
"""Where a split's transcripts are; the first that exists is read."""


def load_speech(
    data_dir: str | Path,
    *,
    text_column: str | None = None,
    sampling_rate: int = DEFAULT_SAMPLING_RATE,
    resample: bool = False,
    skip_bad_examples: bool = False,
) -> SpeechData:
    """Reads the folders `train`, `validation` and `test`, each with audio files and a `metadata.jsonl`.

    This is the `audiofolder` layout of `datasets`: every line of `metadata.jsonl`, or row of `metadata.csv`, has a
    `file_name` relative to its folder and a transcript. Every file's header is read, no audio is decoded.

    Args:
        data_dir: The folder; `validation` and `test` may be missing.
        text_column: The transcript's field; None takes the one of `TEXT_COLUMNS` that is there.
        sampling_rate: In Hz, what the files must have.
        resample: Whether files may have another sampling rate; they are resampled whenever they are read.
        skip_bad_examples: Whether to leave out utterances that cannot be used instead of raising; they are counted and
            listed in the log and in `skipped`. Every file is then decoded once.

    Returns:
        Utterances in the order of the lines, named "split/file_name".

    Raises:
        FileNotFoundError: If the folder, its `train` folder or a metadata file is missing.
        BadUtteranceError: Unless `skip_bad_examples`: if audio is missing, unreadable, empty or of another sampling
            rate, or a transcript is empty.
        ValueError: If a line is malformed (named by its number), a file has two lines, no transcript is found, or as
            `SpeechData`.

    References:
        `Create an audio dataset <https://huggingface.co/docs/datasets/audio_dataset>`_, AudioFolder.
    """
    folder = Path(data_dir)
    if not (folder / "train").is_dir():
        found = sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else "no such folder"
        raise FileNotFoundError(f"data_dir must hold the folder 'train', got {str(folder)!r} with {found}; check it")
    splits = {
        split: [
            (f"{split}/{row['file_name']}", folder / split / row["file_name"], row[column], find_speaker(row))
            for row, column in _read_metadata(folder / split, text_column)
        ]
        for split in SPLITS
        if (folder / split).is_dir()
    }
    return collect_speech(
        splits, str(folder), sampling_rate=sampling_rate, resample=resample, skip_bad_examples=skip_bad_examples
    )


def _read_metadata(folder: Path, text_column: str | None) -> Iterator[tuple[dict[str, Any], str]]:
    """Each row of a split's metadata with the name of its transcript's field."""
    path = next((folder / name for name in METADATA_FILES if (folder / name).is_file()), None)
    if path is None:
        raise FileNotFoundError(
            f"{folder} must hold {' or '.join(METADATA_FILES)}, got neither; write one line per file with file_name "
            "and transcription"
        )
    seen: set[str] = set()
    for place, row in (read_jsonl if path.suffix == ".jsonl" else read_csv)(path):
        name = row.get("file_name")
        if not isinstance(name, str) or not name:
            raise ValueError(f"{place}: file_name must be a str, got {name!r:.80}; give the path of the audio file")
        if name in seen:
            raise ValueError(f"{place}: file_name must appear once, got {name!r} again; remove one of the lines")
        seen.add(name)
        yield row, find_text_column(place, row, text_column)
