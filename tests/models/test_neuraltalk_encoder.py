import re

import pytest
import torch
from transformers import AutoModel, AutoModelForImageTextToText, ResNetConfig, ViTConfig

from hf_dsd.models import NeuralTalkConfig, NeuralTalkForConditionalGeneration

RESNET = ResNetConfig(embedding_size=4, hidden_sizes=[4, 8], depths=[1, 1], layer_type="basic")
VIT = ViTConfig(
    hidden_size=8,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=8,
    image_size=16,
    patch_size=8,
    hidden_dropout_prob=0.5,
)
ENCODERS = pytest.mark.parametrize("encoder_config", [RESNET, VIT], ids=["resnet", "vit"])
LABELS = torch.tensor([[4, 5, 3], [6, 3, -100]])


@pytest.fixture
def pixels():
    return torch.randn(2, 3, 16, 16)


@ENCODERS
def test_pixels_equal_the_encoders_own_features(make_model, pixels, encoder_config):
    model = make_model(encoder_config=encoder_config, image_feature_size=8)
    features = model.vision_encoder(pixel_values=pixels).pooler_output.flatten(1)
    assert features.std() > 0.01
    by_pixels = model(pixel_values=pixels, labels=LABELS)
    by_features = model(image_features=features, labels=LABELS)
    torch.testing.assert_close(by_pixels.logits, by_features.logits, atol=1e-6, rtol=0)
    assert torch.equal(model.generate(pixel_values=pixels), model.generate(image_features=features))
    uncached = model.generate(pixel_values=pixels, use_cache=False)
    assert torch.equal(uncached, model.generate(image_features=features))


def test_backbone_features_are_the_last_maps_spatial_mean(make_model, pixels):
    # A type that AutoBackbone alone can build.
    config = {"model_type": "vitpose_backbone", "image_size": [16, 16], "patch_size": [8, 8], "hidden_size": 8}
    config |= {"num_hidden_layers": 1, "num_attention_heads": 2, "mlp_ratio": 1}
    model = make_model(encoder_config=config, image_feature_size=8)
    maps = model.vision_encoder(pixel_values=pixels).feature_maps[-1]
    expected = maps.mean(dim=1) if maps.dim() == 3 else maps.mean(dim=(2, 3))
    torch.testing.assert_close(model.encode_images(pixels), expected, atol=1e-6, rtol=0)


@ENCODERS
def test_encoder_is_frozen_and_in_evaluation_mode(make_model, pixels, encoder_config):
    model = make_model(encoder_config=encoder_config, image_feature_size=8).train()
    assert model.training
    assert model.lstm.training
    assert not any(module.training for module in model.vision_encoder.modules())
    before = {name: value.clone() for name, value in model.vision_encoder.state_dict().items()}
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.1)
    model(pixel_values=pixels, labels=LABELS).loss.backward()
    assert all(p.grad is None and not p.requires_grad for p in model.vision_encoder.parameters())
    assert model.image_encoder.weight.grad.abs().sum() > 0
    optimizer.step()
    after = model.vision_encoder.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_no_graph_is_kept_through_the_encoder(make_model, pixels):
    model = make_model(encoder_config=RESNET, image_feature_size=8)
    assert not model.encode_images(pixels.requires_grad_()).requires_grad


@ENCODERS
def test_saved_model_comes_back_equal_and_frozen(make_model, pixels, encoder_config, tmp_path):
    model = make_model(encoder_config=encoder_config, image_feature_size=8)
    model.save_pretrained(tmp_path)
    loaded = AutoModelForImageTextToText.from_pretrained(tmp_path)
    expected = model.state_dict()
    assert loaded.state_dict().keys() == expected.keys()
    assert all(torch.equal(value, expected[name]) for name, value in loaded.state_dict().items())
    assert not any(p.requires_grad for p in loaded.vision_encoder.parameters())
    assert loaded.lstm.weight_hh_l0.requires_grad
    assert not any(module.training for module in loaded.train().vision_encoder.modules())
    assert torch.equal(loaded.eval().generate(pixel_values=pixels), model.generate(pixel_values=pixels))


@ENCODERS
def test_from_encoder_copies_the_encoder(pixels, encoder_config):
    encoder = AutoModel.from_config(encoder_config).eval()
    model = NeuralTalkForConditionalGeneration.from_encoder(
        encoder, vocab_size=11, hidden_size=7, word_embedding_size=5
    )
    assert (model.config.image_feature_size, model.config.hidden_size) == (8, 7)
    expected = encoder(pixel_values=pixels).pooler_output.flatten(1)
    torch.testing.assert_close(model.encode_images(pixels), expected, atol=1e-6, rtol=0)
    assert all(p.requires_grad for p in encoder.parameters())
    assert not any(p.requires_grad for p in model.vision_encoder.parameters())


def test_encoder_runs_once_per_image_whatever_the_beams(make_model, pixels):
    model = make_model(encoder_config=RESNET, image_feature_size=8)
    batches: list[int] = []
    model.vision_encoder.register_forward_pre_hook(
        lambda module, args, kwargs: batches.append(len(kwargs["pixel_values"])), with_kwargs=True
    )
    model.generate(pixel_values=pixels, num_beams=5)
    assert batches == [2]


def test_wrong_feature_width_is_refused_by_name(make_model, pixels):
    model = make_model(encoder_config=RESNET, image_feature_size=6)
    message = "image_feature_size must be the encoder's output width 8, got 6; set it in NeuralTalkConfig"
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        model(pixel_values=pixels, labels=LABELS)


def test_text_model_as_encoder_is_refused_by_name():
    config = NeuralTalkConfig(encoder_config={"model_type": "encodec", "sampling_rate": 24000})
    assert config.encoder_config["model_type"] == "encodec"
    config = NeuralTalkConfig(encoder_config={"model_type": "neuraltalk"})
    message = "encoder_config must be of a type AutoModel or AutoBackbone knows, got 'neuraltalk'; register its class"
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        NeuralTalkForConditionalGeneration(config)
