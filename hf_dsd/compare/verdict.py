"""What a comparison says in one sentence.

Layer: the names of scores, and the test next door.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from hf_dsd.runs.metric_names import is_rate, short_title

from .seed_significance import ALPHA, POWER, SeedTest, is_constant, seeds_needed

Outcome = Literal["better", "worse", "not distinguishable"]


@dataclass(frozen=True)
class Verdict:
    """Whether an arm beat its control.

    Attributes:
        arm: The arm judged.
        to: Its control.
        outcome: In words.
        text: One sentence.
        seeds_needed: Where the outcome is open: seeds for a decision, if the observed difference is the true one.
    """

    arm: str
    to: str
    outcome: Outcome
    text: str
    seeds_needed: int | None


@dataclass(frozen=True)
class SeedCount:
    """How many seeds of an arm a verdict stands on.

    Attributes:
        arm: The arm.
        started: Seeds that were started.
        missing: How many of them have no result: failed, diverged or not finished.
        diverged: How many of these have a score that is no finite number.
    """

    arm: str
    started: int = 0
    missing: int = 0
    diverged: int = 0


def judge(
    arm: SeedCount, to: SeedCount, test: SeedTest, values: Sequence[float], *, metric: str, greater_is_better: bool
) -> Verdict:
    """Applies the rule to one paired test over seeds.

    The rule: `better` or `worse` if the paired t test over at least two seeds has p < 0.05 (two-sided), by the sign of
    the mean difference and the metric's direction; `not distinguishable` otherwise. Tests across examples never
    decide: they compare two models, not two methods. So one seed never gives `better`; nor do the seeds that are left
    of an arm that diverged with others.

    Args:
        arm: The arm judged.
        to: Its control.
        test: Of the differences, arm - control, one per seed.
        values: The arm's own scores, one per seed of the test.
        metric: How the sentence calls and formats the score.
        greater_is_better: Its direction.
    """
    outcome, text, needed = _outcome(arm, to, test, values, metric, greater_is_better=greater_is_better)
    return Verdict(arm.arm, to.arm, outcome, text + _missing(arm) + _missing(to), needed)


def _outcome(
    arm: SeedCount, to: SeedCount, test: SeedTest, values: Sequence[float], metric: str, *, greater_is_better: bool
) -> tuple[Outcome, str, int | None]:
    size = format_difference(test.mean, metric)
    seeds = f"{test.n} seeds" if test.n > 1 else "one seed"
    wins = (test.mean > 0) == greater_is_better
    if test.p is None or test.p >= ALPHA:
        needed = seeds_needed(test.mean, test.sd) if test.sd is not None else None
        reason = _reason(test, needed) if test.p is not None else _no_test(arm.arm, test.n, values, wins=wins)
        return "not distinguishable", f"{_open(arm, to)} with {seeds}: {size} on average{reason}.", needed
    found = f"{size} on average over {seeds} (paired t, {_p_text(test.p)})"
    if wins and arm.diverged:
        diverged = f"{arm.arm} diverged with {arm.diverged} of {arm.started} seeds"
        remedy = "lower its learning rate and train every seed anew"
        return "not distinguishable", f"{_open(arm, to)}: {found}, but {diverged}; {remedy}.", None
    outcome: Outcome = "better" if wins else "worse"
    return outcome, f"{arm.arm} is {outcome} than {to.arm}: {found}.", None


def _open(arm: SeedCount, to: SeedCount) -> str:
    return f"{arm.arm} and {to.arm} are not distinguishable"


def _missing(count: SeedCount) -> str:
    if not count.missing:
        return ""
    return (
        f" {count.missing} of {count.started} seeds of {count.arm} {'has' if count.missing == 1 else 'have'} no result."
    )


def has_learnt_nothing(values: Sequence[float], metric: str, *, greater_is_better: bool) -> bool:
    """True if no model of a comparison scores better than silence: 0 BLEU, or every word wrong."""
    if is_rate(metric) and not greater_is_better:
        return min(values) >= 1
    return greater_is_better and max(values) == 0


def no_verdict(arm: SeedCount, to: SeedCount, values: Sequence[float], metric: str) -> Verdict:
    """The verdict on models that have learnt nothing."""
    best = f"{short_title(metric)} other than {format_value(min(values), metric)}"
    text = (
        f"{arm.arm} and {to.arm} cannot be compared: no model reaches a {best}, so none has learnt anything; train "
        "longer, or with another learning rate."
    )
    return Verdict(arm.arm, to.arm, "not distinguishable", text + _missing(arm) + _missing(to), None)


def format_p(value: float | None) -> str:
    """A p value in three digits, in more where three would round it onto the line; `-` where there is none."""
    if value is None:
        return "-"
    if value < 0.001:
        return "< 0.001"
    digits = 3
    while float(f"{value:.{digits}f}") == ALPHA and digits < 8:
        digits += 1
    return f"{value:.{digits}f}" if digits < 8 else f"{value:.3f}"


def _p_text(p: float | None) -> str:
    text = format_p(p)
    return f"p {text}" if text.startswith("<") else f"p = {text}"


def _no_test(arm: str, n: int, values: Sequence[float], *, wins: bool) -> str:
    """Why there is no p value, and what there is instead."""
    if n == 1:
        return ", and one seed cannot tell a method from luck; run at least two, better five"
    if is_constant(values):
        return ", the same in every seed, so the seeds seem to change nothing; check that the script uses --seed"
    won = n if wins else 0
    return (
        ", the same in every seed, so the differences have no spread and a t test says nothing; "
        f"{arm} wins with {won} of {n} seeds"
    )


def _reason(test: SeedTest, needed: int | None) -> str:
    found = f" (paired t, {_p_text(test.p)})"
    if needed is None:
        return f"{found}; no practical number of seeds would tell them apart"
    return f"{found}; a difference of this size would need about {needed} seeds for {POWER:.0%} power"


def format_value(value: float, metric: str) -> str:
    """`31.4 %` for an error rate, `17.52` for BLEU (0..100), four digits for a loss."""
    if is_rate(metric):
        return f"{100 * value:.2f} %"
    return f"{value:.4f}" if metric.endswith("loss") else f"{value:.2f}"


def format_difference(value: float, metric: str) -> str:
    """`-0.40 points of WER`: a signed difference with its unit."""
    name = short_title(metric)
    if is_rate(metric):
        return f"{100 * value:+.2f} points of {name}"
    if name.startswith("BLEU"):
        return f"{value:+.2f} {name}"
    return f"{value:+.4f} {name}"
