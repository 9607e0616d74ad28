"""A comparison whose recipe ends in its sparse phase: its table, its page and its card say that the model is sparse."""

from pathlib import Path
from typing import Any

import pytest
from page_text import section
from rich.console import Console
from tiny import TinyLSTM, build, make_trainer

from hf_dsd import DSDTrainer
from hf_dsd.compare import Comparison, compare
from hf_dsd.hub import Results, plan_revisions, render_card
from hf_dsd.report import write_report
from hf_dsd.runs.run import Run


def tiny(arm_options: dict[str, Any], output_dir: str, seed: int) -> DSDTrainer:
    options = {"phase_steps": [3, 4], "eval_strategy": "steps", "eval_steps": 100, **arm_options}
    return make_trainer(output_dir, build(TinyLSTM, seed=seed), seed=seed, **options)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sparse")
    compare(tiny, ["dsd", "dense", "random", "sparse"], [1, 2], folder, console=Console(quiet=True))
    return folder


def test_the_control_is_as_long_and_the_label_says_sparse(out: Path) -> None:
    found = Comparison.read(out)
    assert {name: (arm.label, arm.steps) for name, arm in found.arms.items()} == {
        "dense": ("dense control (same budget)", 7),
        "sparse": ("sparse phase of DSD", 7),
        "random": ("sparse training with random masks", 7),
        "dsd": ("sparse training (same budget)", 7),
    }
    assert [one.arm for one in found.differences] == ["random", "dsd"]  # `sparse` is the same model once more
    assert found.arms["sparse"].mean == found.arms["dsd"].mean


def test_the_page_restores_no_weight(out: Path) -> None:
    write_report(out / "seed-1" / "dsd")
    page = out / "seed-1" / "dsd" / "report.html"
    assert "TinyLSTM: dense, sparse" in page.read_text(encoding="utf-8")
    weights = section(page, "weights")
    assert "(3) at the end of phase-1-sparse. All have one scale" in weights
    assert "The run ends with this sparse phase: its pruned weights stay at zero." in weights
    assert "D 3 → S 50% 4 steps" in page.read_text(encoding="utf-8")


def test_the_card_calls_the_model_sparse(out: Path) -> None:
    card = render_card(Results.from_comparison(out))
    assert ", trained sparse" in card
    assert "the last phase is a sparse one, and its model the result." in card
    assert "The model is sparse, and stored as an ordinary model of its class" in card
    assert "regrow" not in card
    revisions = plan_revisions(Run.read(out / "seed-1" / "dsd"))
    assert [(one.name, one.phase) for one in revisions] == [("dense", "phase-0-dense"), ("main", "phase-1-sparse")]
