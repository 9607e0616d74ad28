"""How the ten digits sound: the phones of each word, and where each phone's resonances and noise are.

Formants are typical of a man's voice; a speaker scales and bends them.
"""

from dataclasses import dataclass

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
"""The word of each digit."""


@dataclass(frozen=True)
class Phone:
    """One steady target of the voice; speech glides from one to the next.

    Attributes:
        formants: Centres of the first three resonances, in Hz.
        voice: Amplitude of the voiced source, in [0, 1].
        noise: Amplitude of the noise source, in [0, 1].
        noise_center: Where the noise is strongest, in Hz.
        noise_width: Standard deviation of the noise's spectrum, in Hz.
        milliseconds: Duration at the normal rate.
    """

    formants: tuple[float, float, float]
    voice: float
    noise: float
    noise_center: float
    noise_width: float
    milliseconds: float


def _voiced(first: float, second: float, third: float, milliseconds: float, voice: float = 1.0) -> Phone:
    return Phone((first, second, third), voice, 0.0, 3000.0, 2000.0, milliseconds)


def _noisy(
    formants: tuple[float, float, float],
    noise: float,
    center: float,
    width: float,
    milliseconds: float,
    voice: float = 0.0,
) -> Phone:
    return Phone(formants, voice, noise, center, width, milliseconds)


PHONES = {
    "IY": _voiced(270, 2290, 3010, 150),
    "IH": _voiced(390, 1990, 2550, 80),
    "EH": _voiced(530, 1840, 2480, 95),
    "AH": _voiced(640, 1190, 2390, 110),
    "AX": _voiced(500, 1400, 2400, 60, voice=0.8),
    "AO": _voiced(570, 840, 2410, 130),
    "UW": _voiced(300, 870, 2240, 160),
    "AY1": _voiced(730, 1090, 2440, 110),
    "AY2": _voiced(380, 2000, 2550, 90),
    "EY1": _voiced(500, 1850, 2500, 95),
    "EY2": _voiced(330, 2200, 2700, 90),
    "OW1": _voiced(480, 920, 2350, 95),
    "OW2": _voiced(350, 820, 2250, 85),
    "W": _voiced(290, 610, 2150, 65, voice=0.7),
    "R": _voiced(320, 1060, 1380, 70, voice=0.7),
    "N": _voiced(240, 1400, 2500, 80, voice=0.4),
    "V": _noisy((230, 1100, 2080), 0.05, 4500, 3000, 65, voice=0.35),
    "Z": _noisy((240, 1390, 2530), 0.25, 5600, 1300, 85, voice=0.3),
    "S": _noisy((320, 1390, 2530), 0.50, 5800, 1300, 110),
    "F": _noisy((340, 1100, 2080), 0.09, 4500, 3000, 100),
    "TH": _noisy((320, 1290, 2540), 0.07, 5600, 2500, 90),
    "closure": _noisy((300, 1500, 2500), 0.0, 3000, 2000, 55),
    "T": _noisy((300, 1700, 2600), 0.45, 4300, 1700, 28),
    "K": _noisy((300, 1900, 2400), 0.45, 2200, 900, 25),
}

WORD_PHONES = (
    ("Z", "IH", "R", "OW1", "OW2"),
    ("W", "AH", "N"),
    ("closure", "T", "UW"),
    ("TH", "R", "IY"),
    ("F", "AO", "R"),
    ("F", "AY1", "AY2", "V"),
    ("S", "IH", "closure", "K", "S"),
    ("S", "EH", "V", "AX", "N"),
    ("EY1", "EY2", "closure", "T"),
    ("N", "AY1", "AY2", "N"),
)
"""The phones of each digit's word."""
