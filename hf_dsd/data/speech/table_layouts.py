"""Layouts whose recordings stand in tables with named columns: audiofolder, NeMo, Common Voice, Mozilla DeepSpeech.

Every layout is a function from a folder to its splits by their own names, empty if the folder has another layout. Rows
are read when they are asked for: a split that is not used is not read.
"""

from itertools import chain
from pathlib import Path, PurePath

from hf_dsd.data.tables import read_csv, read_jsonl, read_tsv

from .list_layouts import is_ljspeech
from .speech_folder import Rows, SpeechFolder, first_line
from .utterances import Recording

_METADATA_READERS = {"metadata.jsonl": read_jsonl, "metadata.csv": read_csv}


def read_audiofolder(folder: SpeechFolder) -> dict[str, Rows]:
    """The layout of `datasets`: `metadata.jsonl` or `metadata.csv` with `file_name`, in any folder.

    A table at the root may list all splits: the path of a file says its split.
    """
    tables: dict[str, list[Path]] = {}
    for path in folder.lists:
        if path.name in _METADATA_READERS and not is_ljspeech(path):
            inside = path.parent.relative_to(folder.root)
            tables.setdefault(folder.split_of(inside, 0) if inside.parts else "", []).append(path)
    at_root: dict[str, list[tuple[str, Recording]]] = {}
    for place, recording in _read_metadata(folder, tables.pop("", [])):
        at_root.setdefault(folder.split_of(PurePath(recording.name).parent), []).append((place, recording))
    splits: dict[str, Rows] = {**at_root}
    for split, paths in tables.items():
        splits[split] = chain(splits.get(split, ()), _read_metadata(folder, paths))
    return splits


def _read_metadata(folder: SpeechFolder, paths: list[Path]) -> Rows:
    for path in paths:
        yield from folder.table(_METADATA_READERS[path.name](path), "file_name", path.parent)


def read_nemo(folder: SpeechFolder) -> dict[str, Rows]:
    """NeMo manifests: JSON Lines with `audio_filepath` and `text`, and `offset` and `duration` of parts of files."""
    column = folder.audio_column or "audio_filepath"
    return {
        split: folder.table(read_jsonl(path), "audio_filepath", folder.root)
        for split, path in folder.at_top(".json", ".jsonl").items()
        if f'"{column}"' in first_line(path)
    }


def read_common_voice(folder: SpeechFolder) -> dict[str, Rows]:
    """Common Voice: `train.tsv`, `dev.tsv`, `test.tsv` with `path` and `sentence`, the files in `clips`."""
    clips = folder.root / "clips"
    return {
        split: folder.table(read_tsv(path), "path", clips if clips.is_dir() else folder.root)
        for split, path in folder.at_top(".tsv").items()
        if (folder.audio_column or "path") in first_line(path).split("\t")
    }


def read_deepspeech_csv(folder: SpeechFolder) -> dict[str, Rows]:
    """Mozilla DeepSpeech and Coqui STT: `train.csv`, ... with `wav_filename`, `wav_filesize`, `transcript`."""
    column = folder.audio_column or "wav_filename"
    return {
        split: folder.table(read_csv(path), "wav_filename", folder.root)
        for split, path in folder.at_top(".csv").items()
        if column in first_line(path).replace('"', "").split(",")
    }
