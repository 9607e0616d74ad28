"""The demos on a few examples: both arms, their shared dense phase, the table, the texts, the picture and the page."""

from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console
from safetensors.torch import load_file
from typer.testing import CliRunner

from hf_dsd.cli import app
from hf_dsd.demo import captioning_task, run_demo, speech_task

FEW = {"train": 60, "validation": 8, "test": 12}


def test_the_captioning_demo(tmp_path: Path) -> None:
    console = Console(record=True, width=120)
    comparison = run_demo(captioning_task(FEW, phase_epochs=[2, 1, 1], sparsity=0.5), tmp_path, console)
    values = {run.arm: (run.status, run.epochs, len(run.examples)) for run in comparison.runs}
    assert values == {"dense": ("finished", 4, 12), "sparse": ("finished", 3, 12), "dsd": ("finished", 4, 12)}
    assert comparison.metric == "bleu4"
    runs = tmp_path / "seed-0"
    weights = {
        (arm, phase): load_file(runs / arm / phase / "model.safetensors")
        for arm, phase in (("dsd", "phase-1-sparse"), ("dsd", "phase-2-dense"), ("dense", "phase-1-dense"))
    }
    pruned = weights["dsd", "phase-1-sparse"]["decoder.weight"]
    assert int((pruned == 0).sum()) == round(0.5 * pruned.numel())
    assert bool((weights["dense", "phase-1-dense"]["decoder.weight"] != 0).all())
    assert not pruned.equal(weights["dsd", "phase-2-dense"]["decoder.weight"])
    # One arm has trained the first phase for both.
    assert sorted(path.parent.name for path in runs.glob("*/phase-0-dense")) == ["dsd"]
    text = console.export_text()
    assert text.count("a person: ") == text.count("\n  dsd: ") == text.count("\n  dense: ") == 6
    assert text.count("\n  sparse: ") == 6
    assert "dsd - dense by seed: " in text
    with Image.open(tmp_path / "captions.png") as picture:
        assert picture.size == (1386, 968)
    assert (tmp_path / "report.html").is_file()


def test_a_demo_goes_on_where_it_was_interrupted(tmp_path: Path) -> None:
    task = captioning_task(FEW, phase_epochs=[2, 1, 1], sparsity=0.5)
    first = run_demo(task, tmp_path, Console(record=True, width=120))
    before = (tmp_path / "seed-0" / "dsd" / "phase-2-dense" / "model.safetensors").stat().st_mtime_ns
    again = run_demo(task, tmp_path, Console(record=True, width=120))
    assert (tmp_path / "seed-0" / "dsd" / "phase-2-dense" / "model.safetensors").stat().st_mtime_ns == before
    assert [run.value for run in again.runs] == [run.value for run in first.runs]


def test_the_speech_demo(tmp_path: Path) -> None:
    console = Console(record=True, width=120)
    task = speech_task({"train": 32, "validation": 4, "test": 6}, phase_epochs=[2, 1, 1])
    comparison = run_demo(task, tmp_path, console)
    assert {run.arm: run.epochs for run in comparison.runs} == {"dense": 4, "sparse": 3, "dsd": 4}
    text = console.export_text()
    assert text.count("a person: ") == 6
    assert "decoding:greedy" in text
    sparse = load_file(tmp_path / "seed-0" / "dsd" / "phase-1-sparse" / "model.safetensors")
    control = load_file(tmp_path / "seed-0" / "dense" / "phase-1-dense" / "model.safetensors")
    for name in ("recurrent.0.recurrence.weight_hh", "recurrent.1.input_projection.weight", "dense.weight"):
        assert int((sparse[name] == 0).sum()) == round(0.5 * sparse[name].numel()), name
        assert bool((control[name] != 0).all()), name
    assert bool((sparse["convolutions.0.convolution.weight"] != 0).all())  # the paper leaves it dense


@pytest.mark.parametrize("word", ["captioning", "speech"])
def test_help(word: str) -> None:
    result = CliRunner().invoke(app, ["demo", "--help"])
    assert result.exit_code == 0
    assert word in result.output
