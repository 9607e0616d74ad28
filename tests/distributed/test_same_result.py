"""One process, two DDP ranks and two FSDP2 ranks: the same masks, weights and resumed runs, bit for bit."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from loops import SPARSITY, Net, build_net, build_optimizer, train
from ranks import error_of, run_on_ranks

from hf_dsd import DSD, Schedule

CASES: dict[str, dict[str, Any]] = {
    "sgd": {"optimizer_name": "sgd"},
    "adamw": {"optimizer_name": "adamw"},
    "random": {"optimizer_name": "sgd", "criterion": "random"},
    "masked gradients": {"optimizer_name": "adamw", "mask_gradients": True},
}
KINDS = ("ddp", "fsdp")
RESUMED = [(saved, resumed) for saved in ("single", *KINDS) for resumed in ("single", *KINDS) if saved != resumed]
SIZES = {name: weight.numel() for name, weight in Net().named_parameters()}


def train_on_ranks(rank: int, folder: Path) -> dict[str, Any]:
    """Every case as DDP and as FSDP2, and AdamW's run resumed from every other kind's checkpoint."""
    found: dict[str, Any] = {}
    for kind in KINDS:
        for case, options in CASES.items():
            save_to = folder / kind if case == "adamw" else None
            found[f"{kind} {case}"] = train(kind, **options, save_to=save_to)
    for saved, resumed in RESUMED:
        if resumed != "single":
            found[f"{saved} to {resumed}"] = train(resumed, "adamw", resume_from=folder / saved)
    found["drift"] = {value: drift_apart(rank, value) for value in ("9", "nan")}
    return found


def train_on_replicated_shards(rank: int, folder: Path) -> dict[str, Any]:
    """AdamW's run on two replicas of two shards, from the start and from other ranks' checkpoints; and drift."""
    resumed = {
        "hsdp from single": train("hsdp", "adamw", resume_from=folder / "single"),
        "hsdp from the parts of 2 ranks": train("hsdp", "adamw", resume_from=folder / "fsdp" / "sharded"),
        "4 shards from the parts of 2 ranks": train("fsdp", "adamw", resume_from=folder / "fsdp" / "sharded"),
    }
    net = build_net("hsdp")
    with torch.no_grad():
        if rank == 2:  # the first block of the second replica: weights change places, so the other block is as before
            block = net.head.weight.to_local()
            block[0] = block[0].roll(1)
    dsd = DSD(net, build_optimizer("sgd", net), Schedule.from_steps([0, 2, 2], sparsity=SPARSITY))
    return {"hsdp": train("hsdp", "adamw"), **resumed, "drift": error_of(lambda: dsd.begin_step(0))}


def drift_apart(rank: int, value: str) -> str:
    """The error of building masks where one weight of rank 1 is another."""
    net = build_net("ddp")
    with torch.no_grad():
        if rank == 1:
            net.module.lstm.weight_hh_l0[2, 3] = float(value)
    dsd = DSD(net, build_optimizer("sgd", net), Schedule.from_steps([0, 2, 2], sparsity=0.5))
    message = error_of(lambda: dsd.begin_step(0))
    dist.barrier()  # both ranks are still there
    return message


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("checkpoints")
    runs = {case: train("single", **options) for case, options in CASES.items()}
    runs["adamw"] = train("single", "adamw", save_to=folder / "single")
    return {"folder": folder, **runs}


@pytest.fixture(scope="module")
def ranks(single, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return run_on_ranks(2, train_on_ranks, tmp_path_factory.mktemp("ranks"), single["folder"])


@pytest.fixture(scope="module")
def four_ranks(single, ranks, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """After `ranks`, whose checkpoints it resumes."""
    return run_on_ranks(4, train_on_replicated_shards, tmp_path_factory.mktemp("four"), single["folder"])


def assert_equal(got: dict[str, torch.Tensor], want: dict[str, torch.Tensor]) -> None:
    assert set(got) == set(want)
    assert [name for name in want if not torch.equal(got[name], want[name])] == []


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("kind", KINDS)
def test_masks_and_weights_equal_one_process(ranks, single, kind, case):
    for found in ranks:
        assert_equal(found[f"{kind} {case}"]["masks"], single[case]["masks"])
        assert_equal(found[f"{kind} {case}"]["weights"], single[case]["weights"])
    assert set(single[case]["masks"]) == set(Net.pruned)


@pytest.mark.parametrize("kind", KINDS)
def test_zeros_are_exact_after_every_step_and_evaluation(ranks, kind):
    pruned = {name: round(SPARSITY * SIZES[name]) if name in Net.pruned else 0 for name in SIZES}
    for found in ranks:
        assert sorted(found[f"{kind} adamw"]["zeros"]) == [3, 4, 5, 6]
        for step, zeros in found[f"{kind} adamw"]["zeros"].items():
            assert zeros == pruned, step
            assert found[f"{kind} adamw"]["revived"][step] == {}
        expected = sum(pruned.values()) / sum(SIZES[name] for name in Net.pruned)
        assert set(found[f"{kind} adamw"]["sparsity"].values()) == {expected}


@pytest.mark.parametrize(("saved", "resumed"), RESUMED, ids=[f"{saved} to {resumed}" for saved, resumed in RESUMED])
def test_a_run_resumed_in_another_shape_equals_the_unbroken_one(ranks, single, saved, resumed):
    if resumed == "single":
        runs = [train("single", "adamw", resume_from=single["folder"] / saved)]
    else:
        runs = [found[f"{saved} to {resumed}"] for found in ranks]
    for run in runs:
        assert_equal(run["masks"], single["adamw"]["masks"])
        assert_equal(run["weights"], single["adamw"]["weights"])


def test_replicas_that_have_drifted_apart_stop_on_every_rank(ranks):
    for found in ranks:
        assert found["drift"]["9"].startswith(
            "RuntimeError: the ranks' masks of lstm.weight_hh_l0 differ (1 parameter(s) in all): rank(s) [1] disagree"
        )


def test_a_broken_replica_stops_every_rank(ranks):
    for found in ranks:
        assert found["drift"]["nan"].startswith("RuntimeError: the ranks' masks of lstm.weight_hh_l0 differ")
        assert "rank(s) [1] disagree" in found["drift"]["nan"]
        assert "(error: magnitudes must be finite, got NaN or inf)" in found["drift"]["nan"]


@pytest.mark.parametrize(
    "run", ["hsdp", "hsdp from single", "hsdp from the parts of 2 ranks", "4 shards from the parts of 2 ranks"]
)
def test_four_ranks_equal_one_process(four_ranks, single, run):
    for found in four_ranks:
        assert_equal(found[run]["masks"], single["adamw"]["masks"])
        assert_equal(found[run]["weights"], single["adamw"]["weights"])


def test_replicas_of_shards_that_have_drifted_apart_stop_on_every_rank(four_ranks):
    for rank in (0, 2):  # the ranks that hold the block
        assert four_ranks[rank]["drift"].startswith("RuntimeError: the ranks' masks of head.weight differ")
        assert "rank(s) [2] disagree" in four_ranks[rank]["drift"]
    for rank in (1, 3):
        assert four_ranks[rank]["drift"].startswith(
            "RuntimeError: the ranks' masks differ in a block that ranks [1, 3] do not hold"
        )
