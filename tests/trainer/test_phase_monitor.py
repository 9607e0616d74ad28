"""A phase's best evaluation, and when it has converged."""

import json
import math
import re

import pytest

from hf_dsd.trainer.phase_monitor import PhaseMonitor


def observe_all(monitor, values):
    """Whether each value was the best so far, and whether the phase had converged after it."""
    return [(monitor.observe({"eval_loss": v}, step), monitor.has_converged) for step, v in enumerate(values, start=1)]


def test_lower_is_better():
    monitor = PhaseMonitor("loss", greater_is_better=False, patience=2)
    table = [(2.0, True, False), (1.0, True, False), (1.0, False, False), (0.5, True, False), (0.6, False, False)]
    assert observe_all(monitor, [v for v, *_ in table]) == [(best, done) for _, best, done in table]
    assert (monitor.best, monitor.best_step, monitor.stale) == (0.5, 4, 1)
    assert observe_all(monitor, [0.7]) == [(False, True)]


def test_greater_is_better():
    monitor = PhaseMonitor("eval_loss", greater_is_better=True, patience=1)
    assert observe_all(monitor, [0.1, 0.2, 0.2]) == [(True, False), (True, False), (False, True)]
    assert (monitor.best, monitor.best_step) == (0.2, 2)


def test_without_patience_it_waits_for_ever():
    monitor = PhaseMonitor("loss", greater_is_better=False)
    assert observe_all(monitor, [1.0, *[2.0] * 50])[-1] == (False, False)
    assert monitor.stale == 50


@pytest.mark.parametrize("greater", [True, False], ids=["greater", "lower"])
def test_nan_is_never_the_best(greater):
    monitor = PhaseMonitor("loss", greater, patience=3)
    assert observe_all(monitor, [math.nan, math.nan, 1.0, math.nan]) == [
        (False, False),
        (False, False),
        (True, False),
        (False, False),
    ]
    assert (monitor.best, monitor.best_step, monitor.stale) == (1.0, 3, 1)


def test_nan_alone_exhausts_the_patience():
    monitor = PhaseMonitor("loss", greater_is_better=False, patience=2)
    assert observe_all(monitor, [math.nan, math.nan]) == [(False, False), (False, True)]
    assert monitor.best is None


def test_infinity_can_be_improved_on():
    monitor = PhaseMonitor("loss", greater_is_better=False, patience=1)
    assert observe_all(monitor, [math.inf, 5.0]) == [(True, False), (True, False)]


def test_a_new_phase_starts_afresh():
    monitor = PhaseMonitor("loss", greater_is_better=False, patience=1)
    observe_all(monitor, [1.0, 2.0])
    monitor.begin_phase()
    assert (monitor.best, monitor.best_step, monitor.stale, monitor.has_converged) == (None, 0, 0, False)
    assert observe_all(monitor, [9.0]) == [(True, False)]


def test_state_survives_json():
    monitor = PhaseMonitor("loss", greater_is_better=False, patience=2)
    observe_all(monitor, [1.0, 2.0])
    state = json.loads(json.dumps(monitor.state_dict()))
    assert state == {"best": 1.0, "best_step": 1, "stale": 1}
    resumed = PhaseMonitor("loss", greater_is_better=False, patience=2)
    resumed.load_state_dict(state)
    assert resumed == monitor
    assert observe_all(resumed, [3.0]) == [(False, True)]


@pytest.mark.parametrize("name", ["bleu4", "eval_bleu4"])
def test_a_metric_that_is_not_there_is_refused(name):
    message = f"metric_for_best_model must be one of ['eval_loss', 'eval_wer'], got '{name}'"
    with pytest.raises(ValueError, match="^" + re.escape(message) + "$"):
        PhaseMonitor(name, greater_is_better=True).observe({"eval_wer": 0.1, "eval_loss": 1.0}, 1)
