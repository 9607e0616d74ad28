"""A run's life without any Trainer: the loop below trains, saves and resumes by what `Lifecycle` and a `Host` give."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_model, save_model
from tiny import TinyLSTM, build, classification_rows
from torch import nn

from hf_dsd import DSD, Schedule
from hf_dsd.trainer.lifecycle import Host, Lifecycle
from hf_dsd.trainer.phase_monitor import PhaseMonitor

FACTS = {"optimizer": "AdamW", "lr_scheduler_type": "linear", "batch_size": 4}


def begin(folder: Path, patience: int | None = None, facts: dict | None = None, **options: object) -> Lifecycle:
    """A life of 3 dense, 4 sparse and 5 dense steps."""
    model = build(TinyLSTM)

    def save(target: Path, averaged: nn.Module | None) -> None:
        target.mkdir(parents=True)
        save_model(model if averaged is None else averaged, target / "model.safetensors")

    host = Host(
        folder=folder,
        writes=True,
        save_model=save,
        load_model=lambda source: load_model(model, source / "model.safetensors"),
        wait=lambda: None,
    )
    engine = DSD(model, torch.optim.AdamW(model.parameters(), lr=1e-2), Schedule.from_steps([3, 4, 5], 0.5))
    return Lifecycle(engine, PhaseMonitor("loss", False, patience), host, facts or FACTS, **options)


def train(life: Lifecycle, stop: int = 12, evaluate: object = None, start: int = 0) -> list[int]:
    """Trains to `stop`; returns the steps after which a phase ended."""
    batch = torch.utils.data.default_collate(classification_rows(4))
    ends, step = [], start
    while step < min(stop, life.total_steps):
        life.begin_step(step)
        life.engine.model(**batch)["loss"].backward()
        life.engine.optimizer.step()
        life.engine.optimizer_step()
        life.engine.optimizer.zero_grad()
        step += 1
        ended = life.end_step(step)
        if evaluate is not None:
            ended |= life.after_evaluation({"eval_loss": evaluate(step)}, step)
        if ended:
            ends.append(step)
    return ends


def weights(life: Lifecycle) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in life.engine.model.parameters()]


def test_a_whole_life_leaves_phases_averages_and_a_summary(tmp_path: Path) -> None:
    life = begin(tmp_path, averages=("ema",))
    life.begin(0)
    assert train(life) == [3, 7, 12]
    life.end(12)
    names = ["dsd_summary.json", "phase-0-dense", "phase-1-sparse", "phase-2-dense", "phase-2-dense-ema"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    summary = json.loads((tmp_path / "dsd_summary.json").read_text())
    assert [(phase["name"], phase["finished"]) for phase in summary["phases"]] == [(n, True) for n in names[1:4]]
    assert summary["optimizer"] == "AdamW"
    assert life.has_finished


def test_it_goes_on_where_it_was_saved(tmp_path: Path) -> None:
    unbroken, life = begin(tmp_path / "whole"), begin(tmp_path / "run")
    train(unbroken)
    train(life, stop=5)
    life.save(tmp_path / "checkpoint-5", 5)
    torch.save(life.engine.optimizer.state_dict(), tmp_path / "optimizer.pt")
    resumed = begin(tmp_path / "run")
    with torch.no_grad():
        for mine, saved in zip(resumed.engine.model.parameters(), weights(life), strict=True):
            mine.copy_(saved)
    resumed.engine.optimizer.load_state_dict(torch.load(tmp_path / "optimizer.pt"))
    resumed.load(tmp_path / "checkpoint-5", 5)
    resumed.begin(5, tmp_path / "checkpoint-5")
    assert train(resumed, start=5) == [7, 12]
    assert all(torch.equal(a, b) for a, b in zip(weights(resumed), weights(unbroken), strict=True))


def test_a_converged_phase_is_left_and_its_best_weights_return(tmp_path: Path) -> None:
    life = begin(tmp_path, patience=1, start_from_best=True)
    life.begin(0)
    losses = {1: 1.0, 2: 2.0}  # the dense phase is best after step 1 and left after step 2
    ends = train(life, evaluate=lambda step: losses.get(step, 100.0 - step))
    assert ends[0] == 2
    assert life.engine.left_early[0] == 0
    assert (tmp_path / "phase-0-dense-best-1").is_dir()


def test_an_evaluation_of_the_same_step_counts_once(tmp_path: Path) -> None:
    life = begin(tmp_path, patience=2)
    life.begin(0)
    train(life, stop=2)
    assert [life.after_evaluation({"eval_loss": 1.0}, 2) for _ in range(5)] == [False] * 5
    assert life.monitor.stale == 0


@pytest.mark.parametrize(("stop", "where"), [(3, "phase-0-dense after step 3"), (7, "phase-1-sparse after step 7")])
def test_a_diverged_run_is_called_by_its_name(tmp_path: Path, stop: int, where: str) -> None:
    life = begin(tmp_path)
    train(life, stop=stop - 1)
    life.engine.model.head.weight.data[0, 0] = float("nan")
    with pytest.raises(RuntimeError, match=rf"^training has diverged: .* NaN or inf in {where} \("):
        train(life, stop=stop, start=stop - 1)
    assert not (tmp_path / life.phase.name).exists()
    with pytest.raises(RuntimeError, match="^training has diverged"):
        life.save(tmp_path / "checkpoint", stop)


@pytest.mark.parametrize("step", [5, 7], ids=["inside", "at-the-end"])
@pytest.mark.parametrize(
    ("change", "refused", "said"),
    [
        ({"optimizer": "SGD"}, "was trained by AdamW, this run by SGD: resume with the same optim", ""),
        (
            {"lr_scheduler_type": "cosine"},
            "lr_scheduler_type is 'cosine', the checkpoint's phase-1-sparse began",
            "cos",
        ),
        ({"batch_size": 8}, "", "resuming with batch_size=8, the checkpoint's is 4"),
    ],
)
def test_a_changed_recipe_is_refused_or_said(tmp_path, caplog, step, change, refused, said) -> None:
    life = begin(tmp_path / "run")
    train(life, stop=step)
    life.save(tmp_path / "checkpoint", step)
    resumed = begin(tmp_path / "run", facts=FACTS | change)
    if refused and (step == 5 or "optimizer" in change):
        with pytest.raises(ValueError, match=refused):
            resumed.load(tmp_path / "checkpoint", step)
    else:
        resumed.load(tmp_path / "checkpoint", step)
        assert said in caplog.text


def test_a_kept_checkpoint_that_a_kill_prevented_is_made_on_resume(tmp_path: Path) -> None:
    life = begin(tmp_path, kept=(1,))
    train(life, stop=7)
    life.save(tmp_path / "checkpoint-7", 7)  # killed before keep_checkpoint
    resumed = begin(tmp_path, kept=(1,))
    resumed.load(tmp_path / "checkpoint-7", 7)
    resumed.begin(7, tmp_path / "checkpoint-7")
    assert sorted(p.name for p in (tmp_path / "phase-1-sparse-checkpoint").iterdir()) == sorted(
        p.name for p in (tmp_path / "checkpoint-7").iterdir()
    )


def test_a_branch_of_another_run_keeps_no_checkpoint_of_it(tmp_path: Path) -> None:
    life = begin(tmp_path / "run", kept=(1,))
    train(life, stop=7)
    life.save(tmp_path / "run" / "checkpoint-7", 7)
    branch = begin(tmp_path / "branch", kept=(1,))
    branch.load(tmp_path / "run" / "checkpoint-7", 7)
    branch.begin(7, tmp_path / "run" / "checkpoint-7")
    assert not (tmp_path / "branch").exists()
