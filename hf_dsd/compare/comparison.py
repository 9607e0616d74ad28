"""`comparison.json`: one recipe, several arms and seeds, and what can honestly be said about them.

Layer: the runs, the tests and the verdict next door.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from hf_dsd.files import read_json, write_json

from .example_significance import ExampleTest, compare_examples, example_counts
from .recipe_file import read_recipe
from .run_results import ARMS, COMPARISON_FILE_NAME, RunResult, ScoredRun, read_runs
from .seed_significance import paired_t
from .verdict import SeedCount, Verdict, has_learnt_nothing, judge, no_verdict

CONTROL = "dense"


@dataclass(frozen=True)
class ArmSummary:
    """One arm over its finished seeds.

    Attributes:
        label: How a table calls it.
        n: Number of finished seeds.
        mean: Of the headline score.
        sd: Its sample standard deviation; None for one seed.
        epochs: Mean of the epochs, the shared first phase included.
        steps: Mean of the optimizer steps, likewise.
        seconds: Mean of the wall time, likewise.
    """

    label: str
    n: int
    mean: float
    sd: float | None
    epochs: float | None
    steps: float | None
    seconds: float | None


@dataclass(frozen=True)
class Difference:
    """An arm against its control, over the seeds that both have finished.

    Attributes:
        arm: The arm.
        to: Its control.
        n: Number of seeds.
        seeds: These seeds.
        per_seed: Arm - control, one per seed.
        mean: Of these.
        sd: Their sample standard deviation; None for one seed.
        interval: 95 % interval of the mean, by Student's t; None for one seed.
        p_seeds: Paired t over seeds, two-sided; None where it says nothing.
        p_examples: Approximate randomisation over the examples, one p per seed; empty without texts to test.
        p_bootstrap: Paired bootstrap over the examples, likewise.
        bootstrap_intervals: 95 % intervals of each seed's difference, by paired bootstrap, likewise.
    """

    arm: str
    to: str
    n: int
    seeds: Sequence[int]
    per_seed: Sequence[float]
    mean: float
    sd: float | None
    interval: Sequence[float] | None
    p_seeds: float | None
    p_examples: Sequence[float]
    p_bootstrap: Sequence[float]
    bootstrap_intervals: Sequence[Sequence[float]]


@dataclass(frozen=True)
class Comparison:
    """The result of a comparison; its attributes are the keys of `comparison.json`.

    Attributes:
        command: The command that made the runs, or "" where unknown.
        recipe: Digest of the script and its arguments, or "" where unknown.
        script: The training script and its arguments, without those of the arms.
        metric: The headline score.
        greater_is_better: Its direction.
        split: What was scored.
        signature: How, where the script's scores say it.
        seeds: All seeds that were started.
        arms: Every arm with a finished run, in the order of the table.
        runs: Every run, failed ones too, but no failure of an arm that is only read off a run and nobody asked for.
        differences: Every arm against the dense control.
        verdict: On DSD against the dense control, or on the first other arm; None without a pair.
        versions: Of Python and the packages that ran, in the first run.
        mixed_versions: Package -> its versions, where the runs differ.
        version: Of this file's format.
    """

    command: str
    recipe: str
    script: Sequence[str]
    metric: str
    greater_is_better: bool
    split: str
    signature: str
    seeds: Sequence[int]
    arms: Mapping[str, ArmSummary]
    runs: Sequence[RunResult]
    differences: Sequence[Difference]
    verdict: Verdict | None
    versions: Mapping[str, str | None]
    mixed_versions: Mapping[str, Sequence[str]] = field(default_factory=dict)
    version: int = 1

    @classmethod
    def from_folder(
        cls,
        out: str | os.PathLike[str],
        split: str = "test",
        metric: str | None = None,
        arms: Sequence[str] | None = None,
        *,
        greater_is_better: bool | None = None,
    ) -> "Comparison":
        """Compares the runs in `out/seed-S/ARM/`, whoever made them; trains and writes nothing.

        An arm's model is its last phase's; `sparse` is DSD's last sparse phase, `ema` and `swa` are averages that the
        dense control left. Without score files the runs' summaries are compared by `metric` at the phases' ends.

        Args:
            out: Folder of the comparison.
            split: Which `SPLIT_PHASE.json` files to compare.
            metric: Score to compare: one of the score files, their `loss`, or `eval_...`, of the evaluations at the
                phases' ends; None means the script's headline score, or `eval_loss`.
            arms: Only these arms; None means all that are there.
            greater_is_better: Direction of the score; None leaves it to the score file or, where it is not the
                headline score, to its name.

        Raises:
            FileNotFoundError: If there is no finished run.
            ValueError: If the runs were scored differently, `metric` is not among the scores, or its direction is not
                known.
        """
        out = Path(out)
        recipe = read_recipe(out)
        runs = [run for run in read_runs(out, split, metric, arms) if _counts(run, recipe)]
        finished = [run for run in runs if run.result.status == "finished"]
        if not finished:
            errors = sorted({str(run.result.error) for run in runs})
            raise FileNotFoundError(f"{out} holds no finished run seed-S/ARM: {errors or 'no run at all'}")
        first = finished[0]
        _check_alike(finished)
        greater = _direction(first) if greater_is_better is None else greater_is_better
        differences = _differences(finished)
        return cls(
            command=recipe.get("command", ""),
            recipe=recipe.get("recipe", ""),
            script=recipe.get("script", []),
            metric=str(first.metric),
            greater_is_better=greater,
            split=first.split,
            signature=str((first.result.scores or {}).get("signature", "")),
            seeds=sorted({run.result.seed for run in runs}),
            arms=_arms(finished),
            runs=[run.result for run in runs],
            differences=differences,
            verdict=_verdict(runs, differences, str(first.metric), greater_is_better=greater),
            versions=first.versions or {},
            mixed_versions=_mixed_versions(finished),
        )

    def to_markdown(self) -> str:
        """The table, the verdict and how to read them, as markdown for a card."""
        from .table import to_markdown

        return to_markdown(self)

    def write(self, folder: str | os.PathLike[str]) -> Path:
        """Writes `comparison.json` into `folder`, atomically, and returns its path."""
        return write_json(Path(folder) / COMPARISON_FILE_NAME, self.to_dict(), ensure_ascii=False)

    def to_dict(self) -> dict[str, Any]:
        """What `comparison.json` holds."""
        return {"version": self.version, **asdict(self)}

    @classmethod
    def read(cls, folder: str | os.PathLike[str]) -> "Comparison":
        """Reads what `write` wrote.

        Raises:
            FileNotFoundError: If the folder has no `comparison.json`.
            ValueError: If it is damaged, or a newer version of hf_dsd wrote it.
        """
        path = Path(folder) / COMPARISON_FILE_NAME
        command = f"by `hf-dsd compare --collect --out {folder}`"
        content = read_json(path, f"make it anew {command}")
        if content is None:
            raise FileNotFoundError(f"{path} is missing: make it {command}")
        try:
            return cls.from_dict(content, str(path))
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{path} is not as hf_dsd writes it ({error!r}): make it anew {command}") from error

    @classmethod
    def from_dict(cls, content: Mapping[str, Any], source: str = "the comparison") -> "Comparison":
        """Makes a comparison of what `to_dict` returned.

        Args:
            content: As `comparison.json` holds it.
            source: How an error calls it.

        Raises:
            ValueError: If a newer version of hf_dsd wrote it.
        """
        if content["version"] != 1:
            raise ValueError(f"{source} has format version {content['version']}, this hf_dsd reads 1: upgrade hf-dsd")
        parts = {
            "arms": {name: ArmSummary(**arm) for name, arm in content["arms"].items()},
            "runs": [RunResult(**run) for run in content["runs"]],
            "differences": [Difference(**difference) for difference in content["differences"]],
            "verdict": Verdict(**content["verdict"]) if content["verdict"] else None,
        }
        return cls(**{**content, **parts})


def _counts(run: ScoredRun, recipe: Mapping[str, Any]) -> bool:
    """Failures of an arm read off another's run count where it was asked for, or nobody knows what was."""
    calls = recipe.get("calls")
    asked = not calls or any(run.result.arm in call["arms"] for call in calls)
    return asked or run.result.status == "finished" or ARMS[run.result.arm][0] == run.result.arm


def _check_alike(runs: Sequence[ScoredRun]) -> None:
    kinds = {(run.metric, (run.result.scores or {}).get("signature"), len(run.examples)) for run in runs}
    if len(kinds) > 1:
        raise ValueError(
            f"the runs were scored differently (metric, signature, examples): {sorted(map(str, kinds))}; score them "
            "on the same split by the same script"
        )


def _direction(run: ScoredRun) -> bool:
    if run.greater_is_better is None:
        raise ValueError(
            f"it is not known whether a greater or a smaller {run.metric!r} is better: give --greater-is-better or "
            "--smaller-is-better (in Python greater_is_better=True or False)"
        )
    return run.greater_is_better


def _arms(runs: Sequence[ScoredRun]) -> dict[str, ArmSummary]:
    arms = {}
    for arm, (_, label) in ARMS.items():
        results = [run.result for run in runs if run.result.arm == arm]
        if not results:
            continue
        values = [_number(result.value) for result in results]
        sd = stdev(values) if len(values) > 1 else None
        cost = {name: _mean([getattr(result, name) for result in results]) for name in ("epochs", "steps", "seconds")}
        arms[arm] = ArmSummary(label, len(values), fmean(values), sd, **cost)
    return arms


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def _number(value: float | None) -> float:
    if value is None:
        raise ValueError("a finished run must have a value; score it again")
    return value


def _differences(runs: Sequence[ScoredRun]) -> list[Difference]:
    by_arm: dict[str, dict[int, ScoredRun]] = {}
    for run in runs:
        by_arm.setdefault(run.result.arm, {})[run.result.seed] = run
    control = by_arm.get(CONTROL, {})
    pairs = {arm: [(control[seed], run) for seed, run in by_arm[arm].items() if seed in control] for arm in by_arm}
    return [_difference(arm, pairs[arm]) for arm in ARMS if arm != CONTROL and pairs.get(arm)]


def _difference(arm: str, pairs: Sequence[tuple[ScoredRun, ScoredRun]]) -> Difference:
    per_seed = [_number(run.result.value) - _number(control.result.value) for control, run in pairs]
    test = paired_t(per_seed)
    examples = [found for control, run in pairs if (found := _example_test(run, control)) is not None]
    return Difference(
        arm,
        CONTROL,
        test.n,
        [run.result.seed for _, run in pairs],
        per_seed,
        test.mean,
        test.sd,
        list(test.interval) if test.interval is not None else None,
        test.p,
        [found.p_randomization for found in examples],
        [found.p_bootstrap for found in examples],
        [list(found.interval) for found in examples],
    )


def _example_test(run: ScoredRun, control: ScoredRun) -> ExampleTest | None:
    if not run.examples or not control.examples:
        return None
    if [example.id for example in run.examples] != [example.id for example in control.examples]:
        raise ValueError(
            f"{run.result.folder} and {control.result.folder} were scored on other examples or in another order: "
            "score them on the same data"
        )
    system = example_counts(str(run.metric), run.examples)
    baseline = example_counts(str(control.metric), control.examples)
    return compare_examples(system, baseline) if system is not None and baseline is not None else None


def _verdict(
    runs: Sequence[ScoredRun], differences: Sequence[Difference], metric: str, *, greater_is_better: bool
) -> Verdict | None:
    if not differences:
        return None
    chosen = next((difference for difference in differences if difference.arm == "dsd"), differences[0])
    counts = [_seed_count(runs, arm) for arm in (chosen.arm, chosen.to)]
    values = {(run.result.arm, run.result.seed): run.result.value for run in runs if run.result.value is not None}
    if has_learnt_nothing(list(values.values()), metric, greater_is_better=greater_is_better):
        return no_verdict(counts[0], counts[1], list(values.values()), metric)
    own = [values[chosen.arm, seed] for seed in chosen.seeds]
    test = paired_t(chosen.per_seed)
    return judge(counts[0], counts[1], test, own, metric=metric, greater_is_better=greater_is_better)


def _seed_count(runs: Sequence[ScoredRun], arm: str) -> SeedCount:
    own = [run for run in runs if run.result.arm == arm]
    missing = sum(run.result.status == "failed" for run in own)
    return SeedCount(arm, len(own), missing, sum(run.diverged for run in own))


def _mixed_versions(runs: Sequence[ScoredRun]) -> dict[str, list[str]]:
    found: dict[str, set[str]] = {}
    for run in runs:
        for package, version in (run.versions or {}).items():
            found.setdefault(package, set()).add(str(version))
    return {package: sorted(versions) for package, versions in found.items() if len(versions) > 1}
