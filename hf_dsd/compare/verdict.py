"""What a comparison says in one sentence.

Layer: the names of scores, and the test next door.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from hf_dsd.metrics import is_rate, short_title

from .seed_significance import ALPHA, POWER, SeedTest, seeds_needed

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


def judge(arm: str, to: str, test: SeedTest, *, metric: str, greater_is_better: bool) -> Verdict:
    """Applies the rule to one paired test over seeds.

    The rule: `better` or `worse` if the paired t test over at least two seeds has p < 0.05 (two-sided), by the sign of
    the mean difference and the metric's direction; `not distinguishable` otherwise. Tests across examples never
    decide: they compare two models, not two methods. So one seed never gives `better`.

    Args:
        arm: The arm judged.
        to: Its control.
        test: Of the differences, arm - control, one per seed.
        metric: How the sentence calls and formats the score.
        greater_is_better: Its direction.
    """
    size = format_difference(test.mean, metric)
    seeds = f"{test.n} seeds" if test.n > 1 else "one seed"
    if test.p is not None and test.p < ALPHA:
        outcome: Outcome = "better" if (test.mean > 0) == greater_is_better else "worse"
        text = f"{arm} is {outcome} than {to}: {size} on average over {seeds} (paired t, p = {test.p:.3f})."
        return Verdict(arm, to, outcome, text, None)
    needed = seeds_needed(test.mean, test.sd) if test.sd is not None else None
    text = f"{arm} and {to} are not distinguishable with {seeds}: {size} on average{_reason(test, needed)}."
    return Verdict(arm, to, "not distinguishable", text, needed)


def has_learnt_nothing(values: Sequence[float], metric: str, *, greater_is_better: bool) -> bool:
    """True if no model of a comparison scores better than silence: 0 BLEU, or every word wrong."""
    if is_rate(metric) and not greater_is_better:
        return min(values) >= 1
    return greater_is_better and max(values) == 0


def no_verdict(arm: str, to: str, values: Sequence[float], metric: str) -> Verdict:
    """The verdict on models that have learnt nothing."""
    best = f"{short_title(metric)} other than {format_value(min(values), metric)}"
    text = (
        f"{arm} and {to} cannot be compared: no model reaches a {best}, so none has learnt anything; train longer, or "
        "with another learning rate."
    )
    return Verdict(arm, to, "not distinguishable", text, None)


def _reason(test: SeedTest, needed: int | None) -> str:
    if test.n == 1:
        return ", and one seed cannot tell a method from luck; run at least two, better five"
    if test.p is None:
        return ", the same in every seed, so the seeds seem to change nothing; check that the script uses --seed"
    power = f"for {POWER:.0%} power"
    if needed is None:
        return f" (paired t, p = {test.p:.3f}); no practical number of seeds would tell them apart"
    return f" (paired t, p = {test.p:.3f}); a difference of this size would need about {needed} seeds {power}"


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
