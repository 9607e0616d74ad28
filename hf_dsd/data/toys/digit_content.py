"""What is said in a spoken-digit recording, by whom, and how well it was recorded."""

from dataclasses import dataclass

import numpy as np

from .digit_phones import PHONES, WORDS

SHORTEST, LONGEST = 2, 6
"""Digits of a string."""

_ACCENT = 0.1  # standard deviation of a speaker's own formant targets, as a share
_UNDERSHOOT = (0.1, 0.5)  # share of the way to the neutral vowel at which hurried speech stops


@dataclass(frozen=True)
class Speaker:
    """One voice.

    Attributes:
        pitch: Mean fundamental frequency, in Hz.
        formant_scale: All resonances relative to a man's; longer vocal tracts have lower ones.
        rate: Speed relative to the normal one.
        breath: Amplitude of the noise mixed into the voice.
        undershoot: How far vowels stay short of their targets, as a share of the way to the neutral vowel, in [0, 1).
        accent: (phones, 3) factors of the formants, in the order of `PHONES`.
    """

    pitch: float
    formant_scale: float
    rate: float
    breath: float
    undershoot: float
    accent: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class DigitString:
    """One recording.

    Attributes:
        digits: 2 to 6 digits in [0, 9].
        speaker: Who says them.
        snr: Speech over background noise, in dB.
        noise_color: Exponent of the noise's falling power spectrum: 0 white, 1 pink, 2 brown.
        reverberation: Time in which an echo falls by 60 dB, in seconds; 0 is a dead room.
        drive: Peak level relative to full scale; above 1 the recording is clipped.
        seed: Of timing, melody and noise.

    Raises:
        ValueError: If the digits are not 2 to 6 numbers in [0, 9].
    """

    digits: tuple[int, ...]
    speaker: Speaker
    snr: float
    noise_color: float
    reverberation: float
    drive: float
    seed: tuple[int, ...]

    def __post_init__(self) -> None:
        if not SHORTEST <= len(self.digits) <= LONGEST or not all(digit in range(10) for digit in self.digits):
            raise ValueError(
                f"digits must be {SHORTEST} to {LONGEST} numbers in [0, 9], got {self.digits}; split longer strings"
            )

    @property
    def transcript(self) -> str:
        """The words, lower case."""
        return " ".join(WORDS[digit] for digit in self.digits)


def sample_speaker(seed: tuple[int, ...]) -> Speaker:
    """Draws a voice: woman or man, fast or slow, with an accent.

    Args:
        seed: Non-negative integers; the same ones draw the same speaker.

    Returns:
        The speaker.
    """
    generator = np.random.default_rng(seed)
    is_high = bool(generator.random() < 0.5)
    accent = 1.0 + _ACCENT * generator.standard_normal((len(PHONES), 3))
    return Speaker(
        pitch=float(generator.uniform(165, 260) if is_high else generator.uniform(85, 150)),
        formant_scale=float(generator.uniform(1.05, 1.25) if is_high else generator.uniform(0.90, 1.10)),
        rate=float(generator.uniform(0.8, 1.35)),
        breath=float(generator.uniform(0.0, 0.1)),
        undershoot=float(generator.uniform(*_UNDERSHOOT)),
        accent=tuple(tuple(map(float, row)) for row in accent),
    )


def sample_string(speaker: Speaker, seed: tuple[int, ...]) -> DigitString:
    """Draws digits and the conditions of their recording.

    Args:
        speaker: Who says them.
        seed: Non-negative integers; the same ones draw the same string.

    Returns:
        The string.
    """
    generator = np.random.default_rng(seed)
    length = int(generator.integers(SHORTEST, LONGEST + 1))
    return DigitString(
        digits=tuple(map(int, generator.integers(10, size=length))),
        speaker=speaker,
        snr=float(generator.uniform(-5.0, 12.0)),
        noise_color=float(generator.uniform(0.0, 1.5)),
        reverberation=float(generator.uniform(0.0, 0.5)),
        drive=float(generator.choice([generator.uniform(0.1, 0.9), generator.uniform(1.5, 4.0)], p=[0.85, 0.15])),
        seed=(*seed, 1),
    )
