"""The demo app as a process of its own, asked through its HTTP API."""

import os
import re
import runpy
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from huggingface_hub import SpaceCard
from PIL import Image

from hf_dsd.models import (
    DeepSpeechConfig,
    DeepSpeechFeatureExtractor,
    DeepSpeechForCTC,
    DeepSpeechProcessor,
    NeuralTalkConfig,
    NeuralTalkForConditionalGeneration,
    NeuralTalkProcessor,
    build_caption_tokenizer,
    build_character_tokenizer,
)
from hf_dsd.models.neuraltalk import build_image_processor
from hf_dsd.models.remote_code import save_with_code

APP = Path(__file__).parents[2] / "examples" / "space" / "app.py"
NAMES = ("dense", "sparse", "main")
LITE = {"model_type": "efficientnet_lite", "stem_size": 4, "stages": [(1, 3, 2, 1, 4)], "feature_size": 8}


@pytest.fixture
def picture(tmp_path):
    file = tmp_path / "picture.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8)).save(file)
    return file


@pytest.fixture
def recording(tmp_path):
    """Half a second of stereo noise at twice the models' sampling rate."""
    file = tmp_path / "noise.flac"
    soundfile.write(file, np.random.default_rng(0).standard_normal((16_000, 2)) * 0.1, 32_000)
    return file


def save_captioners(folder: Path, picture: Path) -> list[str]:
    """Saves three random captioners; returns what each says about the picture."""
    tokenizer = build_caption_tokenizer(["a dog runs", "the cat sits"], min_count=1)
    processor = NeuralTalkProcessor(build_image_processor(), tokenizer)
    inputs = processor(images=Image.open(picture), return_tensors="pt")
    sizes = {"image_feature_size": 8, "hidden_size": 6, "word_embedding_size": 5}
    captions = []
    for seed, name in enumerate(NAMES):
        torch.manual_seed(seed)
        config = NeuralTalkConfig(vocab_size=len(tokenizer), encoder_config=LITE, **sizes)
        model = NeuralTalkForConditionalGeneration(config).eval()
        model.decoder.bias.data[4 + seed] = 9.0  # one word, again and again
        save_with_code(model, processor, folder / name)
        captions.append(processor.decode(model.generate(**inputs)[0], skip_special_tokens=True))
    return captions


def save_recognisers(folder: Path) -> list[str]:
    """Saves three random speech models, each of which hears one letter; returns the letters."""
    processor = DeepSpeechProcessor(DeepSpeechFeatureExtractor(), build_character_tokenizer())
    for seed, name in enumerate(NAMES):
        model = DeepSpeechForCTC(DeepSpeechConfig(hidden_size=8)).eval()
        model.ctc_head.bias.data[3 + seed] = 100.0
        model.save_pretrained(folder / name)  # as a run's phase is saved, without code
        processor.save_pretrained(folder / name)
    return ["a", "b", "c"]


def start(env: dict[str, str], log: Path) -> tuple[subprocess.Popen, str]:
    """Starts the app, which writes to `log`; returns its process and address once it answers."""
    quiet = {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1"}
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, str(APP)], env={**os.environ, **quiet, **env}, stdout=file, stderr=subprocess.STDOUT
        )
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and process.poll() is None:
        # It takes the first free port of gradio's and says which.
        if found := re.search(r"http://127\.0\.0\.1:\d+", log.read_text()):
            return process, found.group()
        time.sleep(0.5)
    process.kill()
    pytest.fail(f"the app does not answer:\n{log.read_text()}")


def test_picture_and_recording_through_the_http_api(picture, recording, tmp_path):
    client_library = pytest.importorskip("gradio_client", reason="the space extra is not installed")
    pytest.importorskip("gradio", reason="the space extra is not installed")
    captions = save_captioners(tmp_path / "captioner", picture)
    letters = save_recognisers(tmp_path / "recogniser")
    assert len(set(captions)) == 3
    env = {"CAPTION_MODEL": str(tmp_path / "captioner"), "SPEECH_MODEL": str(tmp_path / "recogniser")}
    process, address = start({**env, "HF_HOME": str(tmp_path / "home")}, tmp_path / "app.log")
    try:
        client = client_library.Client(address, verbose=False)
        assert list(client.predict(client_library.handle_file(picture), api_name="/caption")) == captions
        assert list(client.predict(client_library.handle_file(recording), api_name="/transcribe")) == letters
        text = tmp_path / "text.wav"
        text.write_text("not audio")
        with pytest.raises(client_library.exceptions.AppError, match="cannot be read"):
            client.predict(client_library.handle_file(text), api_name="/transcribe")
    finally:
        process.terminate()
        process.wait(timeout=30)


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        ((), "CAPTION_MODEL or SPEECH_MODEL must be set, got neither; name a folder or a Hub repository"),
        (("dense",), "must hold the models ['dense', 'sparse', 'main'], got no ['dense', 'sparse', 'main']"),
    ],
    ids=["nothing", "an empty folder"],
)
def test_missing_models_are_refused_by_name(folders, message, tmp_path):
    pytest.importorskip("gradio", reason="the space extra is not installed")
    for name in folders:
        (tmp_path / name).mkdir()
    build_app = runpy.run_path(str(APP))["build_app"]
    with pytest.raises((ValueError, FileNotFoundError), match=re.escape(message)):
        build_app(None, str(tmp_path) if folders else "")


def test_the_folder_is_a_space():
    card = SpaceCard.load(APP.parent / "README.md").data
    assert (card.sdk, card.app_file, card.license) == ("gradio", "app.py", "apache-2.0")
    assert len(card.short_description) <= 60  # the Hub's limit
    needed = [line for line in (APP.parent / "requirements.txt").read_text().splitlines() if not line.startswith("#")]
    ours = (APP.parents[2] / "pyproject.toml").read_text()
    assert [line for line in needed if f'"{line}"' not in ours] == []
