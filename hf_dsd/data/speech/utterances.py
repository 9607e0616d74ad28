"""Transcribed speech: audio files with transcripts, in splits.

Where utterances come from (files, a Hub dataset, synthesised digits) is the business of the modules next door; all of
them build a `SpeechData`, and `SpeechDataset` turns it into rows.
"""

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from hf_dsd.data.splits import check_new_splits, check_split_names, draw_rows, find_split, hold_out

from .audio import AudioHeader, AudioSource, BadUtteranceError, Samples, read_audio, read_header

logger = logging.getLogger(__name__)

DEFAULT_SAMPLING_RATE = 16_000
"""In Hz."""

_LISTED = 20  # of the utterances left out, in a log line; the data holds all of them


@dataclass(frozen=True)
class Utterance:
    """One recording and what was said in it.

    Attributes:
        name: What messages call it: the file's name, unique within the data.
        audio: The encoded file.
        transcript: Raw text.
        header: Length and sampling rate of the file as it is.
        speaker: Who speaks, where the data says so.
    """

    name: str
    audio: AudioSource = field(repr=False)
    transcript: str
    header: AudioHeader
    speaker: str | None = None

    @property
    def seconds(self) -> float:
        """Duration."""
        return self.header.samples / self.header.sampling_rate


@dataclass(frozen=True)
class SpeechData:
    """Utterances in splits, with one sampling rate to read them at.

    Attributes:
        splits: Split name ("train", "validation" or "test") -> its utterances.
        sampling_rate: In Hz; files with another one are resampled when read.
        skipped: Split -> name -> why, for every utterance that loading left out.

    Raises:
        ValueError: If there is no train split, a split is empty or its name unknown, two utterances have the same name,
            or the sampling rate is not positive.
    """

    splits: Mapping[str, Sequence[Utterance]]
    sampling_rate: int = DEFAULT_SAMPLING_RATE
    skipped: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_split_names("splits", self.splits)
        for name, utterances in self.splits.items():
            if not utterances:
                raise ValueError(f"split {name!r} must not be empty, got 0 utterances; leave it out or add some")
        names = Counter(utterance.name for utterances in self.splits.values() for utterance in utterances)
        name, count = names.most_common(1)[0]
        if count > 1:
            raise ValueError(f"utterances must have names of their own, got {name!r} {count} times; rename them")
        if self.sampling_rate < 1:
            raise ValueError(f"sampling_rate must be positive, got {self.sampling_rate}; 16000 is customary")

    def split(self, name: str) -> Sequence[Utterance]:
        """One split by name; ValueError if the data has no such split."""
        return find_split(self.splits, name)

    def samples(self, utterance: Utterance) -> Samples:
        """Decodes one utterance.

        Args:
            utterance: Of this data.

        Returns:
            (samples,) float32, mono, full scale [-1, 1], at `sampling_rate`.

        Raises:
            BadUtteranceError: As `read_audio`.
        """
        return read_audio(utterance.name, utterance.audio, self.sampling_rate)

    def with_train_size(self, size: int, seed: int = 0) -> "SpeechData":
        """The same data with only `size` utterances to train on, drawn by `seed` (see `draw_rows`)."""
        train = self.split("train")
        kept = [train[row] for row in draw_rows(size, len(train), seed)]
        return replace(self, splits={**self.splits, "train": kept})

    def with_held_out(self, shares: Mapping[str, float], seed: int = 0) -> "SpeechData":
        """The same data with shares of its training split as new splits, drawn by `seed` (see `hold_out`).

        Utterances are drawn one by one: a speaker, or a sentence that several read, may be on both sides. A split that
        is there already is a ValueError.
        """
        check_new_splits(self.splits, shares)
        return replace(self, splits={**self.splits, **hold_out(self.split("train"), shares, seed)})


@dataclass(frozen=True)
class Recording:
    """What a source says of one utterance, before anything is checked.

    Attributes:
        name: As `Utterance.name`.
        audio: The encoded file.
        transcript: Raw text, or a function that reads it when it is needed and may raise `BadUtteranceError`.
        speaker: As `Utterance.speaker`.
    """

    name: str
    audio: AudioSource
    transcript: Any
    speaker: str | None = None


def collect_speech(
    splits: Mapping[str, Sequence[Recording]],
    source: str,
    *,
    normalize: Callable[[str], str] | None,
    sampling_rate: int,
    resample: bool,
    skip_bad_examples: bool,
) -> SpeechData:
    """Checks recordings one by one: what every loader of speech does.

    Args:
        splits: Split name -> its recordings.
        source: Where they come from, for the log.
        normalize: Applied to every transcript; None leaves them as they are.
        sampling_rate: In Hz, what the files must have.
        resample: Whether files may have another sampling rate.
        skip_bad_examples: Whether to leave out what cannot be used instead of raising. Every file is then decoded once,
            because damage behind the header shows only there.

    Returns:
        The utterances that can be used, and what was left out.

    Raises:
        BadUtteranceError: Unless `skip_bad_examples`: if a file is unreadable, empty or of another sampling rate, or a
            transcript is not text.
        ValueError: As `SpeechData`.
    """
    kept: dict[str, list[Utterance]] = {}
    skipped: dict[str, dict[str, str]] = {}
    for split, rows in splits.items():
        kept[split], skipped[split] = [], {}
        for row in rows:
            try:
                utterance = _check_utterance(row, normalize, None if resample else sampling_rate)
                if skip_bad_examples:
                    read_audio(row.name, row.audio, utterance.header.sampling_rate)
            except BadUtteranceError as error:
                if not skip_bad_examples:
                    raise
                skipped[split][row.name] = error.problem
            else:
                kept[split].append(utterance)
        report_skipped(skipped[split], len(rows), f"split {split!r} of {source}")
    return SpeechData(kept, sampling_rate, skipped)


def _check_utterance(row: Recording, normalize: Callable[[str], str] | None, sampling_rate: int | None) -> Utterance:
    name = row.name
    raw = row.transcript() if callable(row.transcript) else row.transcript
    transcript = normalize(raw) if normalize is not None and isinstance(raw, str) else raw
    if not isinstance(transcript, str) or not transcript.strip():
        raise BadUtteranceError(f"{name}: transcript must be a str with at least one word, got {raw!r:.80}; add it")
    header = read_header(name, row.audio)
    if sampling_rate is not None and header.sampling_rate != sampling_rate:
        raise BadUtteranceError(
            f"{name}: sampling rate must be {sampling_rate} Hz, got {header.sampling_rate} Hz; pass resample=True, or "
            f"sampling_rate={header.sampling_rate} for a model that hears that"
        )
    return Utterance(name, row.audio, transcript, header, row.speaker)


def report_skipped(skipped: Mapping[str, str], total: int, where: str) -> None:
    """Logs how many utterances were left out, and why: one line each, up to 20.

    Args:
        skipped: Name -> why.
        total: Utterances there were.
        where: What they were left out of.
    """
    if skipped:
        lines = [*list(skipped.values())[:_LISTED], *(["..."] if len(skipped) > _LISTED else [])]
        logger.warning("left out %d of %d utterances of %s:\n%s", len(skipped), total, where, "\n".join(lines))
