"""The paper's recipes for ImageNet begin on a folder of pictures, here of 64 x 64 and with an epoch a phase."""

import importlib
import json
import sys
from pathlib import Path

import pytest
from networks import LARGE, PARAMETERS
from safetensors.torch import load_file
from scripts import ROOT

QUICK = "--image_size 64 --resize_size 72 --phase_epochs 1 1 1 --per_device_train_batch_size 24 --keep_phases 1 2"
QUICK += " --save_strategy no --eval_strategy no --do_predict false --dataloader_num_workers 0 --report_to none"
QUICK += " --disable_tqdm true --use_cpu true"


@pytest.mark.parametrize("name", sorted({*PARAMETERS} - {*LARGE}))
def test_a_recipe_trains(name: str, folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "run"
    recipe = ROOT / "examples" / "recipes" / f"{name}.yaml"
    words = [
        ROOT / "examples" / "run_image_classification.py",
        recipe,
        "--data_dir",
        folders,
        "--output_dir",
        out,
        *QUICK.split(),
    ]
    monkeypatch.setattr(sys, "argv", [str(word) for word in words])
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.syspath_prepend(words[0].parent)
    importlib.import_module("run_image_classification").main()  # in this process: five imports take a minute
    phases = json.loads((out / "dsd_summary.json").read_text())["phases"]
    assert [phase["end"] - phase["start"] for phase in phases] == [1, 1, 1]
    sparse = load_file(out / "phase-1-sparse" / "model.safetensors")
    zeros = {layer["name"]: int((sparse[layer["name"]] == 0).sum()) for layer in phases[1]["layers"]}
    share = 2 / 3 if "squeezenet" in name else 0.3
    assert sum(zeros.values()) == pytest.approx(share * sum(sparse[layer].numel() for layer in zeros), rel=2e-3)
    assert zeros == {layer["name"]: layer["pruned"] for layer in phases[1]["layers"]}
