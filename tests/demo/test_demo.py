"""The demos on a few examples: both arms, their shared dense phase, the table, the texts, the picture and the page."""

import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console
from safetensors.torch import load_file
from typer.testing import CliRunner

from hf_dsd.cli import app
from hf_dsd.compare import Comparison
from hf_dsd.demo import DemoTask, captioning_task, run_demo, speech_task
from hf_dsd.demo.speech import mark_transcript

FEW = {"train": 60, "validation": 8, "test": 12}
MODELS = ("first dense phase", "dense control", "stopped early", "sparse", "DSD")
few_captions = partial(captioning_task, FEW, (0,), phase_epochs=[2, 1, 1], sparsity=0.5)


def run(make_task: Callable[[], DemoTask], folder: Path) -> tuple[Comparison, str]:
    """Runs a demo; returns its comparison and what it printed."""
    console = Console(record=True, width=120)
    return run_demo(make_task, folder, console), console.export_text()


def test_the_captioning_demo(tmp_path: Path) -> None:
    comparison, text = run(few_captions, tmp_path)
    values = {run.arm: (run.status, len(run.examples)) for run in comparison.runs}
    assert values == dict.fromkeys(("dense", "early", "sparse", "dsd"), ("finished", 12))
    assert {run.arm: run.epochs for run in comparison.runs if run.arm != "early"} == {"dense": 4, "sparse": 3, "dsd": 4}
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
    # The control, which looks for the early stop, has trained the first phase for both.
    assert sorted(path.parent.name for path in runs.glob("*/phase-0-dense")) == ["dense"]
    assert text.count("\n  a person: ") == 6
    assert [text.count(f"\n  {model}: ") for model in MODELS] == [6] * 5
    with Image.open(tmp_path / "captions.png") as picture:
        assert picture.size == (1380, 980)
    assert (tmp_path / "report.html").is_file()


def test_a_demo_says_what_it_does_and_ends_with_the_verdict(tmp_path: Path) -> None:
    comparison, text = run(few_captions, tmp_path)
    steps = [
        "1 of 3 Making the data",
        "2 of 3 Training",
        "seed 0, for all: phase 1, dense, 24 steps",
        "seed 0, dense control (same budget): phase 2, dense, 12 steps",
        "scoring on the test split",
        "seed 0, DSD: phase 2, sparse, 50 % of every layer at zero, 12 steps",
        "seed 0, DSD: phase 3, dense, 12 steps",
        "3 of 3 Writing the report",
        *(f"{model}  " for model in MODELS),  # the table
        "dsd and dense cannot be compared: no model reaches a BLEU-4 other than 0.00",
        "Now your own: hf-dsd compare",
    ]
    places = [text.find(step) for step in steps]
    assert -1 not in places
    assert places == sorted(places)
    assert comparison.verdict is not None
    assert text.count(" 0 %") == 5  # a model that names no shape has said nothing right


def test_a_demo_goes_on_where_it_was_interrupted(tmp_path: Path) -> None:
    first, _ = run(few_captions, tmp_path)
    before = (tmp_path / "seed-0" / "dsd" / "phase-2-dense" / "model.safetensors").stat().st_mtime_ns
    again, _ = run(few_captions, tmp_path)
    assert (tmp_path / "seed-0" / "dsd" / "phase-2-dense" / "model.safetensors").stat().st_mtime_ns == before
    assert [run.value for run in again.runs] == [run.value for run in first.runs]


def test_an_interrupted_demo_says_how_to_go_on(tmp_path: Path) -> None:
    """Ctrl-C once the first run trains."""
    folder = tmp_path / "runs with a space"
    process = subprocess.Popen(
        [sys.executable, "-m", "hf_dsd", "demo", "--output-dir", str(folder)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for line in process.stdout:
        if "phase 1" in line:
            process.send_signal(signal.SIGINT)
            break
    rest = process.stdout.read()
    assert process.wait(timeout=120) == 130
    assert f"stopped: hf-dsd demo --task captioning --output-dir '{folder}' goes on" in rest.replace("\n", "")


def test_the_speech_demo(tmp_path: Path) -> None:
    comparison, text = run(
        partial(speech_task, {"train": 32, "validation": 4, "test": 6}, phase_epochs=[2, 1, 1]), tmp_path
    )
    assert {run.arm for run in comparison.runs} == {"dense", "early", "sparse", "dsd"}
    assert text.count("a person: ") == 6
    assert [text.count(f"\n  {model}: ") for model in MODELS] == [6] * 5
    assert "Now your own: hf-dsd compare" in text
    sparse = load_file(tmp_path / "seed-0" / "dsd" / "phase-1-sparse" / "model.safetensors")
    control = load_file(tmp_path / "seed-0" / "dense" / "phase-1-dense" / "model.safetensors")
    for name in ("recurrent.0.recurrence.weight_hh", "recurrent.1.input_projection.weight", "dense.weight"):
        assert int((sparse[name] == 0).sum()) == round(0.5 * sparse[name].numel()), name
        assert bool((control[name] != 0).all()), name
    assert bool((sparse["convolutions.0.convolution.weight"] != 0).all())  # the paper leaves it dense


@pytest.mark.parametrize(
    ("text", "marked"),
    [
        ("one two three", "one two three"),
        ("one four three", "one [four] three"),
        ("one three", "one [...] three"),
        ("one two two three", "one two [two] three"),
        ("", "[...]"),
    ],
    ids=["right", "another word", "a missing word", "one word more", "nothing"],
)
def test_mistakes_of_transcripts_are_marked(text: str, marked: str) -> None:
    words = mark_transcript(text, "one two three")
    assert " ".join(f"[{word}]" if wrong else word for word, wrong in words) == marked


@pytest.mark.parametrize("word", ["captioning", "speech"])
def test_help(word: str) -> None:
    result = CliRunner().invoke(app, ["demo", "--help"])
    assert result.exit_code == 0
    assert word in result.output
