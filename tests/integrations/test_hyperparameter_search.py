"""`Trainer.hyperparameter_search` by optuna over what DSD adds: the sparsity and the phases' lengths."""

import json
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from tiny import TinyLSTM, arguments, build, classification_rows

from hf_dsd import DSDTrainer

optuna = pytest.importorskip("optuna", reason="the integrations extra is not installed")


def make_search(folder: Path, **options: Any) -> DSDTrainer:
    rows = classification_rows(24)
    return DSDTrainer(
        model_init=lambda: build(TinyLSTM),
        args=arguments(folder, **options),
        train_dataset=rows,
        eval_dataset=rows[:8],
    )


def search(trainer: DSDTrainer, points: list[dict[str, Any]], space: Any, **options: Any) -> Any:
    """Tries exactly `points`, in order."""
    sampler = optuna.samplers.GridSampler({name: [p[name] for p in points] for name in points[0]}, seed=0)
    study = {"sampler": sampler, **options}
    return trainer.hyperparameter_search(space, n_trials=len(points), direction="minimize", backend="optuna", **study)


def sparsities(folder: Path) -> set[float]:
    weights = load_file(folder / "model.safetensors")
    return {int((weights[name] == 0).sum()) / weights[name].numel() for name in TinyLSTM.pruned}


def test_trials_over_sparsity_have_folders_of_their_own(tmp_path: Path) -> None:
    trainer = make_search(tmp_path)
    points = [{"sparsity": 0.4}, {"sparsity": 0.6}]
    best = search(trainer, points, lambda trial: {"sparsity": trial.suggest_float("sparsity", 0.0, 0.9)})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run-0", "run-1"]
    tried = {}
    for run in tmp_path.iterdir():
        assert {p.name for p in run.glob("phase-*")} == {"phase-0-dense", "phase-1-sparse", "phase-2-dense"}
        summary = json.loads((run / "dsd_summary.json").read_text())
        planned = summary["phases"][1]["sparsity"]
        assert all(abs(found - planned) < 0.05 for found in sparsities(run / "phase-1-sparse"))
        tried[planned] = summary["phases"][2]["metrics"]["eval_loss"]
    assert sorted(tried) == [0.4, 0.6]
    assert best.objective == min(tried.values())  # the loss at the run's end decides
    assert tried[best.hyperparameters["sparsity"]] == best.objective


def phases_of(trial: Any) -> dict[str, Any]:
    dense = trial.suggest_int("dense", 1, 9)
    return {"phase_steps": [dense, 2, 3], "phase_learning_rates": [1e-2 * dense, 1e-2, 1e-3]}


def test_trials_over_the_phases_lengths_and_rates(tmp_path: Path) -> None:
    trainer = make_search(tmp_path, phase_steps=[4, 4, 4], phase_learning_rates=[1e-2, 1e-2, 1e-3])
    search(trainer, [{"dense": 1}, {"dense": 5}, {"dense": 3}], phases_of)
    found = {}
    for run in tmp_path.iterdir():
        phases = json.loads((run / "dsd_summary.json").read_text())["phases"]
        found[phases[0]["end"]] = [(p["end"], p["learning_rate"], p["finished"]) for p in phases]
    assert found == {
        n: [(n, pytest.approx(1e-2 * n), True), (n + 2, 1e-2, True), (n + 5, 1e-3, True)] for n in (1, 3, 5)
    }


def test_trials_over_phases_in_epochs(tmp_path: Path) -> None:
    trainer = make_search(tmp_path, phase_steps=None, phase_epochs=[1, 1, 1])
    space = lambda trial: {"phase_epochs": [trial.suggest_int("dense", 1, 9), 0.5, 1]}  # noqa: E731
    search(trainer, [{"dense": 1}, {"dense": 2}], space)
    ends = sorted(
        [phase["end"] for phase in json.loads((run / "dsd_summary.json").read_text())["phases"]]
        for run in tmp_path.iterdir()
    )
    assert ends == [[6, 9, 15], [12, 15, 21]]  # 6 steps an epoch


def test_a_trial_out_of_range_is_refused(tmp_path: Path) -> None:
    trainer = make_search(tmp_path)
    with pytest.raises(ValueError, match=r"^sparsity must be a fraction in \[0, 1\), got 30; write 0\.3 for 30 %$"):
        search(trainer, [{"sparsity": 30.0}], lambda trial: {"sparsity": trial.suggest_float("sparsity", 0, 90)})


def test_a_pruned_trial_leaves_its_phases_where_they_are(tmp_path: Path) -> None:
    """Optuna stops the second trial at its first evaluation, in the dense phase; the third is whole again."""

    class Second(optuna.pruners.BasePruner):
        def prune(self, study: Any, trial: Any) -> bool:
            return trial.number == 1

    trainer = make_search(tmp_path)
    points = [{"sparsity": s} for s in (0.3, 0.5, 0.7)]
    space = lambda trial: {"sparsity": trial.suggest_float("sparsity", 0.0, 0.9)}  # noqa: E731
    search(trainer, points, space, pruner=Second())
    finished = {
        run.name: [p["finished"] for p in json.loads((run / "dsd_summary.json").read_text())["phases"]]
        for run in tmp_path.iterdir()
    }
    assert finished == {"run-0": [True] * 3, "run-1": [True], "run-2": [True] * 3}
