"""Published speech models work for people who do not have hf_dsd."""

import json
import os
import subprocess
import sys
from pathlib import Path

import torch

from hf_dsd.models import (
    DeepSpeech2Config,
    DeepSpeech2ForCTC,
    DeepSpeechConfig,
    DeepSpeechFeatureExtractor,
    DeepSpeechForCTC,
    DeepSpeechProcessor,
    build_character_tokenizer,
)

LOAD = """
import json, sys, torch
from transformers import AutoModelForCTC, AutoProcessor
audio = torch.sin(torch.arange(4000) / 7).numpy()
results = []
for name in ("deepspeech", "deepspeech2"):
    model = AutoModelForCTC.from_pretrained(name, trust_remote_code=True)
    processor = AutoProcessor.from_pretrained(name, trust_remote_code=True)
    output = model(**processor(audio, "a cat", sampling_rate=16000, return_tensors="pt"))
    results.append([output.loss.item(), output.logits[0, :3].tolist(), processor.transcribe(output.logits, 4)])
assert not any(name.split(".")[0] == "hf_dsd" for name in sys.modules)
print(json.dumps(results))
"""
AUTO_CLASSES = {
    DeepSpeechConfig: "AutoConfig",
    DeepSpeech2Config: "AutoConfig",
    DeepSpeechForCTC: "AutoModelForCTC",
    DeepSpeech2ForCTC: "AutoModelForCTC",
    DeepSpeechFeatureExtractor: "AutoFeatureExtractor",
    DeepSpeechProcessor: "AutoProcessor",
}


def run(code: str, folder: Path) -> list[object]:
    """Runs `code` in a process of its own with an empty Hugging Face cache; returns the JSON it prints last."""
    env = {**os.environ, "HF_HOME": str(folder / "home"), "HF_HUB_OFFLINE": "1"}
    result = subprocess.run([sys.executable, "-c", code], env=env, cwd=folder, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


def test_models_and_processor_load_without_hf_dsd(tmp_path, monkeypatch):
    for registered, auto_class in AUTO_CLASSES.items():  # as register_for_auto_class does, for this test only
        monkeypatch.setattr(registered, "_auto_class", auto_class)
    sizes = {"conv_channels": [2, 2], "num_hidden_layers": 2, "rnn_type": "gru"}
    models = {
        "deepspeech": DeepSpeechForCTC(DeepSpeechConfig(hidden_size=8)),
        "deepspeech2": DeepSpeech2ForCTC(DeepSpeech2Config(hidden_size=8, **sizes)),
    }
    processor = DeepSpeechProcessor(DeepSpeechFeatureExtractor(hop_length=100), build_character_tokenizer())
    audio = torch.sin(torch.arange(4000) / 7).numpy()
    expected = []
    for name, model in models.items():
        model.eval().save_pretrained(tmp_path / name)
        processor.save_pretrained(tmp_path / name)
        output = model(**processor(audio, "a cat", sampling_rate=16_000, return_tensors="pt"))
        expected.append([output.loss.item(), output.logits[0, :3].tolist(), processor.transcribe(output.logits, 4)])
    for file in ("modeling_deepspeech2.py", "recurrence.py", "ctc_loss.py", "frames.py", "configuration_deepspeech.py"):
        assert (tmp_path / "deepspeech2" / file).exists()
    assert run(LOAD, tmp_path) == expected
