"""The demo on a few scenes: both arms, their shared dense phase, the table and the picture."""

import re
from pathlib import Path

import pytest
import torch
from PIL import Image
from rich.console import Console
from safetensors.torch import load_file
from typer.testing import CliRunner

from hf_dsd.cli import app
from hf_dsd.data import make_scenes
from hf_dsd.demo import CaptioningDemo, report, run_captioning_demo
from hf_dsd.runs.scores import PhaseScores

FEW = {"train": 60, "validation": 8, "test": 12}


def test_both_arms_share_the_first_phase_and_the_budget(tmp_path: Path) -> None:
    demo = CaptioningDemo(tmp_path, phase_epochs=(2, 1, 1), scenes=make_scenes(FEW))
    control, sparse, dsd = demo.run()
    assert (control.epochs, sparse.epochs, dsd.epochs) == (4, 3, 4)
    assert 0 < sparse.seconds < dsd.seconds
    weights = {
        (arm, phase): load_file(tmp_path / arm / phase / "model.safetensors")
        for arm, phase in (("dsd", "phase-1-sparse"), ("dsd", "phase-2-dense"), ("dense-control", "phase-1-dense"))
    }
    assert bool((weights["dense-control", "phase-1-dense"]["decoder.weight"] != 0).all())
    for name in ("image_encoder.weight", "lstm.weight_ih_l0", "lstm.weight_hh_l0", "decoder.weight"):
        sparse_weight = weights["dsd", "phase-1-sparse"][name]
        assert int((sparse_weight == 0).sum()) == round(0.5 * sparse_weight.numel()), name
    assert bool((weights["dsd", "phase-1-sparse"]["word_embedding.weight"] != 0).all())
    assert len(dsd.scores.examples) == FEW["test"]
    assert PhaseScores.read(tmp_path / "dsd", "phase-2-dense") == dsd.scores
    assert not torch.equal(weights["dsd", "phase-2-dense"]["decoder.weight"], sparse_weight)
    for result in (control, sparse, dsd):
        assert 0 <= result.scores.value <= result.scores.scores["bleu1"] <= 100


def test_output_of_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = lambda folder: CaptioningDemo(folder, phase_epochs=(1, 1, 1), scenes=make_scenes(FEW))  # noqa: E731
    monkeypatch.setattr(report, "CaptioningDemo", small)
    console = Console(record=True, width=120)
    run_captioning_demo(tmp_path, console)
    text = console.export_text()
    for row in ("dense control", "sparse phase", "DSD"):
        cells = re.search(rf"{row}[^│]*│(.*)│", text)
        assert cells is not None, text
        assert len(re.findall(r"\d+(?:\.\d+)?", cells[1])) == 7  # BLEU-1..4, loss, epochs, seconds
    assert text.count("a person:") == 6
    with Image.open(tmp_path / "captions.png") as picture:
        assert picture.size == (1386, 968)


def test_help() -> None:
    result = CliRunner().invoke(app, ["demo", "--help"])
    assert result.exit_code == 0
    assert "captioning" in result.output
