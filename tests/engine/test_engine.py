"""The engine in hand-written loops: PyTorch's, Accelerate's, and ones that make mistakes."""

from dataclasses import dataclass
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from reference_loop import reference_dsd
from tiny import TinyCNN, TinyLSTM, build, classification_rows
from torch import nn
from torch.optim.lr_scheduler import LambdaLR
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data import DataLoader, default_collate

from hf_dsd import DSD, Schedule
from hf_dsd.engine.targets import Target

BATCHES = [default_collate(classification_rows(8, seed)) for seed in range(9)]


def make(schedule: Schedule | None = None, model: nn.Module | None = None, **options: Any) -> DSD:
    model = build(TinyLSTM) if model is None else model
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.1)
    return DSD(model, optimizer, schedule or Schedule.from_steps([3, 3, 3], sparsity=0.5), **options)


def train(dsd: DSD, start: int = 0, stop: int = 9) -> None:
    for step in range(start, stop):
        dsd.begin_step(step)
        dsd.model(**BATCHES[step % len(BATCHES)])["loss"].backward()
        dsd.optimizer.step()
        dsd.optimizer_step()
        dsd.optimizer.zero_grad()


def zeros(dsd: DSD) -> int:
    return sum(int((p == 0).sum()) for p in dsd.model.parameters())


def test_hand_written_loop_equals_the_reference() -> None:
    dsd = make()
    expected = build(TinyLSTM)
    optimizer = torch.optim.AdamW(expected.parameters(), lr=1e-2, weight_decay=0.1)
    for group in dsd.optimizer.param_groups:
        group["lr"] = 1e-2
    rates = [1e-2 * (3 - step % 3) / 3 for step in range(9)]
    for step, rate in enumerate(rates):
        dsd.begin_step(step)
        for group in dsd.optimizer.param_groups:
            group["lr"] = rate
        dsd.model(**BATCHES[step])["loss"].backward()
        nn.utils.clip_grad_norm_(dsd.model.parameters(), 0.5)
        dsd.optimizer.step()
        dsd.optimizer_step()
        dsd.optimizer.zero_grad()
    phases = [(3, 0.0, 1e-2), (3, 0.5, 1e-2), (3, 0.0, 1e-2)]
    reference_dsd(
        expected, lambda b: expected(**b)["loss"], [[b] for b in BATCHES], optimizer, phases, TinyLSTM.pruned, clip=0.5
    )
    for (name, got), want in zip(dsd.model.named_parameters(), expected.parameters(), strict=True):
        assert torch.equal(got, want), name


def test_phases_and_masks() -> None:
    dsd = make()
    assert (dsd.phase, dsd.masks, dsd.sparsity) == (None, {}, 0.0)
    began = []
    for step in range(9):
        began.append(dsd.begin_step(step))
        assert dsd.phase.index == step // 3
        assert set(dsd.masks) == (set(TinyLSTM.pruned) if 3 <= step < 6 else set())
        dsd.optimizer_step()
    assert began == [True, False, False] * 3


def test_masks_are_exact_and_one_byte_a_weight() -> None:
    dsd = make()
    train(dsd, stop=4)
    weights = dict(dsd.model.named_parameters())
    for name, mask in dsd.masks.items():
        assert mask.dtype is torch.bool
        assert mask.shape == weights[name].shape
        assert int((~mask).sum()) == round(0.5 * mask.numel())
    total = sum(mask.numel() * mask.element_size() for mask in dsd.masks.values())
    assert total == dsd.target_weights == sum(weights[name].numel() for name in TinyLSTM.pruned)
    assert dsd.sparsity == sum(round(0.5 * m.numel()) for m in dsd.masks.values()) / total


def test_parameters_keep_their_identity_and_storage() -> None:
    dsd = make()
    before = [(id(p), p.data_ptr()) for p in dsd.model.parameters()]
    flat = [id(w) for w in dsd.model.lstm._flat_weights]
    train(dsd)
    assert [(id(p), p.data_ptr()) for p in dsd.model.parameters()] == before
    assert [id(w) for w in dsd.model.lstm._flat_weights] == flat


def test_redense_with_zero_gradients_stays_at_zero() -> None:
    dsd = make(reset_optimizer_state="masked")
    for group in dsd.optimizer.param_groups:
        group["weight_decay"] = 0.0
    train(dsd, stop=6)
    masks, weights = dsd.masks, dict(dsd.model.named_parameters())
    for step in range(6, 9):
        dsd.begin_step(step)
        dsd.model(**BATCHES[step])["loss"].backward()
        for name, mask in masks.items():
            weights[name].grad[~mask] = 0
        dsd.optimizer.step()
        dsd.optimizer_step()
        dsd.optimizer.zero_grad()
    assert all(bool((weights[name][~mask] == 0).all()) for name, mask in masks.items())


def test_without_a_reset_old_moments_push_the_weights_back() -> None:
    """The bug that the default avoids: with a zero gradient the restored weights still move."""
    dsd = make(reset_optimizer_state="none")
    train(dsd, stop=6)
    masks = dsd.masks
    dsd.begin_step(6)
    weights = dict(dsd.model.named_parameters())
    for p in weights.values():
        p.grad = torch.zeros_like(p)
    dsd.optimizer.step()
    assert all(bool((weights[name][~mask] != 0).any()) for name, mask in masks.items())


def test_a_second_sparse_phase_does_not_compound() -> None:
    dsd = make(Schedule.from_steps([1, 2, 2, 2, 1], sparsity=0.5))
    train(dsd, stop=6)
    assert {int((~mask).sum()) for mask in dsd.masks.values()} == {
        round(0.5 * p.numel()) for n, p in dsd.model.named_parameters() if n in TinyLSTM.pruned
    }


def test_random_masks_are_a_control_of_the_same_size() -> None:
    counts, masks = [], []
    for criterion, seed in (("magnitude", 0), ("random", 0), ("random", 0), ("random", 1)):
        dsd = make(mask_criterion=criterion, seed=seed)
        state = torch.get_rng_state()
        train(dsd, stop=4)
        assert torch.equal(torch.get_rng_state(), state)
        counts.append({name: int((~mask).sum()) for name, mask in dsd.masks.items()})
        masks.append(torch.cat([mask.reshape(-1) for mask in dsd.masks.values()]))
    assert counts[0] == counts[1] == counts[3]
    assert torch.equal(masks[1], masks[2])
    assert not torch.equal(masks[0], masks[1])
    assert not torch.equal(masks[1], masks[3])


class Syncs(TorchDispatchMode):
    """Counts the calls that wait for the device."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.name() in ("aten::_local_scalar_dense", "aten::nonzero", "aten::equal", "aten::is_nonzero"):
            self.calls.append(func.name())
        return func(*args, **(kwargs or {}))


def test_nothing_synchronises_inside_a_phase() -> None:
    dsd = make(Schedule.from_steps([1, 20, 1], sparsity=0.5))
    train(dsd, stop=3)
    dsd.model(**BATCHES[0])["loss"].backward()
    with Syncs() as syncs:
        for step in range(3, 13):
            dsd.begin_step(step)
            dsd.mask_gradients()
            dsd.optimizer_step()
    assert syncs.calls == []
    make_sparse = make(Schedule.from_steps([0, 1, 1]))
    with Syncs() as syncs:
        make_sparse.begin_step(0)
    assert syncs.calls  # the counter does see a mask being built


def test_skipped_fp16_steps_keep_the_zeros_and_the_clock() -> None:
    """An overflow makes the scaler skip a step: the weights keep their zeros, the engine's clock goes on."""
    dsd = make()
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**8)
    skipped = []
    for step in range(9):
        dsd.begin_step(step)
        scaler.scale(dsd.model(**BATCHES[step])["loss"]).backward()
        if step in (3, 4):
            dsd.model.head.weight.grad[0, 0] = float("inf")
        before = scaler.get_scale()
        scaler.step(dsd.optimizer)
        scaler.update()
        skipped.append(scaler.get_scale() < before)
        dsd.optimizer_step()
        dsd.optimizer.zero_grad()
        assert zeros(dsd) == (int(dsd.sparsity * dsd.target_weights) if 3 <= step < 6 else 0), step
    assert skipped == [False] * 3 + [True, True] + [False] * 4


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_other_precisions(dtype: torch.dtype) -> None:
    model = build(TinyCNN).to(dtype)
    batches = [{**batch, "x": batch["x"].to(dtype)} for batch in BATCHES]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    dsd = DSD(model, optimizer, Schedule.from_steps([1, 4, 1], sparsity=0.3))
    for step in range(5):
        dsd.begin_step(step)
        model(**batches[step])["loss"].backward()
        optimizer.step()
        dsd.optimizer_step()
        optimizer.zero_grad()
    assert {n: int((~m).sum()) for n, m in dsd.masks.items()} == {"conv2.weight": 27, "head.weight": 4}
    assert zeros(dsd) == 31


@pytest.mark.parametrize("stop", [1, 2, 3, 4, 5, 6, 7, 8])
def test_state_dict_resumes(stop: int) -> None:
    whole = make()
    train(whole)
    first = make()
    train(first, stop=stop)
    second = make(model=build(TinyLSTM, seed=4))
    second.model.load_state_dict(first.model.state_dict())
    second.optimizer.load_state_dict(first.optimizer.state_dict())
    second.load_state_dict(first.state_dict())
    train(second, start=stop)
    for got, want in zip(second.model.parameters(), whole.model.parameters(), strict=True):
        assert torch.equal(got, want)


def test_accelerate_saves_and_loads_the_engine(tmp_path: Path) -> None:
    """`register_for_checkpointing` is all that an Accelerate loop needs."""

    def run(folder: str | None, start: int, stop: int) -> DSD:
        accelerator = Accelerator(cpu=True)
        model = build(TinyLSTM, seed=0 if folder is None else 7)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
        loader = DataLoader(classification_rows(36), batch_size=4)
        model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
        dsd = DSD(model, optimizer, Schedule.from_steps([3, 3, 3], sparsity=0.5))
        accelerator.register_for_checkpointing(dsd)
        if folder is not None:
            accelerator.load_state(folder)
            loader = accelerator.skip_first_batches(loader, start)
        for step, batch in enumerate(loader, start):
            if step == stop:
                accelerator.save_state(str(tmp_path / f"state-{step}"))
                break
            dsd.begin_step(step)
            accelerator.backward(model(**batch)["loss"])
            optimizer.step()
            dsd.optimizer_step()
            optimizer.zero_grad()
        return dsd

    whole = run(None, 0, 9)
    for stop in (2, 3, 4, 6, 7):
        run(None, 0, stop)
        resumed = run(str(tmp_path / f"state-{stop}"), stop, 9)
        for got, want in zip(resumed.model.parameters(), whole.model.parameters(), strict=True):
            assert torch.equal(got, want), stop


# Mistakes


def test_skipping_the_first_step_of_a_phase() -> None:
    dsd = make()
    dsd.begin_step(0)
    with pytest.raises(ValueError, match=r"^begin_step\(4\) is not the next step, which is step 1: count"):
        dsd.begin_step(4)


def test_resuming_without_the_state() -> None:
    with pytest.raises(ValueError, match=r"load the engine's state to resume$"):
        make().begin_step(4)


def test_an_optimizer_without_the_targets() -> None:
    model = build(TinyLSTM)
    dsd = DSD(model, torch.optim.SGD([model.head.bias], lr=0.1), Schedule.from_steps([0, 2, 2]))
    with pytest.raises(ValueError, match=r"^the optimizer does not train \['lstm\.weight_ih_l0'"):
        dsd.begin_step(0)


def test_infinite_weights() -> None:
    dsd = make(Schedule.from_steps([0, 2, 2]))
    dsd.model.head.weight.data[0, 0] = float("inf")
    with pytest.raises(
        ValueError,
        match=r"^head\.weight cannot be pruned at optimizer step 0: .* got NaN or inf; if the run has diverged",
    ):
        dsd.begin_step(0)


@pytest.mark.parametrize(
    ("option", "value", "choices"),
    [
        ("mask_criterion", "smallest", "magnitude, random, zeros"),
        ("reset_optimizer_state", "some", "none, masked, all"),
    ],
)
def test_unknown_options(option: str, value: str, choices: str) -> None:
    with pytest.raises(ValueError, match=f"^{option} must be one of {choices}, got '{value}'$"):
        make(**{option: value})


def test_state_of_another_version() -> None:
    state = make().state_dict()
    state["meta"]["version"] = 99
    with pytest.raises(ValueError, match=r"^DSD state has version 99, this hf_dsd reads 1: upgrade hf_dsd$"):
        make().load_state_dict(state)


def test_leaving_a_phase_that_is_not_current() -> None:
    dsd = make()
    with pytest.raises(ValueError, match=r"^leave_phase\(2\) needs a phase that owns step 1, not None$"):
        dsd.leave_phase(2)


def test_counting_anew_in_every_epoch() -> None:
    """The loop that never prunes: `for step, batch in enumerate(loader)` inside epochs."""
    dsd = make()
    train(dsd, stop=3)
    with pytest.raises(ValueError, match=r"^begin_step\(0\) is not the next step, which is step 3: .* across epochs"):
        dsd.begin_step(0)


def test_a_step_that_never_moves_on() -> None:
    dsd = make()
    dsd.begin_step(0)
    dsd.begin_step(0)  # of another micro-batch
    dsd.optimizer_step()
    with pytest.raises(ValueError, match=r"^begin_step\(0\) is not the next step, which is step 1"):
        dsd.begin_step(0)


def test_a_step_past_the_end() -> None:
    dsd = make()
    train(dsd)
    with pytest.raises(ValueError, match=r"^begin_step\(9\) lies past the schedule's 9 steps: end the loop there"):
        dsd.begin_step(9)


def test_a_step_that_does_not_begin_may_begin_again() -> None:
    dsd = make(Schedule.from_steps([0, 2, 2]))
    dsd.model.head.weight.data[0, 0] = float("nan")
    for _ in range(2):
        with pytest.raises(ValueError, match=r"^head\.weight cannot be pruned"):
            dsd.begin_step(0)
    dsd.model.head.weight.data[0, 0] = 0.5
    assert dsd.begin_step(0)


def test_steps_without_an_update_need_not_be_applied() -> None:
    dsd = make()
    train(dsd, stop=4)
    dsd.begin_step(4)  # its loss was not finite, so the loop goes on to the next
    train(dsd, start=5)
    dsd.finish()


@pytest.mark.parametrize(
    ("stop", "missed"),
    [(0, "phase-0-dense, phase-1-sparse, phase-2-dense"), (3, "phase-1-sparse, phase-2-dense"), (8, "the end of the")],
)
def test_a_loop_that_ends_early_is_told_so(stop: int, missed: str) -> None:
    dsd = make()
    train(dsd, stop=stop)
    with pytest.raises(
        RuntimeError, match=f"^training ended after {stop} of the schedule's 9 steps and never reached {missed}"
    ):
        dsd.finish()
    train(dsd, start=stop)
    dsd.finish()


def test_a_sparse_phase_whose_masks_were_never_applied() -> None:
    dsd = make()
    for step in range(6):
        dsd.begin_step(step)
    with pytest.raises(
        RuntimeError, match=r"^optimizer_step\(\) was never called in phase-1-sparse, so its masks were"
    ):
        dsd.begin_step(6)


def test_a_resumed_loop_begins_at_the_checkpoints_step() -> None:
    first = make()
    train(first, stop=4)
    second = make(model=first.model)
    second.load_state_dict(first.state_dict())
    for wrong in (0, 3, 5, 6):
        with pytest.raises(ValueError, match=rf"^begin_step\({wrong}\) is not the next step, which is step 4"):
            second.begin_step(wrong)
    second.begin_step(4)
    assert second.state_dict()["meta"]["step"] == 4  # begun, not done


def test_a_loop_as_the_docstring_has_it() -> None:
    """Two parameter groups of different rates, three epochs of three batches."""
    model = build(TinyLSTM)
    groups = [{"params": model.lstm.parameters()}, {"params": model.head.parameters(), "lr": 2e-2}]
    optimizer = torch.optim.SGD(groups, lr=1e-2)
    dsd = DSD(model, optimizer, Schedule.from_steps([3, 3, 3], sparsity=0.5, learning_rates=[1e-2, 5e-3, 1e-3]))
    scheduler = LambdaLR(optimizer, dsd.learning_rate_scale)
    rates = []
    batches = chain.from_iterable(repeat(BATCHES[:3]))
    for step, batch in zip(range(dsd.schedule.total_steps), batches, strict=False):
        dsd.begin_step(step)
        rates.append([group["lr"] for group in optimizer.param_groups])
        model(**batch)["loss"].backward()
        optimizer.step()
        dsd.optimizer_step()
        scheduler.step()
        optimizer.zero_grad()
    dsd.finish()
    expected = [rate for rate in ([1e-2, 2e-2], [5e-3, 1e-2], [1e-3, 2e-3]) for _ in range(3)]
    assert rates == [pytest.approx(rate) for rate in expected]
    resumed = LambdaLR(optimizer, make(dsd.schedule).learning_rate_scale)
    resumed.load_state_dict(scheduler.state_dict())
    assert resumed.get_last_lr() == pytest.approx([1e-3, 2e-3])


def test_rates_that_decay_in_every_phase() -> None:
    dsd = make(Schedule.from_steps([2, 4, 2], learning_rates=[1e-2, 5e-3, 1e-3]))
    scales = [dsd.learning_rate_scale(step, decays=True) for step in range(9)]
    assert scales == pytest.approx([1, 0.5, 0.5, 0.375, 0.25, 0.125, 0.1, 0.05, 0])


def test_rates_that_the_optimizer_was_not_built_with() -> None:
    with pytest.raises(
        ValueError, match=r"^the schedule has no learning rates: give it learning_rates, one per phase$"
    ):
        make().learning_rate_scale(0)
    dsd = make(Schedule.from_steps([3, 3, 3], learning_rates=[0.5, 0.5, 0.1]))
    with pytest.raises(ValueError, match=r"built with the learning rates \[0\.01\], and the schedule's first is 0\.5"):
        dsd.learning_rate_scale(0)


def test_a_run_that_diverged_is_told_from_one_whose_weights_are_written() -> None:
    dsd = make(Schedule.from_steps([0, 4, 1], sparsity=0.5))
    dsd.begin_step(0)
    mask = dsd.masks["head.weight"]
    pruned = (~mask).nonzero()[0]
    weight = dsd.model.head.weight.data
    weight[tuple(pruned)] = 1.0
    assert (dsd.revived_weights(), dsd.not_finite_weights()) == ({"head.weight": 1}, [])
    weight[tuple(pruned)] = float("nan")
    dsd.optimizer_step()
    assert (dsd.revived_weights(), dsd.not_finite_weights()) == ({"head.weight": 1}, ["head.weight"])
    weight[tuple(pruned)] = -0.0
    assert (dsd.revived_weights(), dsd.not_finite_weights()) == ({}, [])
    dsd.model.head.bias.data[1] = float("inf")  # no sparse phase prunes it
    dsd.model.lstm.bias_hh_l0.data[0] = float("nan")
    assert dsd.not_finite_weights() == ["lstm.bias_hh_l0", "head.bias"]


def test_a_weight_whose_storage_moved_is_masked_where_it_is_now() -> None:
    dsd = make(Schedule.from_steps([0, 9, 1], sparsity=0.5))
    dsd.begin_step(0)
    dsd.optimizer_step()
    for parameter in dsd.model.parameters():
        parameter.data = torch.ones_like(parameter)
    dsd.optimizer_step()
    assert dsd.revived_weights() == {}
    dsd.model.double()
    for parameter in dsd.model.parameters():
        parameter.data.fill_(1)
    dsd.optimizer_step()
    assert dsd.revived_weights() == {}
    assert zeros(dsd) == sum(weight.pruned for weight in dsd.weights)


def test_a_dense_control_forgets_nothing() -> None:
    dsd = make(Schedule.from_steps([2, 2, 2]).dense_control(), reset_optimizer_state="all")
    train(dsd, stop=2)
    dsd.begin_step(2)
    assert all(state["step"] == 2 for state in dsd.optimizer.state.values())


@dataclass(frozen=True)
class Stacked(Target):
    """A target that stacks matrices."""

    matrices: int = 1


class Experts(nn.Module):
    """Three experts in one tensor, of very different sizes of weight."""

    def __init__(self) -> None:
        super().__init__()
        self.experts = nn.Parameter(torch.randn(3, 4, 5) * torch.tensor([1e-3, 1.0, 1e3]).view(3, 1, 1))


@pytest.mark.parametrize("criterion", ["magnitude", "random"])
def test_fused_experts_are_pruned_one_by_one(criterion: str) -> None:
    model = Experts()
    dsd = DSD(
        model,
        torch.optim.SGD(model.parameters(), lr=0.0),
        Schedule.from_steps([0, 2, 1], sparsity=0.33),
        mask_criterion=criterion,
    )
    (target,) = dsd.targets
    dsd.targets = [Stacked(**{**vars(target), "matrices": 3})]
    dsd.begin_step(0)
    assert (~dsd.masks["experts"]).sum(dim=(1, 2)).tolist() == [7, 7, 7]
    assert dsd.sparsity == 21 / 60
    state = dsd.state_dict()
    dsd.load_state_dict(state)
    assert (~dsd.masks["experts"]).sum(dim=(1, 2)).tolist() == [7, 7, 7]


def test_skipping_a_whole_phase() -> None:
    dsd = make()
    dsd.begin_step(0)
    with pytest.raises(ValueError, match=r"^begin_step\(6\) is not the next step, which is step 1: count"):
        dsd.begin_step(6)


def test_a_mask_of_another_shape() -> None:
    first = make()
    train(first, stop=4)
    state = first.state_dict()
    state["meta"]["shapes"]["head.weight"] = [10, 3]
    with pytest.raises(ValueError, match=r"^head\.weight has shape \(3, 10\), the checkpoint's mask \(10, 3\)$"):
        make().load_state_dict(state)


def test_compiled_models_have_plain_names() -> None:
    model = build(TinyLSTM)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    dsd = DSD(torch.compile(model, backend="aot_eager"), optimizer, Schedule.from_steps([0, 2, 1], sparsity=0.5))
    dsd.begin_step(0)
    assert set(dsd.masks) == set(TinyLSTM.pruned)


def test_random_masks_differ_between_phases_and_parameters() -> None:
    dsd = make(Schedule.from_steps([0, 1, 1, 1, 1], sparsity=0.5), mask_criterion="random")
    dsd.begin_step(0)
    first = dsd.masks
    dsd.optimizer_step()
    dsd.begin_step(1)
    dsd.begin_step(2)
    assert not torch.equal(first["lstm.weight_hh_l0"], dsd.masks["lstm.weight_hh_l0"])
    assert not torch.equal(first["lstm.weight_hh_l0"], first["lstm.weight_hh_l1"])


@pytest.mark.parametrize("criterion", ["magnitude", "random"])
def test_any_number_of_threads_builds_the_same_masks(criterion: str) -> None:
    """Large models are pruned on all of PyTorch's threads, one parameter each; what fails is named all the same."""

    def begin(threads: int, broken: tuple[int, ...] = ()) -> DSD:
        generator = torch.Generator().manual_seed(3)
        weights = [torch.randn(400, width, generator=generator).mul(8).round() for width in range(300, 620, 40)]
        for place in broken:
            weights[place][7, 7] = float("inf")
        model = nn.ParameterList(map(nn.Parameter, weights))
        assert sum(weight.numel() for weight in weights) > 1 << 20
        optimizer, schedule = torch.optim.SGD(model.parameters(), lr=0.1), Schedule.from_steps([0, 1, 1], sparsity=0.4)
        dsd = DSD(model, optimizer, schedule, mask_criterion=criterion)
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            dsd.begin_step(0)
        finally:
            torch.set_num_threads(before)
        return dsd

    alone = begin(1)
    for threads in (2, 5):
        together = begin(threads)
        assert list(together.masks) == list(alone.masks) == [str(place) for place in range(8)]
        assert all(torch.equal(mask, alone.masks[name]) for name, mask in together.masks.items())
        assert [w.threshold for w in together.weights] == [w.threshold for w in alone.weights]
        with pytest.raises(ValueError, match=r"^2 cannot be pruned at optimizer step 0"):
            begin(threads, broken=(2, 6))
