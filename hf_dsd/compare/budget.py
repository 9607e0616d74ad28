"""Whether arms have trained for as long as their control, which a comparison at an equal budget claims."""

from collections.abc import Mapping, Sequence

from .arms import BASELINE, trained_by
from .run_results import RunResult

_NEAR = 0.01

Steps = Mapping[int, int]
"""Seed -> optimizer steps of an arm's finished run."""


def unequal_budgets(finished: Sequence[RunResult], baseline: str) -> dict[str, dict[str, tuple[Steps, Steps]]]:
    """The controls whose steps are not within 1 % of those of an arm that prunes, seed by seed.

    Args:
        finished: Results of a comparison; models that are read off another arm's run are passed over.
        baseline: The arm that all are compared with: it is a control, as `dense` is.

    Returns:
        Control -> the arms that it is no equal-budget control of -> the control's steps and the arm's, by seed.
    """
    arms: dict[str, dict[int, int]] = {}
    for one in finished:
        if one.steps is not None and trained_by(one.arm, baseline) == one.arm:
            arms.setdefault(one.arm, {})[one.seed] = one.steps
    prunes = [arm for arm in arms if any(one.arm == arm and one.criterion for one in finished)]
    found: dict[str, dict[str, tuple[Steps, Steps]]] = {}
    for control in dict.fromkeys([baseline, BASELINE]):
        for arm in prunes:
            own, other = arms.get(control, {}), arms[arm]
            if any(abs(own[seed] - other[seed]) > _NEAR * other[seed] for seed in own.keys() & other.keys()):
                found.setdefault(control, {})[arm] = own, other
    return found


def budget_sentences(unequal: Mapping[str, Mapping[str, tuple[Steps, Steps]]]) -> list[str]:
    """What to put behind a verdict, of `unequal_budgets`: `dense trained for 4 steps, dsd for 40: no equal budget`."""
    sentences = []
    for control, arms in unequal.items():
        own = next(steps for steps, _ in arms.values())
        by_length: dict[str, list[str]] = {}
        for arm, (_, steps) in arms.items():
            by_length.setdefault(_words(steps), []).append(arm)
        others = "; ".join(f"{', '.join(names)} for {length}" for length, names in by_length.items())
        sentences.append(f"{control} trained for {_words(own)} steps, {others}: no equal budget.")
    return sentences


def _words(steps: Steps) -> str:
    ends = sorted({min(steps.values()), max(steps.values())})
    return " to ".join(f"{end:,}" for end in ends)
