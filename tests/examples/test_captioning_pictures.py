"""Pictures and a Karpathy JSON in, a captioner out that a pipeline loads: the script as a newcomer runs it."""

import json
import sys
from pathlib import Path

import pytest
from PIL import Image
from scripts import ROOT, run
from transformers import AutoModelForImageTextToText, ResNetConfig, ResNetModel, pipeline
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

import hf_dsd  # noqa: F401  (its models register with the pipelines)

COLOURS = ("red", "green", "blue")


@pytest.fixture
def encoder(tmp_path: Path) -> Path:
    """A ResNet of a few random weights: even they tell red from green."""
    ResNetModel(ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1])).save_pretrained(tmp_path / "net")
    ViTImageProcessorPil(size={"height": 16, "width": 16}).save_pretrained(tmp_path / "net")
    return tmp_path / "net"


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    (tmp_path / "pictures").mkdir()
    for number in range(12):
        Image.new("RGB", (20, 20), COLOURS[number % 3]).save(tmp_path / "pictures" / f"{number}.png")
    return tmp_path / "pictures"


def test_ones_own_pictures_are_captioned(tmp_path: Path, encoder: Path, pictures: Path) -> None:
    images = [
        {
            "filename": f"{number}.png",
            "split": "train" if number < 6 else "val" if number < 9 else "test",
            "sentences": [{"raw": f"A plain {COLOURS[number % 3]} square on paper ."}] * 2,
        }
        for number in range(12)
    ]
    (tmp_path / "dataset.json").write_text(json.dumps({"images": images}))
    options = "--min_count 1 --hidden_size 16 --word_embedding_size 16 --encoder_dropout 0 --decoder_dropout 0"
    options += " --generation_num_beams 2 --phase_epochs 40 20 10 --learning_rate 2e-2 --sparsity 0.3 --use_cpu true"
    options += " --per_device_train_batch_size 4 --eval_strategy no --save_strategy no --report_to none --seed 1"
    script, out = ROOT / "examples" / "run_captioning.py", tmp_path / "out"
    files = ["--image_dir", pictures, "--captions", tmp_path / "dataset.json", "--image_encoder", encoder]
    run(sys.executable, script, *files, "--output_dir", out, *options.split(), "--disable_tqdm", "true")
    assert len(list(pictures.rglob("net-*/*.safetensors"))) == 1
    for folder in (out, out / "phase-1-sparse"):
        captioner = pipeline("image-text-to-text", model=str(folder))
        for number in range(9, 12):
            caption = captioner(str(pictures / f"{number}.png"), text="")[0]["generated_text"]
            assert caption.strip() == f"a plain {COLOURS[number % 3]} square on paper"
    summary = json.loads((out / "dsd_summary.json").read_text())
    assert len(summary["phases"][1]["layers"]) == 4  # the encoder is never pruned
    # Another training goes on from the model, whose folder holds the encoder, and with no new vectors.
    files[-1] = str(out)
    again = ["--output_dir", tmp_path / "again", "--model_name_or_path", out, "--phase_steps", "1", "1", "1"]
    options = "--sparsity 0.3 --use_cpu true --do_predict false --eval_strategy no --save_strategy no --report_to none"
    run(sys.executable, script, *files, *again, *options.split())
    assert len(list(pictures.rglob("*.safetensors"))) == 1
    assert AutoModelForImageTextToText.from_pretrained(tmp_path / "again").vision_encoder is not None
