"""Resuming anywhere equals never having stopped: weights, masks, learning rate, optimizer state."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import TinyGPT2, TinyLSTM, build, make_trainer
from transformers import TrainerCallback

from hf_dsd import DSDTrainer
from hf_dsd.engine.mask_file import STATE_FILE_NAME, read_state_file
from hf_dsd.runs.checkpoints import FILE_LIST_NAME
from hf_dsd.runs.run import finished_phases

BOUNDARIES = (3, 7)  # of the phases of 3, 4 and 5 steps
RUN = {"save_strategy": "steps", "save_steps": 1, "weight_decay": 0.1, "reset_optimizer_state": "masked"}


def checkpoint(folder: Path, step: int) -> str:
    return str(folder / f"checkpoint-{step}")


def assert_same_run(resumed: DSDTrainer, whole: DSDTrainer, start: int) -> None:
    """The last weights, the optimizer's state and every log line after `start` are equal to the bit."""
    for (name, got), want in zip(resumed.model.named_parameters(), whole.model.parameters(), strict=True):
        assert torch.equal(got, want), name
    got_state, want_state = resumed.optimizer.state_dict(), whole.optimizer.state_dict()
    assert got_state["param_groups"] == want_state["param_groups"]
    for index, state in want_state["state"].items():
        for key, value in state.items():
            assert torch.equal(got_state["state"][index][key], value), (index, key)
    keys = ("step", "loss", "learning_rate", "dsd_phase", "dsd_sparsity", "eval_loss")
    logs = [
        [{key: line.get(key) for key in keys} for line in t.state.log_history[:-1] if line["step"] > start]
        for t in (resumed, whole)
    ]
    assert logs[0] == logs[1]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> DSDTrainer:
    """An unbroken run with a checkpoint after every step, dropout on and data shuffled."""
    torch.manual_seed(0)
    trainer = make_trainer(tmp_path_factory.mktemp("whole"), build(TinyLSTM, dropout=0.3), **RUN)
    trainer.train()
    return trainer


@pytest.mark.parametrize("step", [1, *(b + d for b in BOUNDARIES for d in (-1, 0, 1)), 11])
def test_resuming_equals_the_unbroken_run(tmp_path: Path, whole: DSDTrainer, step: int) -> None:
    resumed = make_trainer(tmp_path, build(TinyLSTM, seed=9, dropout=0.3), **RUN)
    resumed.train(resume_from_checkpoint=checkpoint(Path(whole.args.output_dir), step))
    assert_same_run(resumed, whole, step)
    for later in range(step + 1, 13):  # the checkpoints that the resumed run wrote hold the same masks
        pair = [load_file(Path(checkpoint(Path(t.args.output_dir), later)) / STATE_FILE_NAME) for t in (resumed, whole)]
        assert pair[0].keys() == pair[1].keys()
        assert all(torch.equal(pair[0][name], pair[1][name]) for name in pair[0])


def test_masks_in_checkpoints(whole: DSDTrainer) -> None:
    for step in range(1, 13):
        masks = load_file(Path(checkpoint(Path(whole.args.output_dir), step)) / STATE_FILE_NAME)
        assert bool(masks) == (4 <= step <= 7), step
        assert set(masks) in (set(), set(TinyLSTM.pruned))
    sizes = {name: p.numel() for name, p in whole.model.named_parameters()}
    masks = load_file(Path(checkpoint(Path(whole.args.output_dir), 5)) / STATE_FILE_NAME)
    assert {name: mask.numel() for name, mask in masks.items()} == {n: -(-sizes[n] // 8) for n in TinyLSTM.pruned}


@pytest.mark.parametrize("reset", ["none", "all"])
def test_resuming_across_redense_with_other_resets(tmp_path: Path, reset: str) -> None:
    options = RUN | {"reset_optimizer_state": reset}
    unbroken = make_trainer(tmp_path / "whole", **options)
    unbroken.train()
    for step in (6, 7, 8):
        resumed = make_trainer(tmp_path / f"resumed-{step}", build(TinyLSTM, seed=9), **options)
        resumed.train(resume_from_checkpoint=checkpoint(tmp_path / "whole", step))
        assert_same_run(resumed, unbroken, step)


def test_resuming_with_accumulation_inside_an_epoch(tmp_path: Path) -> None:
    options = RUN | {"gradient_accumulation_steps": 3, "per_device_train_batch_size": 2}
    unbroken = make_trainer(tmp_path / "whole", build(TinyGPT2), rows=28, **options)
    unbroken.train()
    for step in (4, 5, 8):  # an epoch has 5 steps, the last of two micro-batches
        resumed = make_trainer(tmp_path / f"resumed-{step}", build(TinyGPT2, seed=9), rows=28, **options)
        resumed.train(resume_from_checkpoint=checkpoint(tmp_path / "whole", step))
        assert_same_run(resumed, unbroken, step)


def test_resuming_after_a_phase_was_left_early(tmp_path: Path) -> None:
    """A learning rate too small to improve anything: every phase ends after one evaluation without improvement."""
    options = RUN | {"eval_strategy": "steps", "eval_steps": 1, "phase_patience": 1, "metric_for_best_model": "loss"}
    options |= {"phase_steps": [8, 8, 8], "learning_rate": 1e-30, "phase_start": "best", "weight_decay": 0.0}
    unbroken = make_trainer(tmp_path / "whole", **options)
    unbroken.train()
    assert [(p.start, p.end) for p in unbroken.dsd.schedule.phases] == [(0, 2), (2, 4), (4, 6)]
    assert unbroken.state.global_step == 6
    for step in range(1, 6):
        folder = tmp_path / f"resumed-{step}"
        shutil.copytree(tmp_path / "whole", folder)  # phase_start="best" finds its weights in the run's folder
        resumed = make_trainer(folder, build(TinyLSTM, seed=9), **options)
        resumed.train(resume_from_checkpoint=checkpoint(tmp_path / "whole", step))
        assert resumed.state.global_step == 6
        assert resumed.dsd.left_early == [0, 1, 2]
        assert_same_run(resumed, unbroken, step)


def test_a_killed_run_continues(tmp_path: Path) -> None:
    """Kill -9 in the sparse phase of a real process; a new process resumes from its last checkpoint."""
    script = Path(__file__).parents[1] / "killable_run.py"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([sys.executable, script, tmp_path / "killed", "0.3"], env=environment)
    deadline = time.monotonic() + 120
    while not (tmp_path / "killed" / "checkpoint-5" / "trainer_state.json").exists():
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "killed" / "checkpoint-12").exists()
    subprocess.run([sys.executable, script, tmp_path / "killed", "0", "resume"], env=environment, check=True)
    subprocess.run([sys.executable, script, tmp_path / "whole", "0"], env=environment, check=True)
    weights = [load_file(tmp_path / run / "checkpoint-12" / "model.safetensors") for run in ("killed", "whole")]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[1])


# What may not be resumed says why


@pytest.fixture
def copied(tmp_path: Path, whole: DSDTrainer) -> Path:
    """A checkpoint of the sparse phase that a test may damage, as of a version that kept no list of its files."""
    copy = Path(shutil.copytree(checkpoint(Path(whole.args.output_dir), 5), tmp_path / "checkpoint-5"))
    (copy / FILE_LIST_NAME).unlink()
    return copy


def resume(folder: Path, tmp_path: Path, **options: object) -> None:
    make_trainer(tmp_path / "out", build(TinyLSTM), **RUN | options).train(resume_from_checkpoint=str(folder))


def test_missing_masks(tmp_path: Path, copied: Path) -> None:
    (copied / STATE_FILE_NAME).unlink()
    with pytest.raises(FileNotFoundError, match=r"dsd_masks\.safetensors is missing: a DSD run cannot resume without"):
        resume(copied, tmp_path)


def test_truncated_masks(tmp_path: Path, copied: Path) -> None:
    path = copied / STATE_FILE_NAME
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(ValueError, match=r"dsd_masks\.safetensors is damaged"):
        resume(copied, tmp_path)


def test_masks_of_other_weights(tmp_path: Path, copied: Path, whole: DSDTrainer) -> None:
    model = copied / "model.safetensors"
    weights = load_file(model)
    weights["head.weight"] = weights["head.weight"] + 1
    save_file(weights, model, metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"pruned entries of \['head\.weight'\] are not zero"):
        resume(copied, tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"sparsity": 0.25},
            r"^the checkpoint's phase-1-sparse was steps 3 to 7, sparsity 0\.5.*plans steps 3 to 7, sparsity 0\.25",
        ),
        ({"phase_steps": [3, 5, 5]}, r"^the checkpoint's phase-1-sparse was steps 3 to 7,.* plans steps 3 to 8,"),
        ({"phase_steps": [2, 4, 5]}, r"^the checkpoint's phase-0-dense was"),
        ({"phase_learning_rates": [1e-2, 1e-3, 1e-3]}, r"^the checkpoint's phase-1-sparse was"),
        ({"dsd_control": True}, r"^the checkpoint's phase-1-sparse was"),
        ({"dense_modules": ["head"]}, r"^the checkpoint masks other parameters .*\['head\.weight'\] differ"),
        ({"mask_criterion": "random"}, r"^mask_criterion is random, the checkpoint's is magnitude$"),
        ({"sparsity_overrides": {"head": 0.2}}, r"^the checkpoint's mask of head\.weight keeps 15, not 24 weights$"),
    ],
    ids=["sparsity", "length", "past", "rate", "control", "targets", "criterion", "override"],
)
def test_another_recipe(tmp_path: Path, whole: DSDTrainer, options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        resume(Path(checkpoint(Path(whole.args.output_dir), 5)), tmp_path, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"optim": "sgd"}, r"^the checkpoint was trained by AdamW, this run by SGD: resume with the same optim$"),
        (
            {"lr_scheduler_type": "cosine"},
            r"^lr_scheduler_type is 'cosine', the checkpoint's phase-1-sparse began with",
        ),
        (
            {"warmup_steps": 1},
            r"^warmup_steps is 1, the checkpoint's phase-1-sparse began with 0: resume with",
        ),
        ({"mask_gradients": True}, r"^mask_gradients is True, the checkpoint's phase-1-sparse began with False"),
    ],
    ids=["optimizer", "curve", "warm-up", "gradients"],
)
def test_a_phase_goes_on_as_it_began(tmp_path: Path, whole: DSDTrainer, options: dict[str, object], message: str):
    with pytest.raises(ValueError, match=message):
        resume(Path(checkpoint(Path(whole.args.output_dir), 5)), tmp_path, **options)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"per_device_train_batch_size": 2}, "resuming with batch_size=2, the checkpoint's is 4"),
        ({"gradient_accumulation_steps": 2}, "resuming with gradient_accumulation_steps=2, the checkpoint's is 1"),
        ({"reset_optimizer_state": "all"}, "resuming with reset_optimizer_state='all', the checkpoint's is 'masked'"),
    ],
    ids=["batch", "accumulation", "reset"],
)
def test_what_changes_is_said(tmp_path: Path, whole: DSDTrainer, caplog, options, said) -> None:
    resume(Path(checkpoint(Path(whole.args.output_dir), 5)), tmp_path, **options)
    assert said in caplog.text


def test_another_optimizer_of_an_old_version(tmp_path: Path, copied: Path) -> None:
    """Its checkpoint does not say which optimizer it had: the first step was a KeyError."""
    state = torch.load(copied / "optimizer.pt", weights_only=True)
    for group in state["param_groups"]:
        del group["weight_decay"]
    torch.save(state, copied / "optimizer.pt")
    with pytest.raises(ValueError, match=r"^the checkpoint's optimizer has no \['weight_decay'\], which this run's"):
        resume(copied, tmp_path)


def test_true_as_a_command_line_gives_it(tmp_path: Path) -> None:
    make_trainer(tmp_path, build(TinyLSTM), **RUN | {"save_steps": 5}).train()
    (tmp_path / "checkpoint-12" / "trainer_state.json").unlink()
    again = make_trainer(tmp_path, build(TinyLSTM, seed=9), **RUN | {"save_steps": 5})
    again.train(resume_from_checkpoint="True")
    assert again.resumed_from == tmp_path / "checkpoint-10"


def test_a_step_is_saved_once(tmp_path: Path) -> None:
    """Where an epoch ends with a phase, the only whole checkpoint would be written again in place."""
    options = {"phase_steps": None, "phase_epochs": [1, 1, 1], "save_strategy": "epoch", "save_total_limit": 1}
    trainer = make_trainer(tmp_path, keep_phase_checkpoints=[0, 1], **options)
    saved = []

    class Saves(TrainerCallback):
        def on_save(self, args, state, control, **kwargs):
            saved.append(state.global_step)

    trainer.add_callback(Saves())
    trainer.train()
    assert saved == [6, 12, 18]
    names = {path.name for path in tmp_path.iterdir()} - {"phase-0-dense", "phase-1-sparse", "phase-2-dense"}
    assert names == {"checkpoint-18", "dsd_summary.json", "phase-0-dense-checkpoint", "phase-1-sparse-checkpoint"}


def test_a_finished_dense_phase_may_continue_by_another_recipe(tmp_path: Path, whole: DSDTrainer) -> None:
    """What `compare` rests on: the arms of a seed share one first dense phase."""
    source = checkpoint(Path(whole.args.output_dir), 3)
    branch = make_trainer(tmp_path / "branch", build(TinyLSTM, dropout=0.3), **RUN | {"sparsity": 0.25})
    branch.train(resume_from_checkpoint=source)
    from_scratch = make_trainer(tmp_path / "scratch", build(TinyLSTM, dropout=0.3), **RUN | {"sparsity": 0.25})
    from_scratch.train()
    assert_same_run(branch, from_scratch, 3)
    assert finished_phases(tmp_path / "branch") == ["phase-1-sparse", "phase-2-dense"]
    assert finished_phases(tmp_path / "scratch") == ["phase-0-dense", "phase-1-sparse", "phase-2-dense"]


def test_the_state_file_names_its_run(whole: DSDTrainer) -> None:
    _, meta = read_state_file(checkpoint(Path(whole.args.output_dir), 5))
    assert meta["phase"] == 1
    assert [phase["end"] for phase in meta["schedule"]] == [3, 7, 12]
    assert meta["shapes"]["head.weight"] == [3, 10]


def test_an_evaluation_at_the_start_does_not_count_twice(tmp_path: Path) -> None:
    options = RUN | {"eval_strategy": "steps", "eval_steps": 1, "phase_patience": 2, "eval_on_start": True}
    options |= {"phase_steps": [8, 8, 8], "learning_rate": 1e-30, "weight_decay": 0.0}
    unbroken = make_trainer(tmp_path / "whole", **options)
    unbroken.train()
    assert [(p.start, p.end) for p in unbroken.dsd.schedule.phases] == [(0, 3), (3, 6), (6, 9)]
    for step in (2, 4):
        resumed = make_trainer(tmp_path / f"resumed-{step}", build(TinyLSTM, seed=9), **options)
        resumed.train(resume_from_checkpoint=checkpoint(tmp_path / "whole", step))
        assert resumed.dsd.schedule == unbroken.dsd.schedule
        assert resumed.state.max_steps == 9


def test_resuming_a_finished_run_trains_no_further(tmp_path: Path) -> None:
    options = RUN | {"eval_strategy": "steps", "eval_steps": 1, "phase_patience": 1}
    options |= {"phase_steps": [8, 8, 8], "learning_rate": 1e-30, "weight_decay": 0.0}
    finished = make_trainer(tmp_path, **options)
    finished.train()
    last = finished.state.global_step
    again = make_trainer(tmp_path, build(TinyLSTM, seed=9), **options)
    again.train(resume_from_checkpoint=checkpoint(tmp_path, last))
    assert again.state.global_step == last == 6
    for got, want in zip(again.model.parameters(), finished.model.parameters(), strict=True):
        assert torch.equal(got, want)


def test_missing_best_weights_fail_at_the_start(tmp_path: Path) -> None:
    options = RUN | {"phase_start": "best", "eval_strategy": "steps", "eval_steps": 1}
    options |= {"learning_rate": 1e-30, "weight_decay": 0.0}
    make_trainer(tmp_path / "whole", **options).train()
    elsewhere = make_trainer(tmp_path / "elsewhere", build(TinyLSTM), **options)
    message = r"phase-1-sparse-best-4 is missing: .* resume with the same output_dir$"
    with pytest.raises(FileNotFoundError, match=message):
        elsewhere.train(resume_from_checkpoint=checkpoint(tmp_path / "whole", 5))


def test_a_kept_weight_of_zero_stays_kept(tmp_path: Path) -> None:
    """Masks come from the file, not from the weights' zeros."""
    run = make_trainer(tmp_path / "run", **RUN)

    class Zero(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            if state.global_step == 5:
                mask = run.dsd.masks["head.weight"]
                run.model.head.weight.data[mask.nonzero()[0, 0], mask.nonzero()[0, 1]] = 0.0

    run.add_callback(Zero())
    run.train()
    resumed = make_trainer(tmp_path / "resumed", build(TinyLSTM, seed=9), **RUN)
    resumed.train(resume_from_checkpoint=checkpoint(tmp_path / "run", 5))
    assert_same_run(resumed, run, 5)


def test_a_state_file_is_written_before_the_checkpoint_counts_as_one(tmp_path: Path) -> None:
    """Where the masks cannot be written, no `trainer_state.json` makes the folder look whole."""
    trainer = make_trainer(tmp_path, **RUN)

    class Block(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            if state.global_step == 5:
                (tmp_path / "checkpoint-5" / STATE_FILE_NAME).mkdir(parents=True)

    trainer.add_callback(Block())
    with pytest.raises(OSError, match="dsd_masks"):
        trainer.train()
    assert not (tmp_path / "checkpoint-5" / "trainer_state.json").exists()


def test_the_summary_is_whole_after_a_resume(tmp_path: Path, whole: DSDTrainer) -> None:
    resumed = make_trainer(tmp_path, build(TinyLSTM, dropout=0.3), **RUN)
    resumed.train(resume_from_checkpoint=checkpoint(Path(whole.args.output_dir), 5))
    summaries = [json.loads((Path(t.args.output_dir) / "dsd_summary.json").read_text()) for t in (resumed, whole)]
    facts = [[(p["name"], p["layers"], p["metrics"]["eval_loss"]) for p in s["phases"]] for s in summaries]
    assert facts[0] == facts[1]
    assert all(phase["seconds"] > 0 for phase in summaries[0]["phases"])
