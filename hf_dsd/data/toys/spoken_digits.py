"""The embedded speech set: strings of spoken digits, synthesised on the spot, no download.

Hard on purpose: few voices to learn from, others to be tested on, words that run together, noise, echo and clipping, so
that a small model's word error rate is neither 0 nor 100 %: two convolutions and two bidirectional GRU layers of 96
(0.33 million parameters) reach 16 % on the train, 28 % on the validation and 21 % on the test split after 18 epochs,
84 s on one core.
"""

import io
import math
from collections.abc import Mapping
from dataclasses import dataclass

import soundfile

from hf_dsd.data.speech.audio import AudioHeader
from hf_dsd.data.speech.utterances import SpeechData, Utterance
from hf_dsd.data.splits import SPLITS, check_split_sizes

from .digit_content import SNR, DigitString, sample_speaker, sample_string
from .digit_voice import SAMPLING_RATE, record

DEFAULT_DIGIT_SIZES: Mapping[str, int] = {"train": 600, "validation": 80, "test": 80}

_SPEAKERS = {"train": 20, "validation": 16, "test": 16}


@dataclass(frozen=True)
class DigitSet:
    """Spoken digits, ready to train on.

    Attributes:
        data: Recordings (16 kHz WAV in memory, about 60 kB each) and transcripts, named "split/number".
        strings: What is said in each recording and how, by its name.
    """

    data: SpeechData
    strings: Mapping[str, DigitString]


def make_spoken_digits(
    split_sizes: Mapping[str, int] | None = None, seed: int = 0, snr: tuple[float, float] = SNR
) -> DigitSet:
    """Makes a set of spoken digit strings; about 10 ms per recording on one core.

    Each recording is 2 to 6 digits in words, by one of 20 speakers in the train split and of 16 others in each of the
    other two. Recordings depend on the seed, their split and their number only, so sets with more training recordings
    are tested on the same.

    Args:
        split_sizes: Split name -> number of recordings, "train" among them; None means 600 / 80 / 80.
        seed: Non-negative; the same seed and sizes give the same recordings.
        snr: Lowest and highest ratio of speech to background noise, in dB; what is said and by whom does not change.

    Raises:
        ValueError: If a split's name is unknown, a size is out of range, the seed is negative, or `snr` is no range.
    """
    lowest, highest = snr
    if not (math.isfinite(lowest) and math.isfinite(highest) and lowest <= highest):
        raise ValueError(
            f"snr must be the lowest and the highest ratio in dB, such as {SNR}, got {snr}; put them in order"
        )
    sizes = dict(DEFAULT_DIGIT_SIZES if split_sizes is None else split_sizes)
    check_split_sizes(sizes, seed)
    strings: dict[str, DigitString] = {}
    splits: dict[str, list[Utterance]] = {}
    for number, split in enumerate(SPLITS):
        if split not in sizes:
            continue
        speakers = [sample_speaker((seed, number, 0, voice)) for voice in range(_SPEAKERS[split])]
        chosen = {
            f"{split}/{row}": sample_string(speakers[row % len(speakers)], (seed, number, 1, row), snr)
            for row in range(sizes[split])
        }
        splits[split] = [
            _record_utterance(name, string, f"{split}-{row % len(speakers)}")
            for row, (name, string) in enumerate(chosen.items())
        ]
        strings.update(chosen)
    return DigitSet(SpeechData(splits, SAMPLING_RATE), strings)


def _record_utterance(name: str, string: DigitString, speaker: str) -> Utterance:
    sound = record(string)
    file = io.BytesIO()
    soundfile.write(file, sound, SAMPLING_RATE, format="WAV", subtype="PCM_16")
    return Utterance(name, file.getvalue(), string.transcript, AudioHeader(len(sound), SAMPLING_RATE), speaker)
