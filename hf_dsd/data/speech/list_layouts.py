"""Layouts whose recordings stand in lists without named columns: LibriSpeech, Kaldi, LJSpeech, deepspeech.pytorch.

As in `table_layouts`, a function gives a folder's splits by their own names, empty if the folder has another layout.
"""

import os
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path

from hf_dsd.data.tables import locate_file, read_json, read_lines, read_text

from .audio import AudioPart, BadUtteranceError
from .speech_folder import Rows, SpeechFolder, first_line, read_part
from .utterances import Recording

_HEAD = 1000  # bytes in which a JSON manifest must have its first key
_AUDIO_SUFFIXES = (".flac", ".wav", ".opus", ".ogg", ".mp3")


def read_librispeech(folder: SpeechFolder) -> dict[str, Rows]:
    """LibriSpeech: `SPLIT/SPEAKER/CHAPTER/*.trans.txt` of lines `ID WORDS`, the files `ID.flac` beside them."""
    splits: dict[str, list[Path]] = {}
    for path in folder.lists:
        if path.name.endswith(".trans.txt"):
            splits.setdefault(folder.split_of(path.parent.relative_to(folder.root), -3), []).append(path)
    return {split: _read_transcripts(folder, paths) for split, paths in splits.items()}


def _read_transcripts(folder: SpeechFolder, paths: list[Path]) -> Rows:
    for path in paths:
        for name, (place, words) in _by_id(path).items():
            files = (name + suffix for suffix in _AUDIO_SUFFIXES)
            file = next((file for file in files if (path.parent / file).is_file()), f"{name}.flac")
            speaker = name.split("-")[0] if "-" in name else None
            yield place, folder.recording(place, "the first word", file, path.parent, words, speaker)


def read_kaldi(folder: SpeechFolder) -> dict[str, Rows]:
    """Kaldi's data folders: `wav.scp` and `text`, and where they are there `segments` and `utt2spk`."""
    splits: dict[str, list[Path]] = {}
    for path in folder.lists:
        if path.name == "wav.scp" and (path.parent / "text").is_file():
            splits.setdefault(folder.split_of(path.parent.relative_to(folder.root), -1), []).append(path.parent)
    return {split: _read_kaldi_folders(folder, paths) for split, paths in splits.items()}


def _read_kaldi_folders(folder: SpeechFolder, paths: list[Path]) -> Rows:
    for path in paths:
        files = {key: _kaldi_file(folder, path, *line) for key, line in _by_id(path / "wav.scp").items()}
        parts = _by_id(path / "segments") if (path / "segments").is_file() else {}
        speakers = _by_id(path / "utt2spk") if (path / "utt2spk").is_file() else {}
        texts = _by_id(path / "text")
        _check_ids(path, parts or files, texts)
        for key, (place, words) in texts.items():
            audio = _kaldi_part(files, *parts[key]) if parts else files[key]
            name = f"{path.relative_to(folder.root).as_posix()}/{key}".removeprefix("./")
            yield place, Recording(name, audio, words, speakers[key][1] if key in speakers else None)


def _by_id(path: Path) -> dict[str, tuple[str, str]]:
    """The lines `ID REST` of a file: ID -> its place for messages, and the rest."""
    found: dict[str, tuple[str, str]] = {}
    for place, line in read_lines(path):
        name, rest = [*line.split(maxsplit=1), ""][:2]
        if name in found:
            raise ValueError(
                f"{place}: {name!r} must appear once, got it again after {found[name][0]}; remove one line"
            )
        found[name] = place, rest.strip()
    return found


def _check_ids(folder: Path, audio: Iterable[str], texts: Iterable[str]) -> None:
    if lonely := sorted(set(audio) ^ set(texts)):
        raise ValueError(
            f"{folder.name} must have audio and text of the same utterances, got {lonely[:3]} ({len(lonely)} in all) "
            "with one of them only; complete or remove them, as Kaldi's utils/fix_data_dir.sh does"
        )


def _kaldi_file(folder: SpeechFolder, path: Path, place: str, file: str) -> Path:
    """The file of a line of wav.scp; a relative path begins where the recipe ran, often above the data folder."""
    if file.startswith("|") or file.endswith("|"):
        raise ValueError(
            f"{place} must name an audio file, got the command {file!r:.80}, and commands in a data set are never run; "
            "convert the recordings to WAV or FLAC files once, by that command if you trust it, and name those"
        )
    nearest = locate_file(place, "the path", file, path, folder.root)
    others = [Path(os.path.normpath(base / file)) for base in path.parents]
    candidates = [other for other in (nearest, *others) if other.is_relative_to(folder.root)]
    return next((candidate for candidate in candidates if candidate.is_file()), nearest)


def _kaldi_part(files: dict[str, Path], place: str, segment: str) -> AudioPart:
    """A line `UTTERANCE RECORDING START END` of `segments`; an end of -1 is the recording's."""
    fields = segment.split()
    if len(fields) != 3 or fields[0] not in files:
        raise ValueError(f"{place} must be ID RECORDING START END, RECORDING in wav.scp, got {segment!r}; correct it")
    whole, end = read_part(place, files[fields[0]], fields[1], None), fields[2]
    if end == "-1":
        return whole
    return replace(whole, seconds=read_part(place, whole.file, end, None).start - whole.start)


def is_ljspeech(path: Path) -> bool:
    """Whether a file is LJSpeech's `metadata.csv`, which has bars between fields, no header, and `wavs` beside it."""
    line = first_line(path) if path.name == "metadata.csv" and (path.parent / "wavs").is_dir() else ""
    return "|" in line and not line.startswith("file_name")


def read_ljspeech(folder: SpeechFolder) -> dict[str, Rows]:
    """LJSpeech: `metadata.csv` of lines `ID|text|normalised text`, the files `wavs/ID.wav`; one split, `train`."""
    path = folder.root / "metadata.csv"
    return {"train": _read_bars(folder, path)} if path in folder.lists and is_ljspeech(path) else {}


def _read_bars(folder: SpeechFolder, path: Path) -> Rows:
    for place, line in read_lines(path):
        name, *texts = line.split("|")
        if len(texts) not in (1, 2):
            raise ValueError(f"{place} must be ID|text or ID|text|normalised text, got {line!r:.80}; correct it")
        yield place, folder.recording(place, "ID", f"wavs/{name}.wav", folder.root, texts[-1].strip() or texts[0])


def read_deepspeech_pytorch(folder: SpeechFolder) -> dict[str, Rows]:
    """Manifests of deepspeech.pytorch: `*.csv` of lines `audio file,transcript file`, since its version 3 `*.json`."""
    pairs = {
        split: _read_file_pairs(folder, path)
        for split, path in folder.at_top(".csv").items()
        if (line := first_line(path)).count(",") == 1 and line.endswith(".txt")
    }
    return pairs | {
        split: _read_samples(folder, path) for split, path in folder.at_top(".json").items() if _is_manifest(path)
    }


def _is_manifest(path: Path) -> bool:
    with path.open("rb") as file:  # not the whole: any large JSON file may lie there
        head = file.read(_HEAD)
    return b'"root_path"' in head or b'"samples"' in head


def _read_file_pairs(folder: SpeechFolder, path: Path) -> Rows:
    for place, line in read_lines(path):
        audio, comma, text = line.strip().partition(",")
        if not comma or "," in text:
            raise ValueError(f"{place} must be two paths, of audio and its transcript, got {line!r:.80}; correct it")
        yield place, _file_pair(folder, place, audio, text)


def _read_samples(folder: SpeechFolder, path: Path) -> Rows:
    where = f"{path.parent.name}/{path.name}"
    manifest = read_json(path, "a manifest of deepspeech.pytorch")
    root, samples = (manifest.get("root_path"), manifest.get("samples")) if isinstance(manifest, dict) else (None, None)
    if not isinstance(root, str) or not isinstance(samples, list):
        raise ValueError(
            f"{where} must be an object of root_path and a list of samples, got {manifest!r:.80}; correct it"
        )
    for number, sample in enumerate(samples, start=1):
        place = f"{where} sample {number}"
        files = [sample.get(key) for key in ("wav_path", "transcript_path")] if isinstance(sample, dict) else [None]
        names = [file for file in files if isinstance(file, str)]
        if len(names) < 2:
            raise ValueError(f"{place} must name two files, wav_path and transcript_path, got {sample!r:.80}; add them")
        yield place, _file_pair(folder, place, *(os.path.join(root, name) for name in names))


def _file_pair(folder: SpeechFolder, place: str, audio: str, text: str) -> Recording:
    transcript = locate_file(place, "the transcript", text, folder.root, folder.root)
    return folder.recording(place, "the audio", audio, folder.root, partial(_read_transcript, place, transcript))


def _read_transcript(place: str, path: Path) -> str:
    if not path.is_file():
        raise BadUtteranceError(f"{place}: the transcript's file must exist, got none at {str(path)!r}; add it")
    return read_text(path).strip()
