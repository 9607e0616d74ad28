"""These tests need torchvision: they are collected where it is installed, by `make test-vision`."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

collect_ignore_glob = [] if find_spec("torchvision") else ["test_*.py"]


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """Red, green and blue pictures by class and split."""
    random = np.random.default_rng(0)
    for split, count in (("train", 8), ("validation", 2), ("test", 4)):
        for channel, name in enumerate(("red", "green", "blue")):
            (tmp_path / "data" / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = random.integers(0, 80, (48, 64, 3), dtype=np.uint8)
                pixels[..., channel] += 150
                Image.fromarray(pixels).save(tmp_path / "data" / split / name / f"{number}.png")
    return tmp_path / "data"
