"""WHEN: which phase owns which step, at both borders of every phase."""

import json
import re

import pytest

from hf_dsd import Phase, PhaseKind, Schedule
from hf_dsd.engine.schedule import check_learning_rates, check_sparsity, default_learning_rates

D, S = PhaseKind.DENSE, PhaseKind.SPARSE


def owners(schedule, steps):
    """The phase index that owns each step."""
    return [schedule.phase_at(step).index for step in steps]


@pytest.mark.parametrize(
    ("lengths", "table"),
    [
        ([3, 4, 5], {0: 0, 2: 0, 3: 1, 6: 1, 7: 2, 11: 2, 12: 2, 999: 2}),
        ([1, 1, 1], {0: 0, 1: 1, 2: 2, 3: 2}),
        ([0, 2, 2], {0: 1, 1: 1, 2: 2, 3: 2, 4: 2}),
        ([2, 1, 3, 1, 2], {0: 0, 1: 0, 2: 1, 3: 2, 5: 2, 6: 3, 7: 4, 8: 4, 9: 4}),
        ([0, 1, 1, 1, 1], {0: 1, 1: 2, 2: 3, 3: 4, 4: 4}),
    ],
    ids=["three", "ones", "no-first-dense", "iterative", "iterative-no-first-dense"],
)
def test_phase_owns_its_steps_at_both_borders(lengths, table):
    schedule = Schedule.from_steps(lengths)
    assert {step: schedule.phase_at(step).index for step in table} == table
    assert schedule.total_steps == sum(lengths)
    for step in range(schedule.total_steps):
        owner = schedule.phase_at(step)
        assert [phase.index for phase in schedule.phases if phase.owns(step)] == [owner.index]


def test_phases_are_dense_and_sparse_in_turn():
    schedule = Schedule.from_steps([2, 1, 3, 1, 2], sparsity=[0.5, 0.25], learning_rates=[5.0, 4.0, 3.0, 2.0, 1.0])
    assert schedule.phases == (
        Phase(0, D, 0, 2, 0.0, 5.0),
        Phase(1, S, 2, 3, 0.5, 4.0),
        Phase(2, D, 3, 6, 0.0, 3.0),
        Phase(3, S, 6, 7, 0.25, 2.0),
        Phase(4, D, 7, 9, 0.0, 1.0),
    )
    assert [phase.name for phase in schedule.phases][:3] == ["phase-0-dense", "phase-1-sparse", "phase-2-dense"]
    assert [phase.steps for phase in schedule.phases] == [2, 1, 3, 1, 2]
    assert [phase.is_sparse for phase in schedule.phases] == [False, True, False, True, False]


def test_one_sparsity_serves_every_sparse_phase():
    schedule = Schedule.from_steps([1] * 5, sparsity=0.4)
    assert [phase.sparsity for phase in schedule.phases] == [0.0, 0.4, 0.0, 0.4, 0.0]
    assert {phase.learning_rate for phase in schedule.phases} == {None}


def test_whole_floats_are_steps():
    assert Schedule.from_steps([2.0, 1.0, 3.0]) == Schedule.from_steps([2, 1, 3])


@pytest.mark.parametrize(
    ("epochs", "steps_per_epoch", "steps"),
    [
        ([19, 10, 6], 10, [190, 100, 60]),
        ([74, 1.25, 18], 8, [592, 10, 144]),
        ([74, 1.25, 18], 10, [740, 12, 181]),  # 752.5 goes to the even step; the run's end is rounded up as Trainer's
        ([0, 0.5, 0.5], 3, [0, 2, 1]),
        ([1.1, 1.1, 1.1], 10, [11, 11, 11]),
        ([0.1, 0.1, 0.1], 10, [1, 1, 1]),  # 0.30000000000000004 epochs are 3 steps, not 4
        ([50] * 5, 7, [350] * 5),
        ([1, 1, 1.01], 10, [10, 10, 11]),
        ([1 / 3, 1 / 3, 1 / 3], 7, [2, 3, 2]),
    ],
    ids=["paper", "vgg", "vgg-half-step", "half", "float-sum", "float-sum-small", "iterative", "round-up", "thirds"],
)
def test_epochs_become_the_nearest_steps(epochs, steps_per_epoch, steps):
    assert [phase.steps for phase in Schedule.from_epochs(epochs, steps_per_epoch).phases] == steps


@pytest.mark.parametrize(
    ("total", "sparsity", "steps"),
    [
        (3, 0.3, [1, 1, 1]),
        (4, 0.3, [1, 2, 1]),
        (10, 0.3, [3, 4, 3]),
        (30, 0.3, [10, 10, 10]),
        (5, [0.5, 0.25], [1, 1, 1, 1, 1]),
        (11, [0.5, 0.25], [2, 2, 3, 2, 2]),
    ],
    ids=lambda value: str(value),
)
def test_equal_parts(total, sparsity, steps):
    assert [phase.steps for phase in Schedule.equal_parts(total, sparsity).phases] == steps


@pytest.mark.parametrize("count", [1, 2, 3], ids=lambda n: f"{n}-sparse")
def test_equal_parts_exist_for_every_total_from_one_step_per_phase(count):
    for total in range(2 * count + 1, 200):
        steps = [phase.steps for phase in Schedule.equal_parts(total, [0.5] * count).phases]
        assert sum(steps) == total
        assert max(steps) - min(steps) <= 1


@pytest.mark.parametrize(
    ("cut_at", "steps"),
    [
        (1, [1, 4, 5]),
        (2, [2, 4, 5]),
        (3, [3, 4, 5]),
        (4, [3, 1, 5]),
        (7, [3, 4, 5]),
        (8, [3, 4, 1]),
        (12, [3, 4, 5]),
    ],
    ids=lambda value: str(value),
)
def test_cut_ends_the_phase_of_the_last_finished_step(cut_at, steps):
    cut = Schedule.from_steps([3, 4, 5], learning_rates=[3.0, 2.0, 1.0]).cut(cut_at)
    assert [phase.steps for phase in cut.phases] == steps
    assert cut == Schedule.from_steps(steps, learning_rates=[3.0, 2.0, 1.0])
    ended = cut.phase_at(cut_at - 1)
    assert ended.end == cut_at
    assert cut.phase_at(cut_at).index == min(ended.index + 1, 2)


def test_cuts_add_up():
    schedule = Schedule.from_steps([10, 10, 10])
    assert schedule.cut(4).cut(6) == Schedule.from_steps([4, 2, 10])
    assert schedule.cut(4).cut(6).cut(16).total_steps == 16


@pytest.mark.parametrize("step", [0, -1, 13], ids=str)
def test_cut_outside_the_run_is_refused(step):
    with pytest.raises(ValueError, match=rf"^step must be in 1\.\.12 \(the run's length\), got {step}$"):
        Schedule.from_steps([3, 4, 5]).cut(step)


def test_negative_step_is_refused():
    with pytest.raises(ValueError, match=r"^step must be at least 0, got -1$"):
        Schedule.from_steps([3, 4, 5]).phase_at(-1)


def test_dense_control_changes_nothing_but_the_masks():
    schedule = Schedule.from_steps([0, 4, 5], sparsity=0.5, learning_rates=[3.0, 2.0, 1.0])
    control = schedule.dense_control()
    assert [(p.start, p.end, p.learning_rate) for p in control.phases] == [
        (p.start, p.end, p.learning_rate) for p in schedule.phases
    ]
    assert [(p.kind, p.sparsity) for p in control.phases] == [(D, 0.0)] * 3


def test_without_learning_rates_the_phases_are_the_same():
    schedule = Schedule.from_steps([0, 4, 5], sparsity=0.5, learning_rates=[3.0, 2.0, 1.0])
    assert schedule.without_learning_rates() == Schedule.from_steps([0, 4, 5], sparsity=0.5)


@pytest.mark.parametrize(
    "schedule",
    [
        Schedule.from_steps([3, 4, 5]),
        Schedule.from_steps([0, 4, 5, 1, 1], sparsity=[0.1, 0.7], learning_rates=[1e-3 / 3, 2.0, 1.0, 0.1, 1e-300]),
        Schedule.from_epochs([1, 1.25, 2], 7, sparsity=1 / 3).cut(3),
        Schedule.equal_parts(100).dense_control(),
    ],
    ids=["steps", "iterative", "cut", "control"],
)
def test_round_trip_through_json(schedule):
    assert Schedule.from_dict(json.loads(json.dumps(schedule.to_dict()))) == schedule


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"steps": [1]}, "steps must give the length of each phase, D,S[,D,S...], of at least 2, got [1]"),
        ({"steps": []}, "steps must give the length of each phase, D,S[,D,S...], of at least 2, got []"),
        ({"steps": [1, 0]}, "steps must be positive (only the first may be 0), got [1, 0]"),
        ({"steps": 3}, "steps must give the length of each phase, D,S[,D,S...], of at least 2, got 3"),
        ({"steps": "111"}, "steps must give the length of each phase, D,S[,D,S...], of at least 2, got 111"),
        ({"steps": [1, "2", 1]}, "steps must be positive (only the first may be 0), got [1, '2', 1]"),
        ({"steps": [1, 0, 1]}, "steps must be positive (only the first may be 0), got [1, 0, 1]"),
        ({"steps": [1, 1, 0]}, "steps must be positive (only the first may be 0), got [1, 1, 0]"),
        ({"steps": [-1, 1, 1]}, "steps must be positive (only the first may be 0), got [-1, 1, 1]"),
        ({"steps": [1, float("inf"), 1]}, "steps must be positive (only the first may be 0), got [1, inf, 1]"),
        ({"steps": [float("nan"), 1, 1]}, "steps must be positive (only the first may be 0), got [nan, 1, 1]"),
        ({"steps": [1, 1.5, 1]}, "steps must be whole numbers of optimizer steps, got [1, 1.5, 1]"),
        ({"sparsity": 1}, "sparsity must be a fraction in [0, 1), got 1"),
        ({"sparsity": -0.1}, "sparsity must be a fraction in [0, 1), got -0.1"),
        ({"sparsity": 30}, "sparsity must be a fraction in [0, 1), got 30; write 0.3 for 30 %"),
        ({"sparsity": float("nan")}, "sparsity must be a fraction in [0, 1), got nan"),
        ({"sparsity": []}, "sparsity must hold one number per sparse phase, got an empty list"),
        ({"sparsity": "half"}, "sparsity must be a fraction in [0, 1), got 'half'"),
        ({"sparsity": "0.3"}, "sparsity must be a fraction in [0, 1), got '0.3'"),
        ({"sparsity": None}, "sparsity must be a fraction in [0, 1), got None"),
        ({"sparsity": [0.3, None]}, "sparsity must be a fraction in [0, 1), got None"),
        (
            {"steps": [1, 1, 1, 1], "sparsity": [0.3, 0.2, 0.1]},
            "sparsity must hold one number, or one per sparse phase: steps has 2 sparse phase(s), got 3 "
            "sparsities [0.3, 0.2, 0.1]",
        ),
        (
            {"sparsity": [0.3, 0.2]},
            "sparsity must hold one number, or one per sparse phase: steps has 1 sparse phase(s), got 2 "
            "sparsities [0.3, 0.2]",
        ),
        ({"learning_rates": [1.0, 1.0]}, "learning_rates must hold one rate per phase (3), got [1.0, 1.0]"),
        ({"learning_rates": 1e-3}, "learning_rates must hold one rate per phase (3), got 0.001"),
        ({"learning_rates": []}, "learning_rates must hold one rate per phase (3), got []"),
        ({"learning_rates": [1.0, 0.0, 1]}, "learning_rates must be positive and finite, got [1.0, 0.0, 1]"),
        ({"learning_rates": [1, -1.0, 1]}, "learning_rates must be positive and finite, got [1, -1.0, 1]"),
        ({"learning_rates": [1, 1, 1e999]}, "learning_rates must be positive and finite, got [1, 1, inf]"),
        ({"learning_rates": ["1", 1, 1]}, "learning_rates must be positive and finite, got ['1', 1, 1]"),
    ],
    ids=lambda value: " ".join(f"{k}={v}" for k, v in value.items()) if isinstance(value, dict) else "",
)
def test_bad_value_is_refused_by_name(kwargs, message):
    with pytest.raises(ValueError, match="^" + re.escape(message) + "$"):
        Schedule.from_steps(**{"steps": [1, 1, 1], **kwargs})


def test_a_loops_user_is_told_of_the_names_that_he_typed():
    """And the Trainer's of its fields'."""
    message = r"must give the length of each phase, D,S\[,D,S\.\.\.\], of at least 2, got \[500\]$"
    with pytest.raises(ValueError, match="^steps " + message):
        Schedule.from_steps([500])
    with pytest.raises(ValueError, match="^phase_steps " + message):
        Schedule.from_steps([500], prefix="phase_")
    with pytest.raises(ValueError, match="^phase_learning_rates must"):
        Schedule.equal_parts(9, learning_rates=[1.0], prefix="phase_")


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (
            lambda: Schedule.from_epochs([1, 0.1, 1], 4),
            "epochs must give every phase after the first at least one optimizer step, got [1, 0.1, 1], which "
            "is [4, 0, 5] steps; train longer or use fewer phases",
        ),
        (
            lambda: Schedule.equal_parts(2),
            "the run's length must give every phase after the first at least one optimizer step, got ['2 steps'], "
            "which is [1, 0, 1] steps; train longer or use fewer phases",
        ),
        (
            lambda: Schedule.equal_parts(4, [0.5, 0.25]),
            "the run's length must give every phase after the first at least one optimizer step, got ['4 steps'], "
            "which is [1, 1, 0, 1, 1] steps; train longer or use fewer phases",
        ),
        (
            lambda: Schedule.from_epochs([1], 4),
            "epochs must give the length of each phase, D,S[,D,S...], of at least 2, got [1]",
        ),
        (lambda: Schedule.equal_parts(9, 1.5), "sparsity must be a fraction in [0, 1), got 1.5; write 0.015 for 1.5 %"),
        (lambda: check_sparsity(2, "amount"), "amount must be a fraction in [0, 1), got 2; write 0.02 for 2 %"),
    ],
    ids=["short-epochs", "two-steps", "four-steps", "one-phase", "percent", "field"],
)
def test_bad_length_is_refused_by_name(build, message):
    with pytest.raises(ValueError, match="^" + re.escape(message) + "$"):
        build()


def test_default_learning_rates_fall_by_a_tenth_after_each_sparse_phase():
    assert default_learning_rates(1e-3, 3) == [1e-3, 1e-3, 1e-4]
    assert default_learning_rates(2.0, 5) == [2.0, 2.0, 0.2, 0.2, 0.02]
    check_learning_rates(default_learning_rates(1e-3, 7), 7)


def test_check_sparsity_takes_numbers_and_sequences():
    assert check_sparsity(0) == [0.0]
    assert check_sparsity((0.25, 0)) == [0.25, 0.0]


def test_a_schedule_is_one_line():
    schedule = Schedule.from_steps([5, 4, 3, 2, 1], [0.5, 0.25])
    phases = "phase-0-dense 5 steps, phase-1-sparse 4 steps at 0.5, phase-2-dense 3 steps"
    assert repr(schedule) == f"Schedule({phases}, phase-3-sparse 2 steps at 0.25, phase-4-dense 1 steps)"
