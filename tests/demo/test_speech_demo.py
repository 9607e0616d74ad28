"""The speech demo on a few recordings: both arms, their shared dense phase, and the table."""

import re
from pathlib import Path

import pytest
from rich.console import Console
from safetensors.torch import load_file

from hf_dsd.data import make_spoken_digits
from hf_dsd.demo import SpeechDemo, report, run_speech_demo

FEW = {"train": 32, "validation": 4, "test": 6}


def small(folder: Path) -> SpeechDemo:
    return SpeechDemo(folder, phase_epochs=(2, 1, 1), digits=make_spoken_digits(FEW))


def test_both_arms_and_the_printed_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "SpeechDemo", small)
    console = Console(record=True, width=120)
    run_speech_demo(tmp_path, console)
    text = console.export_text()
    for row, epochs in (("dense control", 4), ("sparse phase", 3), ("DSD", 4)):
        cells = re.search(rf"{row}[^│]*│(.*)│", text)
        assert cells is not None, text
        assert [float(cell) for cell in re.findall(r"\d+(?:\.\d+)?", cells[1])][3] == epochs  # WER, CER, loss, epochs
    assert text.count("a person:") == 6
    assert "decoding:greedy" in text
    sparse = load_file(tmp_path / "dsd" / "phase-1-sparse" / "model.safetensors")
    control = load_file(tmp_path / "dense-control" / "phase-1-dense" / "model.safetensors")
    for name in ("recurrent.0.recurrence.weight_hh", "recurrent.1.input_projection.weight", "dense.weight"):
        assert int((sparse[name] == 0).sum()) == round(0.5 * sparse[name].numel()), name
        assert bool((control[name] != 0).all()), name
    assert bool((sparse["convolutions.0.convolution.weight"] != 0).all())  # the paper leaves it dense
