"""What a comparison says in one sentence."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from hf_dsd.runs.folder import EARLY
from hf_dsd.runs.metric_names import is_rate, short_title
from hf_dsd.runs.numbers import ALPHA, difference_text, p_text, score_text, score_with_unit, size_unit

from .statistics import POWER, SeedTest, detectable_difference, is_constant

Outcome = Literal["better", "worse", "not distinguishable"]


@dataclass(frozen=True)
class Verdict:
    """Whether an arm beat its control.

    Attributes:
        arm: The arm judged.
        to: Its control.
        outcome: In words.
        text: One sentence, and one more for each arm of it of which seeds are missing, and each that has no result,
            and on arms that trained for longer or shorter than their control.
        early: The outcome against the control's early stop; None where that is no rival.
    """

    arm: str
    to: str
    outcome: Outcome
    text: str
    early: Outcome | None = None

    @property
    def headline(self) -> str:
        """`better`, of every rival; else `better than dense; not distinguishable from early`."""
        if self.early in (None, self.outcome):
            return self.outcome
        words = {"not distinguishable": "not distinguishable from", "better": "better than", "worse": "worse than"}
        return f"{words[self.outcome]} {self.to}; {words[str(self.early)]} {EARLY}"


@dataclass(frozen=True)
class SeedCount:
    """How many seeds of an arm a verdict stands on.

    Attributes:
        arm: The arm.
        started: Seeds that were started.
        missing: How many of them have no result: failed, diverged or not finished.
        diverged: How many of these have weights or a score that are no finite numbers.
    """

    arm: str
    started: int = 0
    missing: int = 0
    diverged: int = 0

    @property
    def missing_text(self) -> str:
        """A sentence to put behind a verdict; "" where no seed is missing."""
        verb = "has" if self.missing == 1 else "have"
        return f" {self.missing} of {self.started} seeds of {self.arm} {verb} no result." if self.missing else ""


@dataclass(frozen=True)
class Family:
    """The tests that a comparison makes at once: the more there are, the likelier one of them is small by chance.

    Attributes:
        tests: What is tested over two seeds or more: an arm, against the control, or `dsd against early`.
        p: Of the test judged, adjusted by Holm's rule; None where its test says nothing, which counts, too.
    """

    tests: Sequence[str]
    p: float | None


def judge(
    arm: SeedCount,
    to: SeedCount,
    test: SeedTest,
    values: Sequence[float],
    family: Family,
    *,
    won: int,
    metric: str,
    greater_is_better: bool,
) -> Verdict:
    """Applies the rule to one paired test over seeds.

    The rule: `better` or `worse` if the paired t test over at least two seeds has p < 0.05 (two-sided, adjusted by
    Holm's rule where several arms are tested), by the sign of the mean difference and the metric's direction; `not
    distinguishable` otherwise. Tests across examples never decide: they compare two models, not two methods. So one
    seed never gives `better`; nor do the seeds that are left of an arm that diverged with others.

    Args:
        arm: The arm judged.
        to: Its control.
        test: Of the differences, arm - control, one per seed.
        values: The arm's own scores, one per seed of the test.
        family: All tests that are made with it.
        won: With how many of these seeds the arm is better.
        metric: How the sentence calls and formats the score.
        greater_is_better: Its direction.
    """
    outcome, text = _outcome(arm, to, test, values, family, won, metric, greater_is_better=greater_is_better)
    return Verdict(arm.arm, to.arm, outcome, text + arm.missing_text + to.missing_text)


def _outcome(
    arm: SeedCount,
    to: SeedCount,
    test: SeedTest,
    values: Sequence[float],
    family: Family,
    won: int,
    metric: str,
    *,
    greater_is_better: bool,
) -> tuple[Outcome, str]:
    size = difference_text(test.mean, metric)
    seeds = f"{test.n} seeds" if test.n > 1 else "one seed"
    is_open = f"{arm.arm} and {to.arm} are not distinguishable"
    if test.n == 1:
        return "not distinguishable", (
            f"{is_open} with one seed: {size}, and one seed cannot tell a method from luck; run at least two, "
            "better five."
        )
    if test.p is None:
        reason = _no_spread(arm.arm, test.n, values, won)
        return "not distinguishable", f"{is_open} with {seeds}: {size} on average, the same in every seed, {reason}."
    tested = f"(better with {won} of {test.n}; paired t, {_p_words(test.p)}{_family_words(family)})"
    if family.p is None or family.p >= ALPHA:
        least = _least_words(test, metric, len(family.tests))
        return "not distinguishable", f"{is_open} with {seeds}: {size} on average {tested}{least}."
    found = f"{size} on average over {seeds} {tested}"
    wins = (test.mean > 0) == greater_is_better
    if wins and arm.diverged:
        diverged = f"{arm.arm} diverged with {arm.diverged} of {arm.started} seeds"
        remedy = "lower its learning rate and train every seed anew"
        return "not distinguishable", f"{is_open}: {found}, but {diverged}; {remedy}."
    outcome: Outcome = "better" if wins else "worse"
    return outcome, f"{arm.arm} is {outcome} than {to.arm}: {found}."


def _p_words(p: float) -> str:
    text = p_text(p)
    return f"p {text}" if text.startswith("<") else f"p = {text}"


def _family_words(family: Family) -> str:
    if len(family.tests) < 2 or family.p is None:
        return ""
    return f", {_p_words(family.p)} by Holm's rule over {len(family.tests)} tests: {', '.join(family.tests)}"


def _no_spread(arm: str, n: int, values: Sequence[float], won: int) -> str:
    """Why differences that are all the same have no p value, and what there is instead."""
    if is_constant(values):
        return "so the seeds seem to change nothing; check that the script uses --seed"
    return f"so the differences have no spread and a t test says nothing; {arm} wins with {won} of {n} seeds"


def _least_words(test: SeedTest, metric: str, tests: int) -> str:
    least = detectable_difference(test.sd, test.n, tests)
    if least is None:
        return ""
    size, among = f"{score_text(least, metric)} {size_unit(metric)}", f" among {tests} tests" if tests > 1 else ""
    return f"; {test.n} such seeds detect {size} or more with {POWER:.0%} power{among}"


def without_seeds(arm: SeedCount, to: SeedCount) -> Verdict:
    """The verdict on an arm none of whose seeds stands beside one of its control's."""
    diverged = f" ({arm.diverged} diverged)" if arm.diverged else ""
    text = (
        f"No verdict on {arm.arm}: of its {arm.started} seeds {arm.missing} have no result{diverged}, and none is left "
        f"to compare with {to.arm}."
    )
    return Verdict(arm.arm, to.arm, "not distinguishable", text + to.missing_text)


def has_learnt_nothing(values: Sequence[float], metric: str, *, greater_is_better: bool) -> bool:
    """True if no model of a comparison scores better than silence: 0 BLEU, or every word wrong."""
    if is_rate(metric) and not greater_is_better:
        return min(values) >= 1
    return greater_is_better and max(values) == 0


def no_verdict(arm: SeedCount, to: SeedCount, values: Sequence[float], metric: str) -> Verdict:
    """The verdict on models that have learnt nothing."""
    best = f"{short_title(metric)} other than {score_with_unit(min(values), metric)}"
    text = (
        f"{arm.arm} and {to.arm} cannot be compared: no model reaches a {best}, so none has learnt anything; train "
        "longer, or with another learning rate."
    )
    return Verdict(arm.arm, to.arm, "not distinguishable", text + arm.missing_text + to.missing_text)
