"""Speech from a folder, in any of the layouts that speech comes in."""

from collections.abc import Callable, Collection, Mapping
from itertools import chain
from pathlib import Path

from hf_dsd.data.splits import choose_splits

from .audio import AudioSource
from .list_layouts import read_deepspeech_pytorch, read_kaldi, read_librispeech, read_ljspeech
from .speech_folder import Rows, SpeechFolder
from .table_layouts import read_audiofolder, read_common_voice, read_deepspeech_csv, read_nemo
from .utterances import DEFAULT_SAMPLING_RATE, Recording, SpeechData, collect_speech

LIST_LAYOUTS: Mapping[str, Callable[[SpeechFolder], dict[str, Rows]]] = {
    "LibriSpeech (*.trans.txt)": read_librispeech,
    "Kaldi (wav.scp with text)": read_kaldi,
    "LJSpeech (metadata.csv with bars, wavs)": read_ljspeech,
    "deepspeech.pytorch (*.csv of audio,transcript files; *.json with root_path)": read_deepspeech_pytorch,
}
"""Layouts without named columns: what each is told by -> its splits, none if a folder has another layout."""

LAYOUTS: Mapping[str, Callable[[SpeechFolder], dict[str, Rows]]] = {
    "audiofolder (metadata.jsonl or metadata.csv)": read_audiofolder,
    "NeMo manifests (*.json with audio_filepath)": read_nemo,
    "Common Voice (*.tsv with path)": read_common_voice,
    "Mozilla DeepSpeech (*.csv with wav_filename)": read_deepspeech_csv,
    **LIST_LAYOUTS,
}
"""All layouts, likewise."""


def load_speech(
    data_dir: str | Path,
    *,
    split_names: Mapping[str, str | None] | None = None,
    required_splits: Collection[str] = ("train",),
    audio_column: str | None = None,
    text_column: str | None = None,
    normalize: Callable[[str], str] | None = None,
    sampling_rate: int = DEFAULT_SAMPLING_RATE,
    resample: bool = False,
    skip_bad_examples: bool = False,
) -> SpeechData:
    """Reads transcribed recordings from a folder; its layout, one of `LAYOUTS`, is found by what lies in it.

    Every file's header is read, no audio is decoded.

    Args:
        data_dir: The folder.
        split_names: Our split -> the folder's name for it, with any of "-", "." and "_", several joined by "+", for
            example {"train": "train-clean-100+train-clean-360", "validation": None}. None as a name finds the split by
            the words in its name (`SPLIT_WORDS`). Other splits are not read. None looks for train, validation and test.
        required_splits: Those of ours that must be found.
        audio_column: Column of the paths, of a layout with named columns; None takes the layout's own.
        text_column: Column of the transcripts, likewise; None takes the one of `TEXT_COLUMNS` that is there.
        normalize: Applied to every transcript, for example one of `hf_dsd.metrics.TEXT_NORMALIZERS`; None leaves them.
        sampling_rate: In Hz, what the files must have.
        resample: Whether files may have another sampling rate; they are resampled whenever they are read.
        skip_bad_examples: Whether to leave out utterances that cannot be used instead of raising; they are counted and
            listed in the log and in `skipped`. Every file is then decoded once.

    Returns:
        Utterances in the order of the lists, named by their paths in the folder.

    Raises:
        FileNotFoundError: If the folder is missing, or has none of the layouts.
        BadUtteranceError: Unless `skip_bad_examples`: if audio is missing, unreadable, empty or of another sampling
            rate, or a transcript is empty.
        ValueError: If the folder has two layouts, a split is missing or could be one of several, a line is malformed
            (named by its number), audio appears twice or lies outside of the folder, a column is not found, or as
            `SpeechData`.

    References:
        `Create an audio dataset <https://huggingface.co/docs/datasets/audio_dataset>`_, AudioFolder.
    """
    folder = SpeechFolder.search(data_dir, audio_column, text_column)
    layout, found = _find_layout(folder)
    where = f"the folder {str(data_dir)!r} in the layout {layout}"
    seen: dict[AudioSource, str] = {}
    splits = {
        split: _check_repeats(chain.from_iterable(found[name] for name in names), seen)
        for split, names in choose_splits(found, split_names, required_splits, where).items()
    }
    return collect_speech(
        splits,
        str(folder.root),
        normalize=normalize,
        sampling_rate=sampling_rate,
        resample=resample,
        skip_bad_examples=skip_bad_examples,
    )


def _find_layout(folder: SpeechFolder) -> tuple[str, dict[str, Rows]]:
    found = {layout: splits for layout, read in LAYOUTS.items() if (splits := read(folder))}
    if len(found) > 1:
        raise ValueError(
            f"data_dir must have one layout, got {' and '.join(found)} in {folder.root.name!r}; name a folder with one "
            "of them, or move the lists of the other"
        )
    if not found:
        names = sorted(path.name for path in folder.root.iterdir())
        raise FileNotFoundError(
            f"data_dir must hold speech as {', '.join(LAYOUTS)}, got {str(folder.root)!r} with {names[:10]}; name the "
            "folder of one of these, or write a metadata.csv with file_name and transcription"
        )
    ((layout, splits),) = found.items()
    for field, column in (("audio_column", folder.audio_column), ("text_column", folder.text_column)):
        if layout in LIST_LAYOUTS and column is not None:
            raise ValueError(f"{field} belongs to tables with a header, got {column!r} with {layout}; leave it out")
    return layout, splits


def _check_repeats(rows: Rows, seen: dict[AudioSource, str]) -> list[Recording]:
    """The recordings of a split; audio that another line of any split has is refused."""
    kept = []
    for place, recording in rows:
        if recording.audio in seen:
            raise ValueError(
                f"{place}: audio must appear once, got {recording.name!r} again after {seen[recording.audio]}; remove "
                "one of the lines"
            )
        seen[recording.audio] = place
        kept.append(recording)
    return kept
