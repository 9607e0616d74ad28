"""Each phase's own learning-rate curve: traces pinned by hand, and bit for bit transformers' own."""

import io
import math
import re

import pytest
import torch
from torch import nn
from transformers import get_scheduler
from transformers.trainer_utils import SchedulerType

from hf_dsd import Schedule
from hf_dsd.trainer.lr_scheduler import PhasedLR

PHASES = {"steps": [4, 3, 5], "learning_rates": [1.0, 0.5, 0.1]}
KWARGS = {
    SchedulerType.COSINE_WITH_RESTARTS: {"num_cycles": 2},
    SchedulerType.POLYNOMIAL: {"power": 2.0, "lr_end": 1e-5},
    SchedulerType.INVERSE_SQRT: {"timescale": 3},
    SchedulerType.COSINE_WITH_MIN_LR: {"min_lr": 1e-3},
    SchedulerType.COSINE_WARMUP_WITH_MIN_LR: {"min_lr_rate": 0.1},
    SchedulerType.WARMUP_STABLE_DECAY: {"num_decay_steps": 2},
}
PER_STEP = [kind for kind in SchedulerType if kind not in (SchedulerType.REDUCE_ON_PLATEAU, SchedulerType.GREEDY)]


def sgd(*rates):
    """An optimizer with a group for every rate."""
    return torch.optim.SGD([{"params": [nn.Parameter(torch.zeros(1))], "lr": rate} for rate in rates], lr=1.0)


def phased(optimizer, schedule, kind="linear", warmup=lambda steps: 0, base=1.0, kwargs=None):
    return PhasedLR(
        optimizer,
        schedule if callable(schedule) else lambda: schedule,
        base_learning_rate=base,
        lr_scheduler_type=kind,
        warmup_steps=warmup,
        lr_scheduler_kwargs=kwargs,
    )


def trace(scheduler, steps):
    """The rates that each of the next `steps` optimizer steps uses, by group."""
    rates = []
    for _ in range(steps):
        rates.append([float(group["lr"]) for group in scheduler.optimizer.param_groups])
        assert [float(rate) for rate in scheduler.get_last_lr()] == rates[-1]
        scheduler.optimizer.step()
        scheduler.step()
    return rates


def first_group(rates):
    return [rate for rate, *_ in rates]


def test_the_planned_curve_is_the_rates_that_are_used():
    schedule = Schedule.from_steps(**PHASES)
    scheduler = phased(sgd(1.0), schedule, warmup=lambda steps: steps // 2)
    planned = [point for phase in schedule.phases for point in scheduler.planned_curve(phase)]
    assert planned == list(enumerate(first_group(trace(scheduler, 12))))


def test_the_planned_curve_of_a_long_phase_has_both_ends_and_few_points():
    schedule = Schedule.from_steps(steps=[1001, 1, 1], learning_rates=[1.0, 1.0, 1.0])
    planned = phased(sgd(1.0), schedule).planned_curve(schedule.phases[0])
    assert len(planned) == 60
    assert planned[0] == (0, 1.0)
    assert planned[-1] == (1000, pytest.approx(1 / 1001))
    assert [step for step, _ in phased(sgd(1.0), schedule).planned_curve(schedule.phases[1])] == [1001]


def test_linear_with_warmup_trace():
    rates = trace(phased(sgd(1.0), Schedule.from_steps(**PHASES), warmup=lambda steps: steps // 2), 12)
    assert first_group(rates) == pytest.approx(
        [0.0, 0.5, 1.0, 0.5]  # 2 steps up, 2 down
        + [0.0, 0.5, 0.25]  # 1 up, 2 down
        + [0.0, 0.05, 0.1, 0.2 / 3, 0.1 / 3],  # 2 up, 3 down
        abs=1e-15,
    )


def test_cosine_trace():
    rates = trace(phased(sgd(1.0), Schedule.from_steps(**PHASES), "cosine"), 12)
    half = math.sqrt(0.5)
    fifth = [0.1, 0.09045084971874738, 0.06545084971874737, 0.034549150281252633, 0.009549150281252633]
    assert first_group(rates) == pytest.approx(
        [1.0, (1 + half) / 2, 0.5, (1 - half) / 2, 0.5, 0.375, 0.125, *fifth], abs=1e-15
    )


def test_the_step_after_the_run_has_the_last_curves_end():
    scheduler = phased(sgd(1.0), Schedule.from_steps(**PHASES))
    trace(scheduler, 12)
    assert scheduler.get_last_lr() == [0.0]


@pytest.mark.parametrize("kind", PER_STEP, ids=lambda kind: kind.value)
@pytest.mark.parametrize("warmup", [0, 2], ids=["cold", "warm"])
def test_inside_a_phase_it_is_transformers_own_schedule(kind, warmup):
    steps, learning_rates = [7, 9, 8], [1e-2 / 3, 1.1e-4, 1e-2 / 7]  # base * (peak / base) is not 1.1e-4
    schedule = Schedule.from_steps(steps, learning_rates=learning_rates)
    kwargs = KWARGS.get(kind)
    rates = first_group(
        trace(phased(sgd(1e-2 / 3), schedule, kind, lambda steps: warmup, base=1e-2 / 3, kwargs=kwargs), 24)
    )
    expected = []
    for length, rate in zip(steps, learning_rates, strict=True):
        optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=rate)
        plain = get_scheduler(kind, optimizer, warmup, length, kwargs)
        for _ in range(length):
            expected.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            plain.step()
    assert rates == expected


def test_groups_keep_their_ratio():
    schedule = Schedule.from_steps([2, 2, 2], learning_rates=[0.01, 0.005, 0.001])
    rates = trace(phased(sgd(0.01, 0.1, 0.0), schedule, base=0.01), 6)
    assert rates == [
        pytest.approx([base * factor for base in (0.01, 0.1, 0.0)], abs=1e-15)
        for factor in (1.0, 0.5, 0.5, 0.25, 0.1, 0.05)
    ]


def test_without_rates_of_their_own_phases_take_the_base():
    schedule = Schedule.from_steps([2, 2, 2])
    assert first_group(trace(phased(sgd(0.4), schedule, base=0.4), 6)) == [0.4, 0.2] * 3
    polynomial = phased(sgd(0.4), schedule, "polynomial", base=0.4, kwargs={"lr_end": 0.2, "power": 1.0})
    assert first_group(trace(polynomial, 6)) == pytest.approx([0.4, 0.3] * 3, abs=1e-15)


def test_an_empty_first_phase_has_no_step():
    schedule = Schedule.from_steps([0, 2, 2], learning_rates=[9.0, 0.5, 0.1])
    rates = trace(phased(sgd(9.0), schedule, base=9.0, warmup=lambda steps: steps // 2), 4)
    assert first_group(rates) == [0.0, 0.5, 0.0, 0.1]


def test_a_warmup_longer_than_a_phase_is_refused():
    schedule = Schedule.from_steps([4, 3, 5])
    phased(sgd(1.0), schedule, warmup=lambda steps: min(steps, 3))
    message = (
        "warmup_steps must not exceed a phase, got 4 for the 3 steps of phase-1-sparse: every phase warms up; give a "
        "fraction such as 0.1"
    )
    with pytest.raises(ValueError, match="^" + re.escape(message) + "$"):
        phased(sgd(1.0), schedule, warmup=lambda steps: 4)
    phased(sgd(1.0), Schedule.from_steps([0, 4, 5]), warmup=lambda steps: 4)  # what has no step needs no warm-up


def test_after_a_cut_the_next_phase_starts_its_own_curve():
    schedules = [Schedule.from_steps(**PHASES)]
    scheduler = phased(sgd(1.0), lambda: schedules[-1], warmup=lambda steps: 1)
    whole = first_group(trace(phased(sgd(1.0), schedules[0], warmup=lambda steps: 1), 12))
    rates = first_group(trace(scheduler, 2))
    schedules.append(schedules[0].cut(2))
    scheduler.begin_phase(2)
    assert scheduler.get_last_lr() == [0.0]
    rates += first_group(trace(scheduler, 8))
    assert rates == whole[:2] + whole[4:]  # and no step of the ended phase's curve is squeezed


def test_begin_phase_catches_up_with_skipped_steps():
    scheduler = phased(sgd(1.0), Schedule.from_steps(**PHASES))
    trace(scheduler, 3)  # one of the first phase's four steps was skipped by an fp16 overflow
    scheduler.begin_phase(4)
    assert first_group(trace(scheduler, 3)) == pytest.approx([0.5, 1 / 3, 1 / 6])


def test_tensor_rates_stay_the_same_tensors():
    parameter = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.Adam([parameter], lr=torch.tensor(1.0), capturable=False, foreach=False)
    schedule = Schedule.from_steps(**PHASES)
    scheduler = phased(optimizer, schedule)
    rate = optimizer.param_groups[0]["lr"]
    rates = first_group(trace(scheduler, 4))
    scheduler.begin_phase(4)
    last = scheduler.get_last_lr()[0]
    rates += first_group(trace(scheduler, 8))
    assert optimizer.param_groups[0]["lr"] is rate
    assert float(last) == 0.5  # a copy: later steps did not reach it
    assert rates == pytest.approx(first_group(trace(phased(sgd(1.0), schedule), 12)))


@pytest.mark.parametrize("stopped_at", range(13), ids=lambda step: f"step-{step}")
def test_resumed_trace_is_the_unbroken_one(stopped_at):
    schedule = Schedule.from_steps(**PHASES)
    unbroken = trace(phased(sgd(1.0, 0.25), schedule, "cosine"), 12)
    first = phased(sgd(1.0, 0.25), schedule, "cosine")
    rates = trace(first, stopped_at)
    file = io.BytesIO()
    torch.save({"scheduler": first.state_dict(), "optimizer": first.optimizer.state_dict()}, file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    assert set(saved["scheduler"]) == {"last_epoch", "base_lrs", "_last_lr"}
    second = phased(sgd(1.0, 0.25), schedule, "cosine")
    second.load_state_dict(saved["scheduler"])
    second.optimizer.load_state_dict(saved["optimizer"])
    assert rates + trace(second, 12 - stopped_at) == unbroken
    assert second.get_last_lr() == phased_end(schedule)


def phased_end(schedule):
    """The rates after the last step."""
    scheduler = phased(sgd(1.0, 0.25), schedule, "cosine")
    trace(scheduler, 12)
    return scheduler.get_last_lr()


def test_a_left_phase_resumes_with_the_planned_curves():
    planned = Schedule.from_steps(**PHASES)
    schedules = [planned]
    scheduler = phased(sgd(1.0), lambda: schedules[-1])
    trace(scheduler, 2)
    schedules.append(planned.cut(2))
    scheduler.begin_phase(2)
    rest = trace(scheduler, 8)
    resumed = phased(sgd(1.0), lambda: schedules[0])
    schedules[0] = planned.cut(2)  # the engine loads the cut schedule after the scheduler was built
    resumed.load_state_dict({"last_epoch": 2, "base_lrs": [1.0], "_last_lr": [0.5]})
    resumed.begin_phase(2)
    assert trace(resumed, 8) == rest
