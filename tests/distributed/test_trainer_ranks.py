"""`DSDTrainer` on two ranks: the result of one process, from copies under DDP and from shards."""

from pathlib import Path
from typing import Any

import pytest
import torch
from launch import launch
from safetensors.torch import load_file
from test_same_result import assert_equal
from tiny import TinyGPT2, TinyLSTM
from trainer_run import RESUMED_STEP, keyword_losses, train_gpt2, train_lstm

from hf_dsd.engine.mask_file import STATE_FILE_NAME, read_state_file

SCRIPT = Path(__file__).with_name("trainer_run.py")


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("one")
    return {"folder": folder, "lstm": train_lstm(folder / "lstm"), "gpt2": train_gpt2(folder / "gpt2")}


@pytest.fixture(scope="module")
def two(one, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("two")
    launch(2, SCRIPT, folder, one["folder"])
    return {"folder": folder, "ranks": [torch.load(folder / f"rank-{r}.pt", weights_only=False) for r in range(2)]}


def test_ddp_equals_one_process(one, two):
    for found in two["ranks"]:
        assert found["lstm"]["replicas"]  # the masks were compared
        assert_equal(found["lstm"]["weights"], one["lstm"]["weights"])
        assert found["lstm"]["zeros"] == one["lstm"]["zeros"]
    folders = [run["folder"] / f"lstm/checkpoint-{RESUMED_STEP}" for run in (one, two)]
    assert_equal(*(read_state_file(folder)[0] for folder in folders))


def test_resumed_from_one_on_two_ranks(one, two):
    for found in two["ranks"]:
        assert_equal(found["lstm resumed"]["weights"], one["lstm"]["weights"])
        assert min(found["lstm resumed"]["zeros"]) == RESUMED_STEP + 1


def test_resumed_from_two_on_one_rank(one, two, tmp_path):
    found = train_lstm(tmp_path, two["folder"] / f"lstm/checkpoint-{RESUMED_STEP}")
    assert_equal(found["weights"], one["lstm"]["weights"])


def test_ranks_do_not_multiply_a_loss_that_drops_its_number_of_items(two, tmp_path):
    want = keyword_losses(tmp_path)
    assert len(want) == 7
    for found in two["ranks"]:
        assert found["keyword losses"] == pytest.approx(want, rel=1e-4)


def test_the_lstm_was_sparse_when_it_should_be(one):
    sizes = {name: weight.numel() for name, weight in one["lstm"]["weights"].items()}
    for step, zeros in one["lstm"]["zeros"].items():
        pruned = set(TinyLSTM.pruned) if 4 <= step <= 7 else set()
        assert zeros == {name: round(0.5 * size) if name in pruned else 0 for name, size in sizes.items()}, step


@pytest.mark.parametrize("run", ["gpt2", "gpt2 resumed"])
def test_shards_equal_one_process(one, two, run):
    """Zeros are exact. Matrix products of gathered weights round differently, which AdamW scales up: 2e-6 seen.

    The resumed run continues, on shards, a checkpoint of one process.
    """
    first = RESUMED_STEP + 1 if "resumed" in run else 1
    for found in two["ranks"]:
        assert found[run]["class"].startswith("FSDP")
        assert found[run]["zeros"] == {step: zeros for step, zeros in one["gpt2"]["zeros"].items() if step >= first}
        for name, weight in one["gpt2"]["weights"].items():
            torch.testing.assert_close(found[run]["weights"][name], weight, rtol=0, atol=1e-5)
    assert sum(one["gpt2"]["zeros"][5].values()) == 384 + 44  # the blocks' four matrices and the head, half each


def test_a_phase_of_shards_is_a_whole_model_on_disk(one, two):
    folder = two["folder"] / "gpt2/phase-1-sparse"
    weights = load_file(folder / "model.safetensors")
    for found in two["ranks"]:
        assert found["gpt2"]["loaded"].keys() == one["gpt2"]["loaded"].keys()
        assert_equal(found["gpt2"]["loaded"], {name: weights[name] for name in found["gpt2"]["loaded"]})
        zeros = {name: int((weights[name] == 0).sum()) for name in TinyGPT2.pruned}
        assert zeros == {name: one["gpt2"]["zeros"][7][name] for name in TinyGPT2.pruned}
    assert not (folder / STATE_FILE_NAME).exists()


def test_replicas_that_drift_apart_stop_the_run(two):
    for found in two["ranks"]:
        assert found["drift"].startswith("RuntimeError: the ranks' masks of head.weight differ (1 parameter(s) in all)")


def test_fsdp_that_is_not_in_force_is_an_error(two):
    for found in two["ranks"]:
        assert found["fsdp"].startswith("ValueError: FSDP was asked for and is not in force on cpu: accelerate shards")
