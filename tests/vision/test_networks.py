"""torchvision's classifiers: the published sizes, what is pruned of them, and what their own library draws."""

from pathlib import Path

import pytest
import torch
import torchvision
from networks import PARAMETERS
from transformers import AutoModelForImageClassification

from hf_dsd.engine.targets import Target
from hf_dsd.inspection import build_without_weights, inspect_model
from hf_dsd.models import TorchvisionConfig, TorchvisionForImageClassification, build_named_classifier
from hf_dsd.models.torchvision.modeling_torchvision import classifier_names

FIRST = {
    "alexnet": "features.0.weight",
    "googlenet": "conv1.conv.weight",
    "resnet18": "conv1.weight",
    "resnet50": "conv1.weight",
    "resnet152": "conv1.weight",
    "squeezenet1_0": "features.0.weight",
    "squeezenet1_1": "features.0.weight",
    "vgg16": "features.0.weight",
}
# Layers of the papers that describe the networks, without the first convolution.
PRUNED_LAYERS = {
    "alexnet": 7,  # 5 convolutions and 3 matrices
    "googlenet": 63,  # 3 convolutions, 9 blocks of 6, fc, and twice conv, fc1, fc2 of the auxiliary classifiers
    "resnet18": 20,  # 17 convolutions, 3 shortcuts, fc
    "resnet50": 53,  # 49 convolutions, 4 shortcuts, fc
    "resnet152": 155,
    "squeezenet1_0": 25,  # 8 fire modules of 3, and the convolution that classifies
    "squeezenet1_1": 25,
    "vgg16": 15,
}
LARGEST = {"vgg16": ("classifier.0.weight", 102_760_448), "alexnet": ("classifier.1.weight", 37_748_736)}


def plan(name: str, folder: Path) -> list[Target]:
    """What is decided about the network of 1,000 classes, with no memory for its weights."""
    TorchvisionConfig(
        architecture=name, num_labels=1000, architectures=["TorchvisionForImageClassification"]
    ).save_pretrained(folder)
    return list(inspect_model(build_without_weights(str(folder))).targets)


@pytest.mark.parametrize("name", PARAMETERS)
def test_the_first_convolution_stays_dense_and_every_other_layer_is_pruned(name: str, tmp_path: Path) -> None:
    targets = plan(name, tmp_path)
    auxiliary = [target.numel for target in targets if ".aux" in target.name]
    assert sum(target.numel for target in targets) - sum(auxiliary) == PARAMETERS[name]
    assert len(auxiliary) == (14 if name == "googlenet" else 0)
    dense = {target.name: target.dense_reason for target in targets if len(target.shape) > 1 and target.dense_reason}
    assert dense == {f"network.{FIRST[name]}": "first convolution"}
    pruned = [target for target in targets if target.is_pruned]
    assert len(pruned) == PRUNED_LAYERS[name]
    assert {target.name for target in pruned} == {target.name for target in targets if len(target.shape) > 1} - {*dense}
    if name in LARGEST:
        largest = max(pruned, key=lambda target: target.numel)
        assert (largest.name, largest.numel) == (f"network.{LARGEST[name][0]}", LARGEST[name][1])


@pytest.mark.parametrize("name", ["squeezenet1_1", "resnet18", "googlenet"])
def test_the_weights_are_those_that_torchvision_draws(name: str) -> None:
    torch.manual_seed(3)
    ours = build_named_classifier(name, ["cat", "dog", "fox"]).network.state_dict()
    torch.manual_seed(3)
    options = {"init_weights": True} if name == "googlenet" else {}
    theirs = torchvision.models.get_model(name, num_classes=3, **options).state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


def test_a_folder_keeps_weights_classes_and_settings(tmp_path: Path) -> None:
    config = TorchvisionConfig(
        architecture="squeezenet1_1",
        id2label={0: "cat", 1: "dog"},
        label2id={"cat": 0, "dog": 1},
        model_args={"dropout": 0.2},
    )
    model = TorchvisionForImageClassification(config)
    model.save_pretrained(tmp_path)
    loaded = AutoModelForImageClassification.from_pretrained(tmp_path)
    assert type(loaded) is TorchvisionForImageClassification
    assert (loaded.config.id2label, loaded.config.label2id) == ({0: "cat", 1: "dog"}, {"cat": 0, "dog": 1})
    assert loaded.network.classifier[0].p == 0.2
    assert all(torch.equal(loaded.state_dict()[name], value) for name, value in model.state_dict().items())


def test_a_head_of_other_classes_is_drawn_as_its_network_draws_it(tmp_path: Path) -> None:
    """SqueezeNet's last convolution is normal with a deviation of 0.01; PyTorch's own would be uniform in +-0.044."""
    model = build_named_classifier("squeezenet1_1", ["cat", "dog"])
    model.save_pretrained(tmp_path)
    torch.manual_seed(3)
    names = {n: str(n) for n in range(7)}
    loaded = AutoModelForImageClassification.from_pretrained(tmp_path, id2label=names, ignore_mismatched_sizes=True)
    torch.manual_seed(3)
    fresh = torchvision.models.squeezenet1_1(num_classes=7)
    head = loaded.network.classifier[1]
    assert torch.equal(head.weight, fresh.classifier[1].weight)
    assert float(head.weight.std()) == pytest.approx(0.01, rel=0.05)
    assert torch.equal(loaded.network.features[0].weight, model.network.features[0].weight)


def test_googlenets_auxiliary_losses_count_in_training_alone() -> None:
    model = build_named_classifier("googlenet", ["cat", "dog", "fox"])
    model.network.aux1.dropout.p = model.network.aux2.dropout.p = model.network.dropout.p = 0.0
    pixels, labels = torch.randn(4, 3, 64, 64), torch.tensor([0, 1, 2, 0])
    main, second, first = model.train().network(pixels)
    losses = [float(torch.nn.functional.cross_entropy(each, labels)) for each in (main, first, second)]
    output = model(pixel_values=pixels, labels=labels)
    assert torch.equal(output.logits, main)
    assert float(output.loss) == pytest.approx(losses[0] + 0.3 * (losses[1] + losses[2]), rel=1e-6)
    model.config.auxiliary_loss_weight = 0.0
    assert float(model(pixel_values=pixels, labels=labels).loss) == pytest.approx(losses[0], rel=1e-6)
    logits = model.eval().network(pixels)
    evaluated = model(pixel_values=pixels, labels=labels)
    assert float(evaluated.loss) == pytest.approx(float(torch.nn.functional.cross_entropy(logits, labels)), rel=1e-6)


def test_only_classifiers_are_taken() -> None:
    assert {*PARAMETERS} <= {*classifier_names()}
    with pytest.raises(
        ValueError, match=r"^architecture must be an image classifier .*, got 'fasterrcnn_resnet50_fpn'"
    ):
        TorchvisionForImageClassification(TorchvisionConfig(architecture="fasterrcnn_resnet50_fpn"))
    with pytest.raises(ValueError, match=r"got 'vgg17'; near: \['vgg1"):
        build_named_classifier("vgg17", ["cat", "dog"])
