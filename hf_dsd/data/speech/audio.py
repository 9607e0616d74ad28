"""Audio files and bytes as samples, by soundfile: FLAC, WAV, Ogg (Vorbis and Opus), MP3."""

import io
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import soundfile
from numpy.typing import NDArray
from scipy.signal import resample_poly

from .truncation import missing_part, with_stated_length

Samples = NDArray[np.float32]
"""(samples,) float32, mono, full scale is [-1, 1]."""


@dataclass(frozen=True)
class AudioPart:
    """A part of a longer recording.

    Attributes:
        file: The recording.
        start: Where the part begins, in seconds, at least 0.
        seconds: How long it is; None goes to the end of the recording.
    """

    file: Path
    start: float
    seconds: float | None = None


AudioSource = Path | bytes | AudioPart | Callable[[], Path | bytes]
"""An encoded audio file: its path, its bytes, a part of it, or a function that fetches it when it is needed."""


class BadUtteranceError(ValueError):
    """One utterance cannot be used; `skip_bad_examples=True` leaves it out instead of raising this.

    Args:
        problem: Which utterance, what is wrong, and how to correct it; the message adds how to leave it out.
    """

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.problem}, or pass skip_bad_examples=True to leave it out"


@dataclass(frozen=True)
class AudioHeader:
    """What an audio file says about itself.

    Attributes:
        samples: Number of samples per channel, at least 1.
        sampling_rate: In Hz.
    """

    samples: int
    sampling_rate: int


def read_header(name: str, audio: AudioSource) -> AudioHeader:
    """Reads the length and sampling rate of a file without decoding it.

    Args:
        name: What messages call the file.
        audio: The file.

    Returns:
        Its header.

    Raises:
        BadUtteranceError: If there is no such file, it is not audio that soundfile reads, it is cut off as far as that
            shows without decoding, it has no samples, or a part of it does not lie in it.
    """
    with _opened(name, audio) as file:
        info = soundfile.info(file, verbose=True)
        read = file.read_bytes if isinstance(file, Path) else file.getvalue
        missing = missing_part(read, info)
    if missing:
        raise _not_whole(name, missing)
    if info.frames < 1:
        raise BadUtteranceError(f"{name}: audio must not be empty, got 0 samples; record it again")
    if isinstance(audio, AudioPart):
        first, stop = _part_bounds(name, audio, info.frames, info.samplerate)
        return AudioHeader(stop - first, info.samplerate)
    return AudioHeader(info.frames, info.samplerate)


def _part_bounds(name: str, part: AudioPart, frames: int, rate: int) -> tuple[int, int]:
    """First and last sample + 1; tables round, so that an end may lie a tenth of a second behind the recording's."""
    first = round(part.start * rate)
    stop = frames if part.seconds is None else round((part.start + part.seconds) * rate)
    if not 0 <= first < min(stop, frames) or stop > frames + rate // 10:
        raise BadUtteranceError(
            f"{name}: a part must lie in its recording of {frames / rate:.3f} s, got {first / rate:.3f} to "
            f"{stop / rate:.3f} s; correct its start and length"
        )
    return first, min(stop, frames)


def read_audio(name: str, audio: AudioSource, sampling_rate: int) -> Samples:
    """Decodes a file; channels are averaged, other sampling rates resampled.

    Args:
        name: What messages call the file.
        audio: The file.
        sampling_rate: In Hz, what the samples shall have.

    Returns:
        The samples, `resampled_length` of them.

    Raises:
        BadUtteranceError: As `read_header`, or if the file cannot be decoded to its end, or has samples that are not
            finite.
    """
    source = audio() if callable(audio) else audio
    header = read_header(name, source)
    start, length = 0, -1
    if isinstance(source, AudioPart):
        start, length = round(source.start * header.sampling_rate), header.samples
    with _opened(name, source) as file:
        samples, own_rate = soundfile.read(file, length, start, dtype="float32", always_2d=True)
    if len(samples) < header.samples:
        raise _not_whole(name, f"{len(samples)} of {header.samples} samples")
    if not np.isfinite(samples).all():
        raise BadUtteranceError(f"{name}: samples must be finite, got NaN or infinity; write it again")
    mono = samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1)
    if own_rate != sampling_rate:
        common = math.gcd(own_rate, sampling_rate)
        mono = resample_poly(mono, sampling_rate // common, own_rate // common)
    return np.ascontiguousarray(mono, dtype=np.float32)


def resampled_length(header: AudioHeader, sampling_rate: int) -> int:
    """Samples of a file at another sampling rate.

    Args:
        header: Of the file.
        sampling_rate: In Hz.

    Returns:
        The number of samples that `read_audio` returns, at least 1.
    """
    return -(-header.samples * sampling_rate // header.sampling_rate)


@contextmanager
def _opened(name: str, audio: AudioSource) -> Iterator[Path | io.BytesIO]:
    """The file as soundfile takes it; what soundfile raises in the block names the utterance."""
    source = audio() if callable(audio) else audio.file if isinstance(audio, AudioPart) else audio
    try:
        if isinstance(source, Path):
            with source.open("rb") as file:
                start = file.read(3)
        else:
            start = source[:3]
        if not start:
            raise BadUtteranceError(f"{name}: audio must not be empty, got 0 bytes; record it again")
        if start != b"ID3" and start[0] != 0xFF:
            yield source if isinstance(source, Path) else io.BytesIO(source)
        else:
            with TemporaryDirectory() as folder:  # libsndfile 1.2 reads MP3 from files only
                path = Path(folder, "audio.mp3")
                path.write_bytes(with_stated_length(source.read_bytes() if isinstance(source, Path) else source))
                yield path
    except soundfile.SoundFileError as error:
        raise _unreadable(name, error) from error
    except FileNotFoundError as error:
        raise BadUtteranceError(f"{name}: audio file must exist, got none at {str(source)!r}; add it") from error
    except (OSError, ValueError) as error:  # a folder, no permission; a name that is too long or holds a NUL
        if isinstance(error, BadUtteranceError):
            raise
        raise BadUtteranceError(f"{name}: audio file must be readable, got {error}; correct it") from error


def _not_whole(name: str, missing: str) -> BadUtteranceError:
    return BadUtteranceError(f"{name}: audio must be a whole file, got {missing}: it is cut off; write it again")


def _unreadable(name: str, error: soundfile.SoundFileError) -> BadUtteranceError:
    reason = error.error_string if isinstance(error, soundfile.LibsndfileError) else str(error)
    return BadUtteranceError(
        f"{name}: audio must be a whole file that soundfile reads (FLAC, WAV, Ogg, MP3), got {reason.rstrip('.')!r}; "
        "write it again"
    )
