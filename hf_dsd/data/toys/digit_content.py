"""What is said in a spoken-digit recording, by whom, in which sounds, and how well it was recorded."""

from dataclasses import dataclass

import numpy as np

SHORTEST, LONGEST = 2, 6
"""Digits of a string."""

SNR = (-5.0, 12.0)
"""Lowest and highest ratio of speech to background noise, in dB."""

_ACCENT = 0.1  # standard deviation of a speaker's own formant targets, as a share
_UNDERSHOOT = (0.1, 0.5)  # share of the way to the neutral vowel at which hurried speech stops

_WORDS = {
    "zero": "Z IH R OW1 OW2",
    "one": "W AH N",
    "two": "closure T UW",
    "three": "TH R IY",
    "four": "F AO R",
    "five": "F AY1 AY2 V",
    "six": "S IH closure K S",
    "seven": "S EH V AX N",
    "eight": "EY1 EY2 closure T",
    "nine": "N AY1 AY2 N",
}
WORDS = tuple(_WORDS)
"""The word of each digit."""

WORD_PHONES = tuple(phones.split() for phones in _WORDS.values())
"""The phones of each digit's word."""

# Formants are typical of a man's voice; a speaker scales and bends them.
#          formants [Hz]  voice  noise: amplitude, centre and width [Hz]   [ms]
_PHONES = """
IY       270 2290 3010    1.0    0     3000  2000    150
IH       390 1990 2550    1.0    0     3000  2000     80
EH       530 1840 2480    1.0    0     3000  2000     95
AH       640 1190 2390    1.0    0     3000  2000    110
AX       500 1400 2400    0.8    0     3000  2000     60
AO       570  840 2410    1.0    0     3000  2000    130
UW       300  870 2240    1.0    0     3000  2000    160
AY1      730 1090 2440    1.0    0     3000  2000    110
AY2      380 2000 2550    1.0    0     3000  2000     90
EY1      500 1850 2500    1.0    0     3000  2000     95
EY2      330 2200 2700    1.0    0     3000  2000     90
OW1      480  920 2350    1.0    0     3000  2000     95
OW2      350  820 2250    1.0    0     3000  2000     85
W        290  610 2150    0.7    0     3000  2000     65
R        320 1060 1380    0.7    0     3000  2000     70
N        240 1400 2500    0.4    0     3000  2000     80
V        230 1100 2080    0.35   0.05  4500  3000     65
Z        240 1390 2530    0.3    0.25  5600  1300     85
S        320 1390 2530    0      0.50  5800  1300    110
F        340 1100 2080    0      0.09  4500  3000    100
TH       320 1290 2540    0      0.07  5600  2500     90
closure  300 1500 2500    0      0     3000  2000     55
T        300 1700 2600    0      0.45  4300  1700     28
K        300 1900 2400    0      0.45  2200   900     25
"""
PHONES = {name: tuple(map(float, numbers)) for name, *numbers in map(str.split, _PHONES.strip().splitlines())}
"""The steady targets of the voice, between which speech glides: the eight numbers of each phone."""


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
        digits: 2 to 6 digits in [0, 9]; a ValueError otherwise.
        speaker: Who says them.
        snr: Speech over background noise, in dB.
        noise_color: Exponent of the noise's falling power spectrum: 0 white, 1 pink, 2 brown.
        reverberation: Time in which an echo falls by 60 dB, in seconds; 0 is a dead room.
        drive: Peak level relative to full scale; above 1 the recording is clipped.
        seed: Decides timing, melody and noise.
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
    """Draws a voice: woman or man, fast or slow, with an accent; the same seed draws the same one."""
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


def sample_string(speaker: Speaker, seed: tuple[int, ...], snr: tuple[float, float] = SNR) -> DigitString:
    """Draws digits and the conditions of their recording; the same seed draws the same ones at another `snr`, too."""
    generator = np.random.default_rng(seed)
    length = int(generator.integers(SHORTEST, LONGEST + 1))
    return DigitString(
        digits=tuple(map(int, generator.integers(10, size=length))),
        speaker=speaker,
        snr=float(generator.uniform(*snr)),
        noise_color=float(generator.uniform(0.0, 1.5)),
        reverberation=float(generator.uniform(0.0, 0.5)),
        drive=float(generator.choice([generator.uniform(0.1, 0.9), generator.uniform(1.5, 4.0)], p=[0.85, 0.15])),
        seed=(*seed, 1),
    )
