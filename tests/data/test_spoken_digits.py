import dataclasses

import numpy as np
import pytest

from hf_dsd.data import DigitString, Speaker, make_spoken_digits, required_frames
from hf_dsd.data.toys.digit_content import PHONES, WORD_PHONES, WORDS, sample_speaker, sample_string
from hf_dsd.data.toys.digit_voice import record, speak

SIZES = {"train": 60, "validation": 20, "test": 40}


@pytest.fixture(scope="module")
def digits():
    return make_spoken_digits(SIZES)


def plain_speaker(**changes) -> Speaker:
    """A man who speaks at the normal rate, without accent and clearly."""
    accent = tuple((1.0, 1.0, 1.0) for _ in PHONES)
    voice = Speaker(pitch=120.0, formant_scale=1.0, rate=1.0, breath=0.0, undershoot=0.0, accent=accent)
    return dataclasses.replace(voice, **changes)


def quiet(*spoken: int, speaker: Speaker | None = None, **changes) -> DigitString:
    """A string in a dead and quiet room."""
    string = DigitString(spoken, speaker or plain_speaker(), 90.0, 0.0, 0.0, 0.5, (7,))
    return dataclasses.replace(string, **changes)


def power(sound: np.ndarray) -> np.ndarray:
    """Power per frequency bin of 31.25 Hz, averaged over the sound."""
    frames = np.lib.stride_tricks.sliding_window_view(sound, 512)[::128]
    return np.square(np.abs(np.fft.rfft(frames * np.hanning(512), axis=1))).mean(axis=0)


def test_transcripts_of_the_first_recordings_are_the_same_everywhere(digits):
    assert [row.transcript for row in digits.data.split("test")[:4]] == [
        "five three eight six eight four",
        "nine six seven two nine",
        "one five one eight nine seven",
        "zero four three",
    ]


def test_every_digit_has_its_word_and_every_string_two_to_six(digits):
    transcripts = [row.transcript.split() for split in SIZES for row in digits.data.split(split)]
    assert {word for transcript in transcripts for word in transcript} == set(WORDS)
    assert {len(transcript) for transcript in transcripts} == {2, 3, 4, 5, 6}
    assert quiet(3, 0, 9).transcript == "three zero nine"


def test_names_sizes_and_durations(digits):
    for split, size in SIZES.items():
        rows = digits.data.split(split)
        assert [row.name for row in rows] == [f"{split}/{number}" for number in range(size)]
        assert all(row.transcript == digits.strings[row.name].transcript for row in rows)
        assert all(0.5 < row.seconds < 5.0 for row in rows)
        assert all(len(digits.data.samples(row)) == row.header.samples for row in rows[:5])


def test_ctc_can_align_every_recording_at_forty_milliseconds(digits):
    for split in SIZES:
        for row in digits.data.split(split):
            assert int(row.seconds / 0.04) >= required_frames(row.transcript)


def test_speakers_are_disjoint_between_splits(digits):
    rows = {split: digits.data.split(split) for split in SIZES}
    speakers = {split: {digits.strings[row.name].speaker for row in found} for split, found in rows.items()}
    assert {split: len(voices) for split, voices in speakers.items()} == {"train": 20, "validation": 16, "test": 16}
    assert len(set.union(*speakers.values())) == 52


def test_the_same_seed_gives_the_same_recordings_whatever_the_other_sizes(digits):
    again = make_spoken_digits({"train": 3, "test": 4})
    assert again.data.split("test") == digits.data.split("test")[:4]
    assert again.data.split("train") == digits.data.split("train")[:3]
    other = make_spoken_digits({"train": 3}, seed=1)
    assert [row.transcript for row in other.data.split("train")] != [
        row.transcript for row in again.data.split("train")
    ]


def test_a_quieter_room_changes_nothing_but_the_noise(digits):
    quieter = make_spoken_digits({"train": 3}, snr=(12.0, 30.0))
    for name, string in quieter.strings.items():
        loud = digits.strings[name]
        assert 12 <= string.snr <= 30
        assert -5 <= loud.snr <= 12
        assert dataclasses.replace(string, snr=loud.snr) == loud
        assert (string.snr - 12) / 18 == pytest.approx((loud.snr + 5) / 17)


@pytest.mark.parametrize("snr", [(12.0, 0.0), (0.0, float("inf")), (float("nan"), 0.0)])
def test_a_range_of_noise_must_be_one(snr):
    with pytest.raises(ValueError, match="snr must be the lowest and the highest ratio in dB"):
        make_spoken_digits({"train": 3}, snr=snr)


def test_recordings_use_the_range_they_are_driven_to():
    sound = record(quiet(1, 2, drive=0.5))
    assert sound.dtype == np.float32
    assert np.abs(sound).max() == pytest.approx(0.5)
    clipped = record(quiet(1, 2, drive=3.0))
    assert np.abs(clipped).max() == 1.0
    assert 0.01 < np.mean(np.abs(clipped) == 1.0) < 0.3


@pytest.mark.parametrize("snr", [0.0, 20.0])
def test_noise_is_as_loud_as_asked_for(snr):
    clean, noisy = speak(quiet(5, 1, 8)), record(quiet(5, 1, 8, snr=snr, drive=1.0))
    scale = (clean @ noisy) / (clean @ clean)
    noise = noisy / scale - clean
    loud = np.abs(clean) > 0.05 * np.abs(clean).max()
    assert 10 * np.log10(np.mean(clean[loud] ** 2) / np.mean(noise**2)) == pytest.approx(snr, abs=0.5)


def test_colored_noise_falls_with_frequency():
    def octave_drop(color: float) -> float:
        spectrum = power(record(quiet(1, 1, snr=-60.0, noise_color=color)))
        return float(10 * np.log10(spectrum[30:60].mean() / spectrum[120:240].mean()))  # two octaves apart

    assert [octave_drop(color) for color in (0.0, 1.0, 2.0)] == pytest.approx([0.0, 6.0, 12.0], abs=0.7)


def test_echo_fills_the_pauses():
    def pause(seconds: float) -> float:
        sound = record(quiet(4, 4, reverberation=seconds, seed=(11,)))
        return float(np.abs(sound[-800:]).mean() / np.abs(sound).max())

    assert pause(0.5) > 5 * pause(0.0)


@pytest.mark.parametrize("pitch", [100.0, 220.0])
def test_a_voice_has_its_pitch(pitch):
    sound = speak(quiet(0, 1, 0, 1, speaker=plain_speaker(pitch=pitch)))
    spectrum = np.fft.irfft(np.square(np.abs(np.fft.rfft(sound, 2 * len(sound)))))
    lags = spectrum[16_000 // 400 : 16_000 // 60]
    assert 16_000 / (int(lags.argmax()) + 16_000 // 400) == pytest.approx(pitch, rel=0.15)


def test_hissing_words_hiss_and_others_do_not():
    share = {}
    for digit, word in enumerate(WORDS):
        spectrum = power(speak(quiet(digit, digit)))
        share[word] = spectrum[128:].sum() / spectrum.sum()  # above 4 kHz
    assert min(share["six"], share["seven"]) > 0.3 > 0.05 > share["three"]
    assert share["zero"] > 0.05 > 0.01 > max(share["one"], share["nine"])


def test_resonances_are_where_the_phones_and_the_speaker_put_them():
    for scale in (1.0, 1.2):
        three, four = (
            power(speak(quiet(digit, digit, speaker=plain_speaker(formant_scale=scale)))) for digit in (3, 4)
        )
        front, back = (
            spectrum[round(2290 * scale / 31.25) - 6 :][:12].sum()
            / spectrum[round(840 * scale / 31.25) - 6 :][:12].sum()
            for spectrum in (three, four)
        )
        assert front > 10 * back  # the second resonance of "ee" is at 2290 Hz, that of "aw" at 840 Hz


def test_a_fast_speaker_needs_less_time():
    slow, fast = (len(speak(quiet(1, 5, 9, speaker=plain_speaker(rate=rate)))) for rate in (0.8, 1.6))
    assert 1.5 < slow / fast < 2.1


def readout_features(sound: np.ndarray) -> np.ndarray:
    """A 12 x 24 picture of a recording: logarithms of the power in equal parts of its time and frequency."""
    frames = np.lib.stride_tricks.sliding_window_view(sound, 400)[::160]
    spectrum = np.square(np.abs(np.fft.rfft(frames * np.hanning(400), axis=1)))[:, 2:194]
    bands = np.log(spectrum.reshape(len(frames), 24, 8).mean(axis=2) + 1e-8)
    places = np.linspace(0, len(bands) - 1, 12).round().astype(int)
    picture = bands[places]
    return ((picture - picture.mean(axis=0)) / picture.std()).ravel()


def test_digits_can_be_told_apart_but_not_easily():
    """What makes the set hard but learnable: a linear readout of one digit said twice, judged on other speakers."""

    def sample(count: int, split: int) -> tuple[np.ndarray, np.ndarray]:
        speakers = [sample_speaker((0, split, 0, voice)) for voice in range(20)]
        strings = [sample_string(speakers[row % 20], (1, split, row)) for row in range(count)]
        strings = [dataclasses.replace(s, digits=(row * 7 % 10,) * 2) for row, s in enumerate(strings)]
        return np.stack([readout_features(record(s)) for s in strings]), np.array([s.digits[0] for s in strings])

    (train, labels), (test, truth) = sample(300, 0), sample(100, 1)
    targets = np.eye(10)[labels] - 0.1
    weights = train.T @ np.linalg.solve(train @ train.T + 100 * np.eye(len(train)), targets)
    accuracy = float(np.mean((test @ weights).argmax(axis=1) == truth))
    assert 0.3 < accuracy < 0.8  # chance is 0.1


def test_speakers_are_named_and_take_turns():
    speakers = [row.speaker for row in make_spoken_digits({"train": 21}).data.split("train")]
    assert speakers[:3] == ["train-0", "train-1", "train-2"]
    assert speakers[20] == "train-0"


def test_every_phone_of_the_words_is_in_the_table():
    assert {name for word in WORD_PHONES for name in word} == set(PHONES)
    assert len(WORD_PHONES) == len(WORDS) == 10


@pytest.mark.parametrize(
    ("sizes", "seed", "message"),
    [
        pytest.param({"test": 3}, 0, r"must be 'train' and any of .* got \['test'\]", id="no-train"),
        pytest.param({"train": 3, "dev": 3}, 0, r"got \['train', 'dev'\]", id="unknown"),
        pytest.param({"train": 0}, 0, r"split_sizes\['train'\] must be in \[1, 100000\], got 0", id="empty"),
        pytest.param({"train": 2}, -1, "seed must be at least 0, got -1", id="seed"),
    ],
)
def test_impossible_sets_are_refused(sizes, seed, message):
    with pytest.raises(ValueError, match=message):
        make_spoken_digits(sizes, seed)


@pytest.mark.parametrize("spoken", [(1,), (1,) * 7, (1, 10)], ids=["short", "long", "not-a-digit"])
def test_impossible_strings_are_refused(spoken):
    with pytest.raises(ValueError, match=r"digits must be 2 to 6 numbers in \[0, 9\], got"):
        quiet(*spoken)
