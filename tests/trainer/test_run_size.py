"""What a run leaves on the disk: which phases, and how much, said before it."""

import logging
from pathlib import Path
from typing import Any

import pytest
from tiny import FEATURES, arguments, build, make_trainer
from torch import Tensor, nn

from hf_dsd.runs.run import finished_models
from hf_dsd.trainer import run_size


def written(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_only_the_phases_that_are_wanted_are_saved(tmp_path: Path) -> None:
    """What an earlier run left is not taken for this one's."""
    make_trainer(tmp_path).train()
    assert finished_models(tmp_path) == ["phase-0-dense", "phase-1-sparse", "phase-2-dense"]
    trainer = make_trainer(tmp_path, keep_phases=[1, 2])
    trainer.train()
    assert sorted(path.name for path in tmp_path.glob("phase-*")) == ["phase-1-sparse", "phase-2-dense"]
    assert finished_models(tmp_path) == ["phase-1-sparse", "phase-2-dense"]
    assert [phase["finished"] for phase in trainer.summary.phases] == [True] * 3


@pytest.mark.parametrize(
    ("kept", "message"),
    [
        ([0, 1], r"^keep_phases must include the last phase, the run's result, got \[0, 1\]: add 2$"),
        ([2, 3], r"^keep_phases must name phases 0 \.\. 2, got \[3\]$"),
    ],
    ids=["without the last", "too many"],
)
def test_keep_phases_names_phases_of_the_run(kept: list[int], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        arguments(tmp_path, keep_phases=kept)


class Wide(nn.Module):
    """100,000 weights, so that the small files of a run hardly count."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(FEATURES, 200), nn.ReLU(), nn.Linear(200, 500), nn.Linear(500, 3))

    def forward(self, x: Tensor, labels: Tensor) -> dict[str, Tensor]:
        logits = self.layers(x).mean(dim=1)
        return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}


@pytest.mark.parametrize(
    ("options", "models", "checkpoints"),
    [
        ({}, 3, 0),
        ({"keep_phases": [2], "save_strategy": "steps", "save_steps": 5}, 1, 3),
        ({"save_strategy": "epoch", "save_total_limit": 1, "optim": "sgd", "optim_args": "momentum=0.9"}, 3, 1),
        ({"save_strategy": "steps", "save_steps": 0.5, "optim": "sgd", "weight_averages": ["ema"]}, 4, 2),
        ({"save_strategy": "epoch", "keep_phase_checkpoints": [0], "save_total_limit": 1}, 3, 2),
        ({"save_strategy": "epoch", "keep_early_stop": True, "eval_strategy": "epoch", "save_only_model": True}, 4, 2),
    ],
    ids=["models", "steps", "momentum", "averages", "kept checkpoint", "early stop"],
)
def test_the_size_said_before_is_the_size_after(
    options: dict[str, Any],
    models: int,
    checkpoints: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(run_size, "_MUCH", 10**6)
    trainer = make_trainer(tmp_path, build(Wide), **options)
    with caplog.at_level(logging.WARNING, "hf_dsd"):
        trainer.train()
    parts = run_size.run_parts(trainer, run_size._checkpoints(trainer.args, 12, 6))
    assert {what: count for what, (count, _) in parts.items()} == {"model(s)": models, "checkpoint(s)": checkpoints}
    assert sum(count * size for count, size in parts.values()) == pytest.approx(written(tmp_path), rel=0.15)
    said = [record.getMessage() for record in caplog.records if "the run's folder will hold about" in record.msg]
    assert len(said) == 1
    assert f"({models} model(s) of 0.00 GB" in said[0]
