import json
import math
import re

import numpy as np
import pytest
import torch
from transformers import AutoFeatureExtractor, FeatureExtractionMixin

from hf_dsd.models import DeepSpeechConfig, DeepSpeechFeatureExtractor


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(samples).astype(np.float32) * 0.1


def log_power_by_hand(audio: np.ndarray, frame: int) -> np.ndarray:
    """The log power of one frame in 161 bins, by the definition of the Fourier transform."""
    padded = np.concatenate([np.zeros(160), audio.astype(np.float64), np.zeros(320)])
    n = np.arange(320)
    segment = padded[frame * 160 : frame * 160 + 320] * (0.5 - 0.5 * np.cos(2 * np.pi * n / 320))
    spectrum = np.exp(-2j * np.pi * np.outer(np.arange(161), n) / 320) @ segment
    return np.log(np.abs(spectrum) ** 2 + 1e-8)


def test_a_sine_by_hand():
    """1 kHz is bin 20 of 50 Hz each; a Hann window leaves a quarter of its power in the bins beside it."""
    extractor = DeepSpeechFeatureExtractor(normalize_per_bin=False)
    audio = 0.5 * np.sin(2 * math.pi * 1000 * np.arange(1600) / 16_000).astype(np.float32)
    features = extractor(audio, sampling_rate=16_000, return_tensors="np")["input_features"][0]
    raw = np.stack([log_power_by_hand(audio, frame) for frame in range(10)])
    assert raw[5, 20] == pytest.approx(math.log((0.5 * 160 / 2) ** 2), abs=1e-3)
    assert raw[5, 20] - raw[5, 21] == pytest.approx(math.log(4), abs=1e-3)
    assert raw[5].argmax() == 20
    assert features.shape == (10, 161)
    np.testing.assert_allclose(features, (raw - raw.mean()) / raw.std(), atol=2e-3)


def test_every_bin_is_normalised_by_itself():
    audio = noise(8000)
    features = DeepSpeechFeatureExtractor()(audio, sampling_rate=16_000, return_tensors="pt")["input_features"][0]
    raw = np.stack([log_power_by_hand(audio, frame) for frame in range(50)])
    np.testing.assert_allclose(features, (raw - raw.mean(0)) / raw.std(0), atol=2e-3)
    torch.testing.assert_close(features.mean(0), torch.zeros(161), atol=1e-5, rtol=0)
    torch.testing.assert_close(features.std(0, correction=0), torch.ones(161), atol=1e-4, rtol=0)


@pytest.mark.parametrize("per_bin", [True, False])
def test_loudness_does_not_matter(per_bin):
    extractor = DeepSpeechFeatureExtractor(normalize_per_bin=per_bin)
    loud, soft = (extractor(noise(3200) * gain)["input_features"][0] for gain in (1.0, 0.5))
    np.testing.assert_allclose(loud, soft, atol=1e-3)


@pytest.mark.parametrize(("samples", "frames"), [(1, 1), (160, 1), (161, 2), (320, 2), (16_000, 100)])
def test_number_of_frames(samples, frames):
    extractor = DeepSpeechFeatureExtractor()
    features = extractor(noise(samples))["input_features"][0]
    assert features.shape == (frames, 161)
    assert extractor.count_frames(samples) == frames
    assert np.isfinite(features).all()


def test_silence_stays_near_zero():
    features = DeepSpeechFeatureExtractor()(np.zeros(1600, dtype=np.float32))["input_features"][0]
    assert np.abs(features).max() < 0.01


def test_a_batch_equals_its_rows():
    extractor = DeepSpeechFeatureExtractor()
    rows = [noise(3200), noise(1000, seed=1)]
    batch = extractor(rows, sampling_rate=16_000, return_tensors="pt")
    assert batch["input_features"].dtype is torch.float32
    assert batch["attention_mask"].tolist() == [[1] * 20, [1] * 7 + [0] * 13]
    for row, frames, features in zip(rows, (20, 7), batch["input_features"], strict=True):
        alone = extractor(row, return_tensors="pt")["input_features"][0]
        assert torch.equal(features[:frames], alone)
        assert features[frames:].abs().sum() == 0


def test_kinds_of_input():
    extractor = DeepSpeechFeatureExtractor()
    audio = noise(800)
    expected = extractor(audio)["input_features"][0]
    for same in (
        audio.astype(np.float64),
        torch.from_numpy(audio),
        audio.tolist(),
        [audio],
        (torch.from_numpy(audio),),
    ):
        np.testing.assert_allclose(extractor(same)["input_features"][0], expected, atol=1e-5)


def test_padding_options():
    extractor = DeepSpeechFeatureExtractor()
    rows = [noise(3200), noise(1000)]
    assert [len(row) for row in extractor(rows, padding=False)["input_features"]] == [20, 7]
    assert extractor(rows, pad_to_multiple_of=8, return_tensors="pt")["input_features"].shape == (2, 24, 161)
    cut = extractor(rows, padding="max_length", max_length=10, truncation=True, return_tensors="pt")
    assert cut["attention_mask"].sum(1).tolist() == [10, 7]
    assert set(extractor(rows, return_attention_mask=False)) == {"input_features"}


def test_other_window_and_rate():
    extractor = DeepSpeechFeatureExtractor(sampling_rate=8000, window_length=160, hop_length=80)
    assert extractor.feature_size == 81
    assert extractor(noise(800), sampling_rate=8000, return_tensors="pt")["input_features"].shape == (1, 10, 81)


def test_default_size_is_the_models():
    assert DeepSpeechFeatureExtractor().feature_size == DeepSpeechConfig().feature_size
    assert DeepSpeechFeatureExtractor().hop_length == DeepSpeechConfig().samples_per_frame


def test_round_trip_through_files(tmp_path):
    extractor = DeepSpeechFeatureExtractor(
        sampling_rate=8000, window_length=200, hop_length=100, log_floor=1e-6, normalize_per_bin=False
    )
    extractor.save_pretrained(tmp_path)
    loaded = AutoFeatureExtractor.from_pretrained(tmp_path)
    assert type(loaded) is DeepSpeechFeatureExtractor
    assert isinstance(loaded, FeatureExtractionMixin)
    assert loaded.to_dict() == extractor.to_dict()
    audio = noise(1000)
    assert np.array_equal(loaded(audio)["input_features"][0], extractor(audio)["input_features"][0])
    saved = json.loads((tmp_path / "preprocessor_config.json").read_text())
    assert {name: saved[name] for name in ("window_length", "hop_length", "log_floor")} == {
        "window_length": 200,
        "hop_length": 100,
        "log_floor": 1e-6,
    }


@pytest.mark.parametrize(
    ("audio", "options", "message"),
    [
        (
            noise(800),
            {"sampling_rate": 44_100},
            "sampling_rate must be 16000, got 44100; resample first, e.g. soxr.resample(audio, 44100, 16000) after",
        ),
        (
            [noise(800), np.zeros(0)],
            {},
            "raw_speech must not be empty, got 0 samples in row 1; drop the utterance",
        ),
        ([], {}, "raw_speech must hold at least one utterance, got an empty list; pass audio"),
        (
            [noise(800), np.array([0.0, np.nan])],
            {},
            "raw_speech must be finite, got NaN or infinity in row 1; repair or drop the utterance",
        ),
        (np.array([0.0, np.inf]), {}, "raw_speech must be finite, got NaN or infinity in row 0; repair"),
        (
            np.zeros((2, 800)),
            {},
            "raw_speech must be mono, one dimension per utterance, got shape (2, 800) in row 0; average the channels",
        ),
        (
            np.zeros(800, dtype=np.int16),
            {},
            "raw_speech must be floating point in [-1, 1], got int16 in row 0; divide 16-bit audio by 32768",
        ),
    ],
    ids=["rate", "empty", "no utterance", "nan", "infinity", "stereo", "integers"],
)
def test_bad_audio_is_refused_by_name(audio, options, message):
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        DeepSpeechFeatureExtractor()(audio, **options)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("sampling_rate", 0, "sampling_rate must be >= 1, got 0; leave it out"),
        ("window_length", 1, "window_length must be >= 2, got 1; leave it out"),
        ("hop_length", 0, "hop_length must be >= 1, got 0; leave it out"),
        ("log_floor", 0.0, "log_floor must be > 0, got 0.0; leave it out for 1e-8"),
    ],
)
def test_bad_setting_is_refused_by_name(field, value, message):
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        DeepSpeechFeatureExtractor(**{field: value})
