"""Every arm against its rivals, seed by seed, and what can be claimed of that."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import chain
from typing import Any

from hf_dsd.runs.folder import EARLY

from .example_interval import Resamples, hierarchical_interval, resample_examples
from .run_results import RunResult
from .statistics import detectable_difference, effect_size, holm, paired_t
from .verdict import Family, SeedCount, Verdict, has_learnt_nothing, judge, no_verdict, without_seeds

Pair = tuple[RunResult, RunResult]
_Drawn = dict[tuple[str, int], Resamples | None]  # by arm and seed: each run's examples are drawn once


@dataclass(frozen=True)
class Difference:
    """An arm against a rival, over the seeds that both have finished.

    Attributes:
        arm: The arm.
        to: Its rival: the baseline, or `early`, the baseline stopped at its best validation evaluation.
        n: Number of seeds.
        seeds: These seeds.
        per_seed: Arm - rival, one per seed.
        mean: Of these.
        sd: Their sample standard deviation; None for one seed.
        interval: 95 % interval of the mean, by Student's t; None for one seed.
        p_seeds: Paired t over seeds, two-sided; None where it says nothing.
        p_holm: `p_seeds` adjusted by Holm's rule for all differences of the comparison over two seeds or more.
        detectable: The smallest true difference that so many seeds of this spread find with 80 % power as one of these
            tests; None for one seed, or without a spread, like the next two.
        effect: Cohen's dz: mean / sd.
        effect_interval: Its 95 % interval.
        example_interval: 95 % interval over other seeds and other examples; None without texts to draw from.
        budget: The arm's optimizer steps / the rival's; None where unknown.
    """

    arm: str
    to: str
    n: int
    seeds: Sequence[int]
    per_seed: Sequence[float]
    mean: float
    sd: float | None
    interval: tuple[float, float] | None
    p_seeds: float | None
    p_holm: float | None = None
    detectable: float | None = None
    effect: float | None = None
    effect_interval: tuple[float, float] | None = None
    example_interval: tuple[float, float] | None = None
    budget: float | None = None

    @classmethod
    def of_seeds(cls, arm: str, to: str, seeds: Sequence[int], per_seed: Sequence[float]) -> "Difference":
        """The difference as far as the seeds' own tell it."""
        test = paired_t(per_seed)
        effect, ends = effect_size(test) or (None, None)
        return cls(
            *(arm, to, test.n, list(seeds), list(per_seed), test.mean, test.sd, test.interval, test.p),
            effect=effect,
            effect_interval=ends,
        )

    @classmethod
    def judged_anew(cls, stored: Mapping[str, Any]) -> "Difference":
        """The difference that an older version stored: its seeds by the rules of today, and what only its runs told."""
        found = cls.of_seeds(stored["arm"], stored["to"], stored["seeds"], stored["per_seed"])
        ends = stored.get("example_interval")
        if ends is not None and found.interval is not None:  # up to version 3 it could be narrower than the seeds' own
            ends = min(ends[0], found.interval[0]), max(ends[1], found.interval[1])
        return replace(found, example_interval=ends and (ends[0], ends[1]), budget=stored.get("budget"))

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "Difference":
        """A difference from JSON, where an interval is a list; a field that there is none of is a TypeError."""
        pairs = {key: tuple(value) for key, value in content.items() if key.endswith("interval") and value is not None}
        return cls(**{**content, **pairs})

    def to_dict(self) -> dict[str, Any]:
        """The JSON of it."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    def numbers(self, *, greater_is_better: bool) -> dict[str, float | None]:
        """All of its numbers, each under a name of its own, as the columns of a table."""
        found: dict[str, float | None] = {}
        for key, value in asdict(self).items():
            if key.endswith("interval"):
                found[f"{key}_low"], found[f"{key}_high"] = value or (None, None)
            elif key not in ("arm", "to", "seeds", "per_seed"):
                found[key] = value
        found["wins"] = self.wins(greater_is_better=greater_is_better)
        return found | {f"seed_{seed}": value for seed, value in zip(self.seeds, self.per_seed, strict=True)}

    def wins(self, *, greater_is_better: bool) -> int:
        """With how many seeds the arm is better than its rival."""
        return sum((value > 0) == greater_is_better and value != 0 for value in self.per_seed)


def find_differences(finished: Sequence[RunResult], baseline: str) -> list[Difference]:
    """Every arm against the baseline, and every arm that prunes, at random too, against its early stop.

    Not tested are `sparse`, which ends before DSD does, and the early stop against its own run.
    """
    by_arm: dict[str, dict[int, RunResult]] = {}
    for result in finished:
        by_arm.setdefault(result.arm, {})[result.seed] = result
    arms = [arm for arm in by_arm if arm not in (baseline, "sparse", EARLY)]
    rivals = [(arm, baseline) for arm in arms]
    rivals += [(arm, EARLY) for arm in arms if all(result.criterion for result in by_arm[arm].values())]
    drawn: _Drawn = {}
    found = []
    for arm, rival in rivals:
        own, other = by_arm[arm], by_arm.get(rival, {})
        pairs = [(own[seed], other[seed]) for seed in own if seed in other]
        if pairs:
            found.append(_difference(arm, rival, pairs, drawn))
    return adjusted(found)


def _difference(arm: str, rival: str, pairs: Sequence[Pair], drawn: _Drawn) -> Difference:
    found = Difference.of_seeds(
        arm, rival, [own.seed for own, _ in pairs], [own.number - other.number for own, other in pairs]
    )
    steps = [sum(one.steps or 0 for one in side) for side in zip(*pairs, strict=True)]
    return replace(
        found, example_interval=_over_examples(pairs, drawn), budget=steps[0] / steps[1] if all(steps) else None
    )


def _over_examples(pairs: Sequence[Pair], drawn: _Drawn) -> tuple[float, float] | None:
    """The interval over seeds and examples; keeps in `drawn` what has been drawn of each run."""
    if not all(one.examples for pair in pairs for one in pair):
        return None
    asked = [_asked(own) for own, _ in pairs]
    for (own, other), questions in zip(pairs, asked, strict=True):
        if questions != _asked(other):
            raise ValueError(
                f"{own.folder} and {other.folder} were scored on other examples, by other references or in another "
                "order: score them on the same data"
            )
    if any(questions != asked[0] for questions in asked):
        return None  # every seed has a test set of its own: seeds and examples are not crossed
    for one in chain.from_iterable(pairs):
        if (one.arm, one.seed) not in drawn:
            found = resample_examples(str(one.metric), one.examples)
            # A script may score texts that it has normalised: ours are not what its headline is about, then.
            told = found is not None and math.isclose(found.value, one.number, rel_tol=1e-3, abs_tol=1e-6)
            drawn[one.arm, one.seed] = found if told else None
    sides = [[drawn[one.arm, one.seed] for one in side] for side in zip(*pairs, strict=True)]
    own_side, other_side = ([one for one in side if one is not None] for side in sides)
    if len(own_side) < len(pairs) or len(other_side) < len(pairs):
        return None
    return hierarchical_interval(own_side, other_side)


def _asked(result: RunResult) -> list[tuple[str, Sequence[str]]]:
    """What a run was scored on: ids and references, in order."""
    return [(example.id, example.references) for example in result.examples]


def adjusted(differences: Sequence[Difference]) -> list[Difference]:
    """The differences with Holm's p values, and with what their seeds can detect among so many tests.

    One seed is no test. Seeds that all differ by the same make one, though it has no p: were it left out, the number of
    tests would depend on what they found.
    """
    tests = [one for one in differences if one.n > 1]
    p_values = iter(holm([1.0 if one.p_seeds is None else one.p_seeds for one in tests]))
    found = []
    for one in differences:
        p_holm = next(p_values) if one.n > 1 else None
        least = detectable_difference(one.sd, one.n, len(tests))
        found.append(replace(one, p_holm=None if one.p_seeds is None else p_holm, detectable=least))
    return found


def find_verdict(
    results: Sequence[RunResult],
    differences: Sequence[Difference],
    metric: str,
    *,
    greater_is_better: bool,
    judged: str | None = None,
) -> Verdict | None:
    """On DSD, else the first arm that prunes, against the baseline; and, behind it, against the early stop.

    An arm that was meant to be judged and has no result leaves no verdict on it: none on another stands in for it.

    Args:
        results: Of every run that was started.
        differences: Of those that have finished.
        metric: How the verdict calls and formats the score.
        greater_is_better: Its direction.
        judged: The arm, where a stored comparison says it.
    """
    if not differences:
        return None
    arms = [one.arm for one in differences]
    of_dsd = [one.arm for one in results if one.criterion not in (None, "random") and one.arm in arms]
    if judged is None:
        judged = "dsd" if any(one.arm == "dsd" for one in results) else [*of_dsd, *arms][0]
    if judged not in arms:
        return without_seeds(_seed_count(results, judged), _seed_count(results, differences[0].to))
    values = {(result.arm, result.seed): result.value for result in results if result.value is not None}
    chosen = [one for one in differences if one.arm == judged]
    arm, to = (_seed_count(results, name) for name in (judged, chosen[0].to))
    if has_learnt_nothing(list(values.values()), metric, greater_is_better=greater_is_better):
        return no_verdict(arm, to, list(values.values()), metric)
    tested = [one for one in differences if one.n > 1]
    names = [one.arm if one.to == chosen[0].to else f"{one.arm} against {one.to}" for one in tested]
    verdicts = [
        judge(
            arm if one is chosen[0] else replace(arm, missing=0),  # said once
            _seed_count(results, one.to),
            paired_t(one.per_seed),
            [values[one.arm, seed] for seed in one.seeds],
            Family(names, one.p_holm),
            won=one.wins(greater_is_better=greater_is_better),
            metric=metric,
            greater_is_better=greater_is_better,
        )
        for one in chosen
    ]
    early = next((one.outcome for one in verdicts if one.to == EARLY), None)
    gone = [
        name for name in dict.fromkeys(one.arm for one in results) if name not in {*arms, *(one.to for one in chosen)}
    ]
    lost = "".join(_seed_count(results, name).missing_text for name in gone)
    return replace(verdicts[0], text=" ".join(one.text for one in verdicts) + lost, early=early)


def _seed_count(results: Iterable[RunResult], arm: str) -> SeedCount:
    own = [result for result in results if result.arm == arm]
    missing = sum(result.status == "failed" for result in own)
    return SeedCount(arm, len(own), missing, sum(result.diverged for result in own))
