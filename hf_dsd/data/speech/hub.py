"""Speech from a dataset on the Hub, or from any path that `datasets.load_dataset` reads.

Audio stays encoded until a row is read: neither torchcodec nor torchaudio is needed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import Audio, Dataset

from hf_dsd.data.hub_splits import check_columns, load_splits

from .audio import AudioSource
from .columns import SPEAKER_COLUMNS, find_speaker, find_text_column
from .utterances import DEFAULT_SAMPLING_RATE, SpeechData, collect_speech


@dataclass(frozen=True)
class HubAudio:
    """The audio of one row, fetched when called, so that a dataset larger than memory stays on disk.

    Attributes:
        rows: A split's audio column, undecoded.
        index: The row.
    """

    rows: Dataset
    index: int

    def __call__(self) -> Path | bytes:
        """Fetches the encoded file.

        Returns:
            Its bytes, or its path where the dataset stores only that.
        """
        (audio,) = self.rows[self.index].values()
        return bytes(audio["bytes"]) if audio["bytes"] is not None else Path(audio["path"])


def load_speech_dataset(
    dataset_name: str,
    dataset_config_name: str | None = None,
    *,
    audio_column: str = "audio",
    text_column: str | None = None,
    split_names: Mapping[str, str] | None = None,
    sampling_rate: int = DEFAULT_SAMPLING_RATE,
    resample: bool = False,
    skip_bad_examples: bool = False,
    **load_kwargs: Any,
) -> SpeechData:
    """Reads a dataset with a column of audio files and a column of transcripts.

    Every file's header is read, no audio is decoded.

    Args:
        dataset_name: Hub name, or a local folder that `load_dataset` reads (for example `train.parquet`,
            `validation.parquet`, `test.parquet`). For a folder of audio files use `load_speech`.
        dataset_config_name: The dataset's configuration, if it has several.
        audio_column: Column of audio: `datasets.Audio`, or paths.
        text_column: Column of transcripts; None takes the one of `TEXT_COLUMNS` that is there.
        split_names: Our split -> the dataset's, where they differ, for example {"train": "train.clean.100"}; slices
            such as "train[:90%]" are allowed. None takes train, validation and test, as far as there are.
        sampling_rate: In Hz, what the files must have.
        resample: Whether files may have another sampling rate; they are resampled whenever they are read.
        skip_bad_examples: Whether to leave out utterances that cannot be used instead of raising; they are counted and
            listed in the log and in `skipped`. Every file is then decoded once.
        **load_kwargs: Passed on to `load_dataset`, for example `revision`, `token`, `cache_dir`.

    Returns:
        Utterances in the order of the rows, named "split/row" with the file's name, if it has one, in parentheses.

    Raises:
        BadUtteranceError: Unless `skip_bad_examples`: if audio is missing, unreadable, empty or of another sampling
            rate, or a transcript is empty.
        ValueError: If there is no train split, a column is missing or does not hold audio, or as `SpeechData`.
    """
    splits = {}
    for split, rows in load_splits(dataset_name, dataset_config_name, split_names, load_kwargs).items():
        audio = _audio_rows(split, rows, audio_column)
        texts = rows[find_text_column(f"split {split!r}", rows.column_names, text_column)]
        columns = [name for name in SPEAKER_COLUMNS if name in rows.column_names]
        speakers = map(find_speaker, rows.select_columns(columns)) if columns else [None] * len(rows)
        named = enumerate(zip(texts, speakers, strict=True))
        splits[split] = [(*_name_audio(split, audio, index), text, speaker) for index, (text, speaker) in named]
    return collect_speech(
        splits, dataset_name, sampling_rate=sampling_rate, resample=resample, skip_bad_examples=skip_bad_examples
    )


def _audio_rows(split: str, rows: Dataset, column: str) -> Dataset:
    check_columns(split, rows, [column], "pass audio_column")
    try:
        return rows.select_columns([column]).cast_column(column, Audio(decode=False))
    except (TypeError, ValueError, NotImplementedError) as error:  # the last is Arrow's
        raise ValueError(
            f"column {column!r} of split {split!r} must hold audio files or their paths, got "
            f"{rows.features[column]}; store datasets.Audio, or pass audio_column"
        ) from error


def _name_audio(split: str, audio: Dataset, index: int) -> tuple[str, AudioSource]:
    (cell,) = audio[index].values()
    if cell is None:
        return f"{split}/{index}", b""
    return f"{split}/{index}" + (f" ({Path(cell['path']).name})" if cell["path"] else ""), HubAudio(audio, index)
