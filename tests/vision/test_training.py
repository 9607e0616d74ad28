"""The paper's networks under DSD; resuming the large ones: tests/benchmarks/check_vision_networks.py."""

import json
import re
import sys
from pathlib import Path

import pytest
import torch
import torchvision
from families import check
from networks import LARGE, PARAMETERS, build, classifies, family, pictures
from safetensors.torch import load_file
from scripts import ROOT, run
from tiny import arguments
from transformers import pipeline

from hf_dsd import DSDTrainer

SCRIPT = ROOT / "examples" / "run_image_classification.py"


@pytest.mark.parametrize("name", sorted({*PARAMETERS} - {*LARGE}))
def test_exact_zeros_resumes_and_pipelines_in_every_phase(name: str, tmp_path: Path) -> None:
    found = check(family(name), tmp_path)
    assert found == dict.fromkeys(found, True)
    assert classifies(tmp_path / "whole")


@pytest.mark.parametrize("name", LARGE)
def test_large_networks_have_exact_zeros_and_pipelines_in_every_phase(name: str, tmp_path: Path) -> None:
    """Without checkpoints, which are gigabytes: check_vision_networks.py resumes from them."""
    options = {"phase_steps": [1, 1, 1], "optim": "sgd", "learning_rate": 1e-3, "remove_unused_columns": False}
    trainer = DSDTrainer(build(name), arguments(tmp_path, **options), train_dataset=pictures())
    trainer.train()
    trainer.load_phase("phase-1-sparse")
    weights = dict(trainer.model.named_parameters())
    layers = [layer for layer in trainer.summary.phases[1]["layers"] if layer["pruned"]]
    assert [int((weights[layer["name"]] == 0).sum()) for layer in layers] == [layer["pruned"] for layer in layers]
    assert layers
    assert classifies(tmp_path)


def train(folders: Path, out: Path, *more: str) -> str:
    options = "--model_name squeezenet1_1 --image_size 32 --resize_size 40 --augment crop --phase_steps 4 3 3"
    options += " --sparsity 0.3 --optim sgd --optim_args momentum=0.9 --phase_learning_rates 1e-2 1e-2 1e-3 --seed 1"
    options += " --per_device_train_batch_size 6 --save_strategy steps --save_steps 1 --keep_phases 1 2"
    options += " --eval_strategy no --report_to none --disable_tqdm true --use_cpu true"
    cache = str(folders.parent / "cache")
    places = ["--data_dir", folders, "--output_dir", out]
    return run(sys.executable, SCRIPT, *places, *options.split(), *more, HF_DATASETS_CACHE=cache)


def test_a_published_file_is_the_first_phase_of_a_run(folders: Path, tmp_path: Path) -> None:
    """With hardly a learning rate: what the sparse phase keeps is torchvision's, what it prunes is the smallest."""
    published = torchvision.models.squeezenet1_1(num_classes=7).state_dict()
    torch.save(published, tmp_path / "squeezenet1_1.pth")
    more = "--phase_steps 0 1 1 --phase_learning_rates 1e-12 1e-12 1e-12 --do_predict false --save_strategy no"
    text = train(folders, tmp_path / "run", "--pretrained_weights", str(tmp_path / "squeezenet1_1.pth"), *more.split())
    assert "drawn anew for 3 classes: ['classifier.1.weight', 'classifier.1.bias']" in text
    sparse = load_file(tmp_path / "run" / "phase-1-sparse" / "model.safetensors")
    for name in ("features.0.weight", "features.12.expand3x3.weight"):
        weight, found = published[name], sparse[f"network.{name}"]
        smallest = weight.abs().flatten().kthvalue(max(round(0.3 * weight.numel()), 1)).values
        kept = weight * (weight.abs() > smallest) if name != "features.0.weight" else weight
        torch.testing.assert_close(found, kept, rtol=0, atol=1e-9)


def test_the_script_trains_a_network_by_name_and_resumes_amid_an_epoch(folders: Path, tmp_path: Path) -> None:
    """Crops and momentum included, to the bit; four steps are an epoch, so that step 6 is amid the second."""
    whole, again = tmp_path / "whole", tmp_path / "again"
    text = train(folders, whole)
    assert [phase for phase, _ in re.findall(r"^(phase-\d-\w+): test top-1 error (\S+) \[", text, re.MULTILINE)] == [
        "phase-1-sparse",
        "phase-2-dense",
    ]
    assert not (whole / "phase-0-dense").exists()
    train(folders, again, "--resume_from_checkpoint", str(whole / "checkpoint-6"), "--do_predict", "false")
    weights = [load_file(folder / "phase-2-dense" / "model.safetensors") for folder in (whole, again)]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())
    sparse = load_file(whole / "phase-1-sparse" / "model.safetensors")
    summary = json.loads((whole / "dsd_summary.json").read_text())
    layers = summary["phases"][1]["layers"]
    assert len(layers) == 25
    assert all(int((sparse[layer["name"]] == 0).sum()) == layer["pruned"] for layer in layers)
    assert all(layer["pruned"] == round(0.3 * layer["weights"]) for layer in layers)
    found = pipeline("image-classification", str(whole / "phase-1-sparse"))(str(folders / "test" / "red" / "0.png"))
    assert {each["label"] for each in found} == {"red", "green", "blue"}
