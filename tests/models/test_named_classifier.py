"""Where neither torchvision nor timm is installed: what works all the same, and what is said.

Where they are, conftest.py leaves this file out; tests/vision has the rest.
"""

from pathlib import Path

import pytest
from transformers import AutoConfig, AutoModelForImageClassification

from hf_dsd.models import TorchvisionConfig, build_named_classifier


def test_the_error_names_both_extras() -> None:
    with pytest.raises(ImportError) as caught:
        build_named_classifier("vgg16", ["cat", "dog"])
    assert str(caught.value) == (
        "model_name 'vgg16' needs torchvision or timm, and neither is installed; pip install 'hf-dsd[vision]' for "
        "torchvision's networks, 'hf-dsd[timm]' for timm's as well"
    )


def test_the_configuration_needs_no_torchvision(tmp_path: Path) -> None:
    TorchvisionConfig(architecture="vgg16", id2label={0: "cat", 1: "dog"}).save_pretrained(tmp_path)
    config = AutoConfig.from_pretrained(tmp_path)
    assert (type(config), config.architecture, config.id2label) == (TorchvisionConfig, "vgg16", {0: "cat", 1: "dog"})
    with pytest.raises(ImportError, match=r"^torchvision is not installed, .*; pip install 'hf-dsd\[vision\]'$"):
        AutoModelForImageClassification.from_config(config)


def test_the_weight_of_the_auxiliary_losses_is_checked() -> None:
    with pytest.raises(ValueError, match=r"^auxiliary_loss_weight must be at least 0, got -1; 0 switches"):
        TorchvisionConfig(auxiliary_loss_weight=-1)
