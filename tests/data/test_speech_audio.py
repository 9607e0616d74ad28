import io

import numpy as np
import pytest
import soundfile
from recordings import encode, ramp

from hf_dsd.data import AudioHeader, BadUtteranceError, read_audio, read_header
from hf_dsd.data.speech.audio import resampled_length


@pytest.mark.parametrize("kind", ["FLAC", "WAV"])
def test_lossless_files_give_the_samples_back(kind):
    samples = read_audio("a", encode(ramp(1000), kind=kind), 16_000)
    assert samples.dtype == np.float32
    assert (samples == ramp(1000)).all()


@pytest.mark.parametrize("subtype", ["OPUS", "VORBIS"])
def test_ogg_is_close_to_the_original(subtype):
    sound = 0.3 * np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)
    file = io.BytesIO()
    soundfile.write(file, sound, 16_000, format="OGG", subtype=subtype)
    samples = read_audio("a", file.getvalue(), 16_000)
    assert len(samples) == read_header("a", file.getvalue()).samples == 16_000
    assert np.corrcoef(samples[2000:-2000], sound[2000:-2000])[0, 1] > 0.98


def test_a_path_and_a_function_are_read_like_bytes(tmp_path):
    path = tmp_path / "a.flac"
    path.write_bytes(encode(ramp(100)))
    assert (read_audio("a", path, 16_000) == ramp(100)).all()
    assert (read_audio("a", path.read_bytes, 16_000) == ramp(100)).all()
    assert (read_audio("a", lambda: path, 16_000) == ramp(100)).all()
    assert read_header("a", path) == AudioHeader(samples=100, sampling_rate=16_000)


def test_channels_are_averaged():
    stereo = np.stack([ramp(100), np.zeros(100)], axis=1)
    assert (read_audio("a", encode(stereo, kind="WAV"), 16_000) == ramp(100) / 2).all()


@pytest.mark.parametrize(("rate", "samples"), [(8000, 500), (44_100, 4001), (48_000, 3000)])
def test_a_tone_keeps_its_pitch_and_height_when_resampled(rate, samples):
    audio = encode(0.5 * np.sin(2 * np.pi * 1000 * np.arange(samples) / rate), rate)
    resampled = read_audio("a", audio, 16_000)
    assert len(resampled) == resampled_length(read_header("a", audio), 16_000) == -(-samples * 16_000 // rate)
    expected = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(len(resampled)) / 16_000)
    assert np.abs(resampled - expected)[100:-100].max() < 0.01
    assert resampled.dtype == np.float32


WHOLE = encode(ramp(16_000))


@pytest.mark.parametrize(
    ("audio", "message"),
    [
        pytest.param(b"", "train/a.flac: audio must not be empty, got 0 bytes", id="no-bytes"),
        pytest.param(
            encode(np.zeros(0), kind="WAV"), "train/a.flac: audio must not be empty, got 0 samples", id="no-samples"
        ),
        pytest.param(b"text", "train/a.flac: .* soundfile reads .* got 'Format not recognised'; write", id="text"),
        pytest.param(WHOLE[:60], "train/a.flac: audio must be a whole file", id="cut-in-the-header"),
    ],
)
def test_unreadable_audio_is_named(audio, message):
    for read in (lambda: read_header("train/a.flac", audio), lambda: read_audio("train/a.flac", audio, 16_000)):
        with pytest.raises(BadUtteranceError, match=message + ".*, or pass skip_bad_examples=True to leave it out$"):
            read()


def test_damage_behind_the_header_shows_when_decoded():
    damaged = WHOLE[: len(WHOLE) // 2]
    assert read_header("a", damaged).samples == 16_000
    with pytest.raises(BadUtteranceError, match="a: audio must be a whole file .* lost sync"):
        read_audio("a", damaged, 16_000)


def test_a_missing_file_is_named_with_its_path(tmp_path):
    with pytest.raises(BadUtteranceError, match="train/a.flac: audio file must exist, got none at '.*b.flac'; add it"):
        read_header("train/a.flac", tmp_path / "b.flac")


def test_samples_that_are_not_finite_are_refused():
    file = io.BytesIO()
    soundfile.write(file, np.array([0.0, np.nan], np.float32), 16_000, format="WAV", subtype="FLOAT")
    with pytest.raises(BadUtteranceError, match="a: samples must be finite"):
        read_audio("a", file.getvalue(), 16_000)
