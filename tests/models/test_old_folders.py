"""Folders that version 0.1.0 saved load today and give the numbers that it gave (`expected.safetensors`)."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCTC, AutoModelForImageTextToText, AutoProcessor, GenerationConfig

import hf_dsd.models  # noqa: F401 (registers the classes)

FOLDERS = Path(__file__).parent / "old_folders"
SPEECH = sorted(path.name for path in FOLDERS.iterdir() if path.name.startswith("deepspeech"))


@pytest.mark.parametrize("name", SPEECH)
def test_speech_models_score_as_they_did(name):
    expected = load_file(FOLDERS / name / "expected.safetensors")
    model, info = AutoModelForCTC.from_pretrained(FOLDERS / name, output_loading_info=True)
    assert not any(info.values()), info
    output = model(**{key: expected[key] for key in ("input_features", "attention_mask", "labels")})
    torch.testing.assert_close(output.logits, expected["logits"], atol=1e-6, rtol=0)
    torch.testing.assert_close(output.loss, expected["loss"], atol=1e-6, rtol=0)


@pytest.mark.parametrize(("name", "image"), [("neuraltalk", "image_features"), ("neuraltalk_pictures", "pixel_values")])
def test_captioners_write_what_they_did(name, image):
    expected = load_file(FOLDERS / name / "expected.safetensors")
    model, info = AutoModelForImageTextToText.from_pretrained(FOLDERS / name, output_loading_info=True)
    assert not any(info.values()), info
    images = {image: expected[image]}
    logits = model(input_ids=expected["input_ids"], **images).logits
    torch.testing.assert_close(logits, expected["logits"], atol=1e-6, rtol=0)
    assert torch.equal(model.generate(**images), expected["captions"])
    if "loss" in expected:
        torch.testing.assert_close(model(labels=expected["labels"], **images).loss, expected["loss"], atol=1e-6, rtol=0)
        assert torch.equal(model.generate(num_beams=1, **images), expected["greedy"])


def test_an_old_captioners_processor_and_search_come_along():
    processor = AutoProcessor.from_pretrained(FOLDERS / "neuraltalk")
    assert processor.tokenizer("a dog runs")["input_ids"][0] == processor.tokenizer.bos_token_id == 2
    assert GenerationConfig.from_pretrained(FOLDERS / "neuraltalk").num_beams == 5


def test_there_are_folders_of_every_kind():
    assert len(SPEECH) == 5
