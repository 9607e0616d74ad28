import io

import numpy as np
import pytest
import soundfile
from recordings import encode, ramp

from hf_dsd.data import AudioHeader, AudioPart, BadUtteranceError, read_audio, read_header
from hf_dsd.data.speech.audio import resampled_length
from hf_dsd.data.speech.truncation import _mp3_frames


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


def without_length(mp3: bytes) -> bytes:
    """An MP3 file without its first frame, which says how many follow: what streams are."""
    return mp3[next(start for start, _ in list(_mp3_frames(mp3))[1:]) :]


@pytest.mark.parametrize("kind", ["WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "NIST", "CAF", "MP3", "OGG", "FLAC"])
def test_audio_that_is_cut_off_is_refused_not_shortened(kind):
    whole = encode(ramp(16_000), kind=kind)
    assert len(read_audio("a", whole, 16_000)) == 16_000
    for cut in (len(whole) // 2, len(whole) // 2 + 1, len(whole) - 100):
        with pytest.raises(BadUtteranceError, match="^a: audio must (be a whole file|not be empty)"):
            read_audio("a", whole[:cut], 16_000)


def test_a_wav_and_an_mp3_say_so_at_the_header(tmp_path):
    wav = encode(ramp(16_000), kind="WAV")
    with pytest.raises(BadUtteranceError, match="a.wav: .* got 15956 of 32000 bytes of 'data': it is cut off"):
        read_header("a.wav", wav[:16_000])
    mp3 = encode(ramp(16_000), kind="MP3")
    frames = list(_mp3_frames(mp3))
    with pytest.raises(BadUtteranceError, match=f"got {len(frames) - 2} of {len(frames) - 1} MP3 frames"):
        read_header("a", mp3[: frames[-1][0]])
    (tmp_path / "a.mp3").write_bytes(without_length(mp3)[:-7])
    with pytest.raises(BadUtteranceError, match=r"got \d+ of \d+ bytes of the last MP3 frame"):
        read_header("a", tmp_path / "a.mp3")


def test_an_ogg_cut_between_two_pages_is_refused():
    whole = encode(0.3 * np.sin(np.arange(160_000) / 7), kind="OGG")
    last = whole.rindex(b"OggS")
    with pytest.raises(BadUtteranceError, match="audio must"):
        read_header("a", whole[:last])


def test_whole_files_with_unusual_ends_are_read():
    wav = encode(ramp(1001), kind="WAV")
    assert len(read_audio("a", wav + b"LIST\x04\0\0\0abcd", 16_000)) == 1001  # more after the sound
    streamed = wav[:40] + b"\xff\xff\xff\xff" + wav[44:]  # ffmpeg into a pipe does not know the length
    assert len(read_audio("a", streamed, 16_000)) == 1001
    mp3 = encode(ramp(16_000), kind="MP3")
    assert len(read_audio("a", mp3 + b"TAG" + bytes(125), 16_000)) == 16_000
    assert len(read_audio("a", without_length(mp3), 16_000)) > 16_000  # with the encoder's silence around it


@pytest.mark.parametrize("rate", [8000, 16_000, 44_100])
def test_an_mp3_that_does_not_state_its_length_is_read_to_its_end(rate):
    whole = encode(0.3 * np.random.default_rng(0).normal(size=3 * rate), rate, kind="MP3")
    stream = without_length(whole)
    samples = read_audio("a", stream, rate)
    sound = len(list(_mp3_frames(stream))) * (1152 if rate > 30_000 else 576) - 529  # without the decoder's delay
    assert len(samples) == read_header("a", stream).samples == sound
    assert np.square(samples).sum() == pytest.approx(np.square(read_audio("a", whole, rate)).sum(), rel=0.03)


def test_a_file_name_that_the_system_refuses_is_named(tmp_path):
    for path in (tmp_path / ("x" * 300), tmp_path / "a\0b", tmp_path):
        with pytest.raises(BadUtteranceError, match="train/a: audio file must "):
            read_header("train/a", path)


@pytest.mark.parametrize(("start", "seconds", "first", "stop"), [(0.25, 0.5, 4000, 12_000), (0.5, None, 8000, 16_000)])
@pytest.mark.parametrize("kind", ["WAV", "FLAC"])
def test_a_part_of_a_recording(tmp_path, kind, start, seconds, first, stop):
    (tmp_path / "a").write_bytes(encode(ramp(16_000), kind=kind))
    part = AudioPart(tmp_path / "a", start, seconds)
    assert read_header("a", part) == AudioHeader(stop - first, 16_000)
    assert (read_audio("a", part, 16_000) == ramp(16_000)[first:stop]).all()


@pytest.mark.parametrize(("start", "seconds"), [(1.0, None), (0.5, 0.0), (0.5, 0.7), (2.0, 1.0)])
def test_a_part_outside_of_its_recording_is_refused(tmp_path, start, seconds):
    (tmp_path / "a").write_bytes(encode(ramp(16_000)))
    with pytest.raises(BadUtteranceError, match="a: a part must lie in its recording of 1.000 s, got "):
        read_header("a", AudioPart(tmp_path / "a", start, seconds))


def test_a_table_may_round_the_end_of_a_recording_up(tmp_path):
    (tmp_path / "a").write_bytes(encode(ramp(16_000)))
    assert len(read_audio("a", AudioPart(tmp_path / "a", 0.5, 0.55), 16_000)) == 8000
