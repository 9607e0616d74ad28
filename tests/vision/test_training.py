"""The paper's networks under DSD; resuming the large ones: tests/benchmarks/check_vision_networks.py."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from families import check
from networks import LARGE, PARAMETERS, build, classifies, family, pictures
from PIL import Image
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


def train(folders: Path, out: Path, *more: str) -> str:
    options = "--model_name squeezenet1_1 --image_size 32 --resize_size 40 --augment crop --phase_steps 4 3 3"
    options += " --sparsity 0.3 --optim sgd --optim_args momentum=0.9 --phase_learning_rates 1e-2 1e-2 1e-3 --seed 1"
    options += " --per_device_train_batch_size 6 --save_strategy steps --save_steps 1 --keep_phases 1 2"
    options += " --eval_strategy no --report_to none --disable_tqdm true --use_cpu true"
    cache = str(folders.parent / "cache")
    places = ["--data_dir", folders, "--output_dir", out]
    return run(sys.executable, SCRIPT, *places, *options.split(), *more, HF_DATASETS_CACHE=cache)


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
