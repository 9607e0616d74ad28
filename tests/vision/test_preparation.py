"""What prepares pictures: each network's own mean and deviation, and Pillow's resize whatever is installed."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoImageProcessor, PilBackend, PreTrainedModel, pipeline

from hf_dsd.models import build_image_processor, build_named_classifier


@pytest.fixture
def picture() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 60, 3), dtype=np.uint8))


@pytest.fixture(scope="module")
def squeezenet() -> PreTrainedModel:
    return build_named_classifier("squeezenet1_1", ["cat", "dog", "fox"]).eval()


def test_the_middle_of_a_scaled_picture_is_normalised_as_imagenet(squeezenet, picture: Image.Image) -> None:
    processor = build_image_processor(squeezenet.config, 32, 40)
    pixels = processor(picture, return_tensors="pt")["pixel_values"]
    scaled = picture.resize((40, 60), Image.Resampling.BILINEAR).crop((4, 14, 36, 46))
    mean, deviation = (torch.tensor(each)[:, None, None] for each in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    exact = (torch.from_numpy(np.array(scaled)).permute(2, 0, 1) / 255 - mean) / deviation
    torch.testing.assert_close(pixels[0], exact, rtol=1e-5, atol=1e-5)


def test_a_folder_alone_gives_the_same_pixels_and_the_pipeline_the_same_scores(
    squeezenet, picture: Image.Image, tmp_path: Path
) -> None:
    processor = build_image_processor(squeezenet.config, 64)
    squeezenet.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    loaded = AutoImageProcessor.from_pretrained(tmp_path)  # torchvision is installed, and not taken for it
    pixels = processor(picture, return_tensors="pt")["pixel_values"]
    assert type(loaded) is PilBackend
    assert torch.equal(loaded(picture, return_tensors="pt")["pixel_values"], pixels)
    found = {each["label"]: each["score"] for each in pipeline("image-classification", str(tmp_path))(picture)}
    with torch.no_grad():
        scores = squeezenet(pixels).logits.softmax(dim=-1)[0].tolist()
    assert found == pytest.approx(dict(zip(("cat", "dog", "fox"), scores, strict=True)), rel=1e-5)


def test_a_crop_larger_than_the_picture_is_refused(squeezenet) -> None:
    with pytest.raises(ValueError, match=r"^resize_size must be at least image_size \(64\), got 60; enlarge it$"):
        build_image_processor(squeezenet.config, 64, 60)


def test_a_network_of_timm_has_its_own_weights_and_keeps_its_classes(picture: Image.Image, tmp_path: Path) -> None:
    import timm  # brings torchvision, and is not needed by the other tests

    torch.manual_seed(3)
    model = build_named_classifier("timm/resnet18", ["cat", "dog", "fox"]).eval()
    drawn = float(model.timm_model.layer1[0].conv1.weight.detach().std())
    assert drawn == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.02)  # He's, not transformers' 0.02
    model.save_pretrained(tmp_path)
    build_image_processor(model.config, 64).save_pretrained(tmp_path)
    processor = AutoImageProcessor.from_pretrained(tmp_path)
    known = timm.get_pretrained_cfg("resnet18")
    assert (tuple(processor.image_mean), tuple(processor.image_std)) == (known.mean, known.std)
    classify = pipeline("image-classification", str(tmp_path))
    assert classify.model.config.id2label == {0: "cat", 1: "dog", 2: "fox"}
    with torch.no_grad():
        scores = model(processor(picture, return_tensors="pt")["pixel_values"]).logits.softmax(dim=-1)[0].tolist()
    found = {each["label"]: each["score"] for each in classify(picture)}
    assert found == pytest.approx(dict(zip(("cat", "dog", "fox"), scores, strict=True)), rel=1e-5)
