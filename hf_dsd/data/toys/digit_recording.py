"""What becomes of a voice on its way to the file: echo, background noise, clipping."""

import numpy as np
import scipy.fft
from scipy.signal import oaconvolve

from .digit_content import DigitString
from .digit_voice import SAMPLING_RATE, Floats, speak


def record(string: DigitString) -> Floats:
    """Says and records a string.

    Args:
        string: What to say, who, where and how.

    Returns:
        (samples,) float32 at 16 kHz in [-1, 1].
    """
    generator = np.random.default_rng((*string.seed, 1))
    sound = _reverberate(speak(string), string.reverberation, generator)
    noise = _colored_noise(len(sound), string.noise_color, generator)
    loud = np.sqrt(np.mean(np.square(sound[np.abs(sound) > 0.05 * np.abs(sound).max()])))
    sound = sound + noise * (loud * 10 ** (-string.snr / 20))
    driven = sound * (string.drive / np.abs(sound).max())
    return np.asarray(np.clip(driven, -1.0, 1.0), dtype=np.float32)


def _reverberate(sound: Floats, seconds: float, generator: np.random.Generator) -> Floats:
    """Adds the echoes of a room: noise that dies away, after the direct sound."""
    length = int(seconds * SAMPLING_RATE)
    if length == 0:
        return sound
    decay = np.exp(-np.log(1000.0) * np.arange(1, length + 1) / length)
    echo = generator.standard_normal(length) * decay
    echo *= 0.8 / np.sqrt(np.sum(echo**2))
    response = np.concatenate([[1.0], echo])
    return np.asarray(oaconvolve(sound, response))[: len(sound)].astype(np.float32)


def _colored_noise(samples: int, color: float, generator: np.random.Generator) -> Floats:
    """Noise of unit power whose power spectrum falls as frequency to the minus `color`."""
    length = scipy.fft.next_fast_len(samples, real=True)
    spectrum = scipy.fft.rfft(generator.standard_normal(length, dtype=np.float32))
    frequency = np.maximum(np.arange(len(spectrum)) * (SAMPLING_RATE / length), 50.0)  # in Hz; flat below
    noise = scipy.fft.irfft(spectrum * frequency ** (-color / 2), length)[:samples]
    return np.asarray(noise / np.sqrt(np.mean(noise**2)), dtype=np.float32)
