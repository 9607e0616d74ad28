import re

import numpy as np
import pytest
from PIL import Image
from transformers import AutoProcessor, ViTConfig, pipeline
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

from hf_dsd.models import (
    NeuralTalkConfig,
    NeuralTalkForConditionalGeneration,
    NeuralTalkProcessor,
    build_caption_tokenizer,
    encode_caption,
)


@pytest.fixture
def tokenizer():
    return build_caption_tokenizer(["a dog runs", "a cat sits"], min_count=1)


@pytest.fixture
def image_processor():
    return ViTImageProcessorPil(size={"height": 16, "width": 16})


@pytest.fixture
def image():
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (20, 24, 3), dtype=np.uint8))


def test_tokenizer_alone_round_trip(tokenizer, tmp_path):
    NeuralTalkProcessor(tokenizer=tokenizer).save_pretrained(tmp_path)
    loaded = AutoProcessor.from_pretrained(tmp_path)
    assert type(loaded) is NeuralTalkProcessor
    assert loaded.image_processor is None
    inputs = loaded(text=["a dog", ""], padding=True, return_tensors="pt")
    assert inputs["input_ids"].tolist() == [[2, 4, 6], [2, 1, 1]]
    captions = [encode_caption(tokenizer, text) for text in ("A dog runs.", "A cat sits.")]
    assert loaded.batch_decode(captions, skip_special_tokens=True) == ["a dog runs", "a cat sits"]
    assert loaded.decode(captions[0], skip_special_tokens=True) == "a dog runs"


def test_image_processor_round_trip(tokenizer, image_processor, image, tmp_path):
    processor = NeuralTalkProcessor(image_processor, tokenizer)
    processor.save_pretrained(tmp_path)
    loaded = AutoProcessor.from_pretrained(tmp_path)
    assert loaded.image_processor.to_dict() == image_processor.to_dict()
    inputs = loaded(images=[image, image], text=["", "a"], padding=True, return_tensors="pt")
    assert inputs["pixel_values"].shape == (2, 3, 16, 16)
    alone = image_processor(image, return_tensors="pt")["pixel_values"]
    assert inputs["pixel_values"][:1].equal(alone)
    assert set(loaded(images=image, return_tensors="pt")) == {"pixel_values"}
    assert set(loaded.model_input_names) == {"pixel_values", "input_ids", "attention_mask"}


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, "images or text must be given, got neither; pass at least one of them"),
        ({"images": "x"}, "images needs an image_processor, got None; build NeuralTalkProcessor with one"),
    ],
    ids=["nothing", "images without image processor"],
)
def test_bad_input_is_refused_by_name(tokenizer, inputs, message):
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        NeuralTalkProcessor(tokenizer=tokenizer)(**inputs)


def test_parts_of_the_wrong_kind_are_refused(tokenizer, image_processor):
    with pytest.raises(TypeError, match="tokenizer"):
        NeuralTalkProcessor(image_processor)
    with pytest.raises(TypeError, match="image_processor"):
        NeuralTalkProcessor(tokenizer, tokenizer)


def test_image_text_to_text_pipeline(tokenizer, image_processor, image, tmp_path):
    encoder = ViTConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, image_size=16, patch_size=8
    )
    config = NeuralTalkConfig(
        vocab_size=len(tokenizer), image_feature_size=8, hidden_size=6, word_embedding_size=5, encoder_config=encoder
    )
    model = NeuralTalkForConditionalGeneration(config).eval()
    model.decoder.bias.data[4:7] = 3.0
    model.save_pretrained(tmp_path)
    processor = NeuralTalkProcessor(image_processor, tokenizer)
    processor.save_pretrained(tmp_path)
    captioner = pipeline("image-text-to-text", model=str(tmp_path))
    result = captioner([image, image], text=["", ""], batch_size=2, generate_kwargs={"num_beams": 3, "max_length": 6})
    rows = model.generate(**processor(images=image, return_tensors="pt"), num_beams=3, max_length=6)
    expected = processor.decode(rows[0], skip_special_tokens=True)
    assert len(expected.split()) == 5
    assert [row["generated_text"].strip() for row in result] == [expected, expected]
