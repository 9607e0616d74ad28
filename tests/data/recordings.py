"""Recordings for the tests of speech data."""

import io

import numpy as np
import soundfile

from hf_dsd.data import SpeechData, Utterance, read_header


def ramp(samples: int) -> np.ndarray:
    """A sound whose every sample is known: 0, 1/1024, 2/1024, ... up to 0.5 and again; 16 bits hold it exactly."""
    return (np.arange(samples) % 512 / 1024).astype(np.float32)


def encode(sound: np.ndarray, sampling_rate: int = 16_000, kind: str = "FLAC") -> bytes:
    """A file's bytes, 16 bits per sample where the kind has bits."""
    file = io.BytesIO()
    soundfile.write(file, sound, sampling_rate, format=kind)
    return file.getvalue()


def utterance(name: str, transcript: str, samples: int = 1600, sampling_rate: int = 16_000) -> Utterance:
    """A ramp with a transcript."""
    audio = encode(ramp(samples), sampling_rate)
    return Utterance(name, audio, transcript, read_header(name, audio))


def speech(*transcripts: str, samples: int = 1600) -> SpeechData:
    """A training split of ramps, called u0, u1, ...; each 16 samples longer than the one before."""
    rows = [utterance(f"u{row}", text, samples + 16 * row) for row, text in enumerate(transcripts)]
    return SpeechData({"train": rows})
