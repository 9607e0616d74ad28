"""A formant synthesiser: a buzz and a hiss, shaped by resonances that glide from phone to phone, then recorded.

The source-filter model of speech; the filter acts on overlapping windows in the frequency domain, so that all windows
of an utterance are one array operation. A recording adds echo, background noise and clipping.

References:
    Klatt, `Software for a cascade/parallel formant synthesizer <https://doi.org/10.1121/1.383940>`_, 1980.
"""

import numpy as np
import scipy.fft
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.signal import oaconvolve

from .digit_content import PHONES, WORD_PHONES, DigitString

SAMPLING_RATE = 16_000
"""In Hz."""

Floats = NDArray[np.float32]

_HOP = 64  # samples between windows: 4 ms
_WINDOW = 256
_FFT = 512  # twice the window: the resonances ring on after it
_NEUTRAL = (500.0, 1500.0, 2500.0)  # formants of an unstressed vowel
_BANDWIDTHS = (60.0, 90.0, 140.0)  # of the formants, half their width in Hz
_LEVELS = (1.0, 0.9, 0.6)  # of the formants, before the source's fall towards high frequencies
_GLIDE, _ATTACK = 45.0, 16.0  # duration of a change of formants and of loudness, in milliseconds
_PHONE_ROWS = {name: row for row, name in enumerate(PHONES)}


def speak(string: DigitString) -> Floats:
    """Says the digits in a quiet, dead room: (samples,) float32 at 16 kHz, with silence around, as loud as it comes."""
    generator = np.random.default_rng(string.seed)
    names, milliseconds, loudness = _plan(string, generator)
    frames = np.maximum(1, np.round(milliseconds * SAMPLING_RATE / 1000 / _HOP)).astype(int)
    formants, controls = _tracks(string, names, frames, loudness)
    voice, hiss = _sources(string, len(controls), generator)
    return _shape(voice, hiss, formants, controls)


def _plan(string: DigitString, generator: np.random.Generator) -> tuple[list[str], Floats, Floats]:
    """Phones with their durations in milliseconds and their loudness; pauses are silent closures."""
    plan = [("closure", generator.uniform(60, 250), 0.0)]
    rate = string.speaker.rate
    for digit in string.digits:
        level = 10 ** (generator.normal(0.0, 3.5) / 20)  # from decibels
        stretch = generator.normal(1.0, 0.1) / rate
        for name in WORD_PHONES[digit]:
            plan.append((name, PHONES[name][-1] * stretch * np.exp(generator.normal(0.0, 0.2)), level))
        if generator.random() < 0.4:  # the other words run into the next
            plan.append(("closure", generator.uniform(20, 180) / rate, 0.0))
    plan.append(("closure", generator.uniform(60, 250), 0.0))
    names, milliseconds, loudness = zip(*plan, strict=True)
    return list(names), np.array(milliseconds, np.float32), np.array(loudness, np.float32)


def _tracks(
    string: DigitString, names: list[str], frames: NDArray[np.int64], loudness: Floats
) -> tuple[Floats, Floats]:
    """Per window: three formants in Hz; voice, noise, centre and width of the noise in Hz."""
    speaker = string.speaker
    phones = np.array([PHONES[name] for name in names])
    accent = np.array([speaker.accent[_PHONE_ROWS[name]] for name in names])
    targets = phones[:, :3] + speaker.undershoot * (np.array(_NEUTRAL) - phones[:, :3])
    formants = np.repeat(targets * accent * speaker.formant_scale, frames, axis=0)
    amplitudes, noise = phones[:, 3:5] * loudness[:, None], phones[:, 5:7] * [speaker.formant_scale, 1]
    controls = np.repeat(np.concatenate([amplitudes, noise], axis=1), frames, axis=0)
    controls[:, :2] = _smooth(controls[:, :2], _ATTACK)
    return _smooth(formants, _GLIDE).astype(np.float32), controls.astype(np.float32)


def _smooth(tracks: NDArray[np.float64], milliseconds: float) -> NDArray[np.float64]:
    """Turns steps into glides: the mean under a window as long as the glide."""
    half = max(1, round(milliseconds * SAMPLING_RATE / 1000 / _HOP / 2))
    kernel = np.hanning(2 * half + 3)[1:-1]
    padded = np.pad(tracks, ((half, half), (0, 0)), mode="edge")
    return np.asarray(sliding_window_view(padded, 2 * half + 1, axis=0) @ (kernel / kernel.sum()))


def _sources(string: DigitString, frames: int, generator: np.random.Generator) -> tuple[Floats, Floats]:
    """The buzz of the vocal folds, one pulse per period with a melody that falls, and white noise."""
    samples = (frames - 1) * _HOP + _WINDOW
    time = np.linspace(0.0, 1.0, samples)
    slow = np.interp(time, np.linspace(0, 1, 8), generator.normal(0.0, 0.06, 8))
    pitch = string.speaker.pitch * np.exp(0.12 - 0.24 * time + slow)
    periods = np.floor(np.cumsum(pitch) / SAMPLING_RATE)
    pulses = np.diff(periods, prepend=0.0) * np.sqrt(SAMPLING_RATE / pitch)  # equal power at every pitch
    breath = string.speaker.breath * generator.standard_normal(samples)
    return (pulses + breath).astype(np.float32), generator.standard_normal(samples, dtype=np.float32)


def _shape(voice: Floats, hiss: Floats, formants: Floats, controls: Floats) -> Floats:
    """Filters both sources window by window and adds the windows up."""
    frequency = np.fft.rfftfreq(_FFT, 1 / SAMPLING_RATE).astype(np.float32)
    tract = np.zeros((len(formants), len(frequency)), np.float32)
    for formant, bandwidth, level in zip(formants.T, _BANDWIDTHS, _LEVELS, strict=True):
        tract += level / np.sqrt(1 + ((frequency - formant[:, None]) / bandwidth) ** 2)
    tract /= 1 + frequency / 1500  # what the folds and the lips make of a flat pulse
    voiced, noisy, center, width = (controls[:, column : column + 1] for column in range(4))
    turbulence = noisy * np.exp(-0.5 * ((frequency - center) / width) ** 2)
    window = np.hanning(_WINDOW + 1)[:-1].astype(np.float32)
    spectra = [
        scipy.fft.rfft(sliding_window_view(source, _WINDOW)[::_HOP] * window, _FFT, axis=1) for source in (voice, hiss)
    ]
    pieces = scipy.fft.irfft(spectra[0] * (voiced * tract) + spectra[1] * turbulence, _FFT, axis=1)
    steps = _FFT // _HOP
    sound = np.zeros((len(pieces) + steps - 1, _HOP), np.float32)
    for step in range(steps):
        sound[step : step + len(pieces)] += pieces[:, step * _HOP : (step + 1) * _HOP]
    return sound.ravel()


def record(string: DigitString) -> Floats:
    """Says and records a string: (samples,) float32 at 16 kHz in [-1, 1]."""
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
