"""A folder's pictures are prepared by Pillow wherever it is loaded: these tests run with torchvision and without."""

import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scripts import run
from transformers import AutoModelForImageClassification, ResNetConfig

from hf_dsd.models import build_image_processor

PLAIN_USER = """
import sys, numpy
from PIL import Image
from transformers import AutoImageProcessor, pipeline
folder, picture = sys.argv[1], Image.open(sys.argv[2])
for name, processor in (("auto", AutoImageProcessor.from_pretrained(folder)),
                        ("pipeline", pipeline("image-classification", folder).image_processor)):
    numpy.save(f"{folder}/{name}.npy", processor(picture, return_tensors="np")["pixel_values"])
assert "hf_dsd" not in sys.modules
"""


def test_who_knows_no_hf_dsd_gets_pillows_pixels(tmp_path: Path) -> None:
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 60, 3), dtype=np.uint8))
    picture.save(tmp_path / "picture.png")
    config = ResNetConfig(embedding_size=16, hidden_sizes=[16, 16], depths=[1, 1], layer_type="basic")
    AutoModelForImageClassification.from_config(config).save_pretrained(tmp_path)
    processor = build_image_processor(config, 32, 40)
    processor.save_pretrained(tmp_path)
    scaled = picture.resize((40, 60), Image.Resampling.BILINEAR).crop((4, 14, 36, 46))
    exact = torch.from_numpy(np.array(scaled)).permute(2, 0, 1) / 255 * 2 - 1
    torch.testing.assert_close(processor(picture, return_tensors="pt")["pixel_values"][0], exact, rtol=0, atol=1e-6)
    run(sys.executable, "-c", PLAIN_USER, tmp_path, tmp_path / "picture.png")
    for name in ("auto", "pipeline"):  # torchvision's own resize is up to 0.0078 away
        found = torch.from_numpy(np.load(tmp_path / f"{name}.npy")[0])
        torch.testing.assert_close(found, exact, rtol=0, atol=1e-6)
