"""The scripts under examples/ and the code in the README run as they stand."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tiny import TinyLSTM, build, classification_rows
from torch.utils.data import DataLoader

ROOT = Path(__file__).parent.parent


def run(*command: str | Path) -> str:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture
def caption_folder(tmp_path: Path) -> Path:
    """Twelve images with vectors that tell their two captions' colour."""
    colours = ["red", "green", "blue"]
    folder = tmp_path / "captions"
    folder.mkdir()
    images = [f"{i}.jpg" for i in range(12)]
    lines = [
        {
            "image": image,
            "split": "train" if i < 6 else "validation" if i < 9 else "test",
            "captions": [
                f"A plain {colours[i % 3]} square on white paper .",
                f"One {colours[i % 3]} square drawn on paper .",
            ],
        }
        for i, image in enumerate(images)
    ]
    (folder / "captions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "image_ids.json").write_text(json.dumps(images))
    save_file({"features": torch.eye(3).repeat(4, 2).half()}, folder / "features.safetensors")
    return folder


def test_captioning_from_files_by_accelerate(tmp_path: Path, caption_folder: Path) -> None:
    script = ROOT / "examples" / "run_captioning.py"
    out = tmp_path / "out"
    launch = [Path(sys.executable).with_name("accelerate"), "launch", "--cpu", "--num_processes", "1"]
    options = "--feature_columns 0:3 --min_count 1 --hidden_size 16 --word_embedding_size 16 --seed 1"
    options += " --encoder_dropout 0 --decoder_dropout 0"
    options += " --generation_num_beams 2 --phase_epochs 60 20 20 --learning_rate 2e-2"
    options += " --sparsity 0.3 --per_device_train_batch_size 4"
    options += " --eval_strategy no --save_strategy no --report_to none --disable_tqdm true --use_cpu true"
    run(*launch, script, "--data_dir", caption_folder, "--output_dir", out, *options.split())
    summary = json.loads((out / "dsd_summary.json").read_text())
    assert [phase["name"] for phase in summary["phases"]] == ["phase-0-dense", "phase-1-sparse", "phase-2-dense"]
    assert [layer["sparsity"] for layer in summary["phases"][1]["layers"]] == pytest.approx([0.3] * 4, abs=0.01)
    scores = json.loads((out / "test_phase-2-dense.json").read_text())
    assert (scores["metric"], scores["scores"]["bleu4"]) == ("bleu4", pytest.approx(100.0))  # three colours are learnt
    assert scores["scores"]["bleu4_ci"] == pytest.approx([100.0, 100.0])
    assert scores["scores"]["signature"].startswith("nrefs:2|bs:1000")
    assert [example["id"] for example in scores["examples"]] == ["9.jpg", "10.jpg", "11.jpg"]
    assert summary["evaluations"]["test_phase-2-dense_bleu4"] == pytest.approx(100.0)
    assert (out / "model.safetensors").exists()
    assert (out / "tokenizer.json").exists()


def test_plain_loop() -> None:
    text = run(sys.executable, ROOT / "examples" / "plain_loop.py")
    assert re.search(r"^step  400: phase-1-sparse, 50% of 33216 weights pruned$", text, re.MULTILINE)
    losses = [float(loss) for loss in re.findall(r"loss (\S+)", text)]
    assert len(losses) == 6
    assert losses[-1] < losses[0] / 2


def test_the_readme_loop_runs() -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert len(blocks) == 1
    model = build(TinyLSTM)
    loader = DataLoader(classification_rows(12), batch_size=4)
    names = {
        "model": model,
        "optimizer": torch.optim.SGD(model.parameters(), lr=0.1),
        "loader": loader,
        "loss": lambda batch: model(**batch)["loss"],
    }
    exec(blocks[0].replace("[500, 500, 500]", "[1, 1, 1]"), names)  # noqa: S102
    assert names["dsd"].phase.index == 2
