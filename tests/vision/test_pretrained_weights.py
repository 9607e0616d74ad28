"""Files of weights as torchvision and timm write them, as a network's first phase."""

import re
from pathlib import Path

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from transformers import AutoModelForImageClassification

from hf_dsd.models import build_named_classifier, load_pretrained_weights

FIVE = list("abcde")


def torchvisions(name: str, **options: object) -> torch.nn.Module:
    """Torchvision's own network of five classes."""
    torch.manual_seed(5)
    return torchvision.models.get_model(name, num_classes=5, **options).eval()


def saved(network: torch.nn.Module, path: Path) -> Path:
    torch.save(network.state_dict(), path)
    return path


@pytest.mark.parametrize("name", ["squeezenet1_1", "resnet18"])
def test_a_file_of_torchvision_gives_its_scores(name: str, tmp_path: Path) -> None:
    theirs, ours = torchvisions(name), build_named_classifier(name, FIVE).eval()
    pixels = torch.randn(2, 3, 64, 64)
    assert not torch.allclose(ours(pixels).logits, theirs(pixels))
    assert load_pretrained_weights(ours, saved(theirs, tmp_path / "net.pth")) == []
    assert torch.equal(ours(pixels).logits, theirs(pixels))


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("squeezenet1_1", ["classifier.1.weight", "classifier.1.bias"]),
        ("googlenet", [f"{part}.{kind}" for part in ("aux1.fc2", "aux2.fc2", "fc") for kind in ("weight", "bias")]),
    ],
)
def test_a_head_of_other_classes_stays_as_it_was_drawn(name: str, head: list[str], tmp_path: Path) -> None:
    theirs = torchvisions(name, **({"init_weights": True} if name == "googlenet" else {}))
    model = build_named_classifier(name, ["cat", "dog", "fox"])
    drawn = {key: tensor.clone() for key, tensor in model.network.state_dict().items()}
    assert load_pretrained_weights(model, saved(theirs, tmp_path / "net.pth")) == head
    want = theirs.state_dict() | {key: drawn[key] for key in head}
    assert all(torch.equal(tensor, want[key]) for key, tensor in model.network.state_dict().items())


def test_googlenet_shifts_its_input_as_torchvision_does_with_published_weights(tmp_path: Path) -> None:
    theirs, pixels = torchvisions("googlenet", init_weights=True, transform_input=True), torch.randn(4, 3, 64, 64)
    for module in theirs.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0  # else the signal is lost on its way: the layers are drawn small
    theirs.train()(pixels)
    theirs.eval()
    model = build_named_classifier("googlenet", FIVE).eval()
    load_pretrained_weights(model, saved(theirs, tmp_path / "net.pth"))
    model.save_pretrained(tmp_path / "folder")
    loaded = AutoModelForImageClassification.from_pretrained(tmp_path / "folder")
    for ours in (model, loaded):
        assert torch.equal(ours(pixels).logits, theirs(pixels))
    theirs.transform_input = False
    assert not torch.allclose(model(pixels).logits, theirs(pixels), atol=1e-2)


def test_timms_file_and_one_of_an_old_torch_are_read(tmp_path: Path) -> None:
    import timm

    theirs = timm.create_model("resnet18", num_classes=5).eval()
    old = {name: tensor for name, tensor in theirs.state_dict().items() if "num_batches_tracked" not in name}
    save_file(old, tmp_path / "net.safetensors")
    pixels = torch.randn(2, 3, 64, 64)
    for name in ("resnet18", "timm/resnet18"):  # torchvision's and timm's ResNets name their layers alike
        model = build_named_classifier(name, FIVE).eval()
        assert load_pretrained_weights(model, tmp_path / "net.safetensors") == []
        torch.testing.assert_close(model(pixels).logits, theirs(pixels))


def test_another_networks_file_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    model = build_named_classifier("squeezenet1_1", FIVE)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for name, told in (
        ("squeezenet1_0", r"its features\.0\.weight is \(96, 3, 7, 7\), not \(64, 3, 3, 3\), its .* and \d+ more"),
        ("resnet18", r"it lacks features\.0\.weight, it lacks .* and \d+ more"),
    ):
        path = saved(torchvisions(name), tmp_path / f"{name}.pth")
        message = (
            rf"^pretrained_weights must be those of squeezenet1_1, got {re.escape(str(path))}: {told}; give model_name"
        )
        with pytest.raises(ValueError, match=message):
            load_pretrained_weights(model, path)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_what_is_no_state_dict_is_refused(tmp_path: Path) -> None:
    model = build_named_classifier("squeezenet1_1", FIVE)
    torch.save({"model": model.network.state_dict(), "epoch": 3}, tmp_path / "checkpoint.pth")
    with pytest.raises(
        ValueError, match=r"name -> tensor, got \S+: with the keys model, epoch; save model\.state_dict"
    ):
        load_pretrained_weights(model, tmp_path / "checkpoint.pth")
    torch.save(model.network, tmp_path / "module.pth")
    (tmp_path / "page.pth").write_text("<html>404</html>")
    (tmp_path / "page.safetensors").write_text("<html>404</html>")
    (tmp_path / "empty.pth").touch()
    for name in ("module.pth", "page.pth", "page.safetensors", "empty.pth"):
        with pytest.raises(ValueError, match=rf"must be a file of tensors alone, got \S+{name}, which does not read"):
            load_pretrained_weights(model, tmp_path / name)
    with pytest.raises(FileNotFoundError, match=r"none\.pth"):
        load_pretrained_weights(model, tmp_path / "none.pth")


def test_weights_of_our_own_folder_are_sent_to_the_folder(tmp_path: Path) -> None:
    model = build_named_classifier("squeezenet1_1", FIVE)
    model.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"it lacks features\.0\.weight, .*, and model_name_or_path what is a folder$"):
        load_pretrained_weights(model, tmp_path / "model.safetensors")
