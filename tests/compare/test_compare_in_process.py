"""The Python form: arms of one first phase, averages, resuming, failures."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file
from tiny import TinyLSTM, build, make_trainer
from transformers import set_seed

from hf_dsd import DSDTrainer
from hf_dsd.compare import Comparison, compare

ARMS = ["dsd", "dense", "random", "iterative", "sparse", "ema", "swa"]
QUIET = Console(quiet=True)
built: list[tuple[str, int]] = []


def tiny(arm_options: dict[str, Any], output_dir: str, seed: int) -> DSDTrainer:
    built.append((Path(output_dir).name, seed))
    options = {"phase_steps": [3, 4, 5], "sparsity": 0.5, "eval_strategy": "steps", "eval_steps": 100, **arm_options}
    return make_trainer(output_dir, build(TinyLSTM, seed=seed, dropout=0.3), seed=seed, **options)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All arms with two seeds."""
    folder = tmp_path_factory.mktemp("compare")
    compare(tiny, ARMS, [1, 2], folder, console=QUIET)
    return folder


def test_all_arms_are_compared(out: Path) -> None:
    found = Comparison.read(out)
    assert list(found.arms) == ["dense", "sparse", "random", "ema", "swa", "iterative", "dsd"]
    assert {name: arm.steps for name, arm in found.arms.items()} == {
        **dict.fromkeys(["dense", "random", "ema", "swa", "iterative", "dsd"], 12),
        "sparse": 7,
    }
    assert all(arm.n == 2 for arm in found.arms.values())
    assert len({round(arm.mean, 9) for arm in found.arms.values()}) == 7  # seven different models
    assert [d.arm for d in found.differences] == ["random", "ema", "swa", "iterative", "dsd"]
    assert (found.metric, found.split) == ("eval_loss", "validation")


def test_the_first_phase_is_trained_once(out: Path) -> None:
    for seed in (1, 2):
        summaries = [json.loads((out / f"seed-{seed}" / arm / "dsd_summary.json").read_text()) for arm in ARMS[:4]]
        assert len({summary["phases"][0]["seconds"] for summary in summaries}) == 1
        assert [(out / f"seed-{seed}" / arm / "phase-0-dense").exists() for arm in ARMS[:4]] == [True] + 3 * [False]
        phases = [[phase["sparsity"] for phase in summary["phases"]] for summary in summaries]
        assert phases == [[0, 0.5, 0], [0, 0, 0], [0, 0.5, 0], [0, 0.5, 0, 0.25, 0]]


def test_an_arm_equals_the_run_by_itself(out: Path, tmp_path: Path) -> None:
    set_seed(2)
    alone = tiny({"dsd_control": True}, str(tmp_path / "dense"), 2)
    alone.train()
    shared = load_file(out / "seed-2" / "dense" / "phase-2-dense" / "model.safetensors")
    for name, value in alone.model.state_dict().items():
        assert torch.equal(shared[name], value), name


def test_what_has_finished_is_not_built_again_and_seeds_can_join(out: Path) -> None:
    built.clear()
    found = compare(tiny, ["dsd", "dense", "sparse", "ema", "swa"], [1, 2, 3], out, console=QUIET)
    assert built == [("dsd", 3), ("dense", 3)]
    assert found.arms["dsd"].n == 3
    assert found.arms["random"].n == 2


def test_another_recipe_is_refused(out: Path) -> None:
    with pytest.raises(
        ValueError, match=r"dense: \{'dsd_control': True, 'weight_averages'.* -> \{'dsd_control': True\}"
    ):
        compare(tiny, ["dsd", "dense"], [1], out, console=QUIET)


def test_runs_that_somebody_else_made_are_not_continued(tmp_path: Path) -> None:
    """A run made by hand, of another dropout: the comparison would go on from its checkpoint, and call it its own."""
    options = {"phase_steps": [3, 4, 5], "sparsity": 0.5, "save_strategy": "steps", "save_steps": 10, "seed": 1}
    make_trainer(tmp_path / "seed-1" / "dsd", build(TinyLSTM, dropout=0.9), **options).train()
    with pytest.raises(ValueError, match=r"holds runs that no recipe\.json tells of \(dsd\): give another --out, "):
        compare(tiny, ["dsd"], [1], tmp_path, console=QUIET)
    assert (tmp_path / "seed-1" / "dsd" / "checkpoint-10").is_dir()
    compare(tiny, ["dsd"], [1], tmp_path, console=QUIET, force=True)
    assert not (tmp_path / "seed-1" / "dsd" / "checkpoint-10").exists()


def test_a_failing_arm_does_not_stop_the_others(tmp_path: Path) -> None:
    def failing(arm_options: dict[str, Any], output_dir: str, seed: int) -> DSDTrainer:
        if arm_options.get("mask_criterion") == "random":
            raise ValueError("out of luck")
        return tiny(arm_options, output_dir, seed)

    found = compare(failing, ["dsd", "random", "dense"], [1], tmp_path, console=QUIET)
    assert {run.arm: run.error for run in found.runs if run.status == "failed"} == {"random": "ValueError: out of luck"}
    assert found.arms.keys() == {"dsd", "dense", "sparse"}
    assert "out of luck" in (tmp_path / "seed-1" / "random.log").read_text()
    recipe = json.loads((tmp_path / "recipe.json").read_text())
    assert recipe["calls"] == [{"arms": ["dsd", "random", "dense"], "seeds": [1]}]
    assert found.command == ""


@pytest.mark.parametrize(
    "failure", [KeyError("image_7"), TypeError("a"), IndexError("b"), AttributeError("c"), AssertionError("d")]
)
def test_no_failure_of_a_run_stops_the_others(tmp_path: Path, failure: Exception) -> None:
    begun = []

    def failing(arm_options: dict[str, Any], output_dir: str, seed: int) -> DSDTrainer:
        begun.append((seed, Path(output_dir).name))
        raise failure

    with pytest.raises(FileNotFoundError, match=f"{type(failure).__name__}: "):
        compare(failing, ["dsd", "dense"], [1, 2], tmp_path, console=QUIET)
    assert begun == [(1, "dsd"), (1, "dense"), (2, "dsd"), (2, "dense")]
    assert f"{type(failure).__name__}: {failure}" in (tmp_path / "seed-2" / "dense.log").read_text()


def test_options_that_do_not_arrive_are_a_failure(tmp_path: Path) -> None:
    def deaf(arm_options: dict[str, Any], output_dir: str, seed: int) -> DSDTrainer:
        return tiny({}, output_dir, seed)

    with pytest.raises(FileNotFoundError, match="hand arm_options on to the training arguments"):
        compare(deaf, ["dense"], [1], tmp_path, console=QUIET)
