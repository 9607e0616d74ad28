"""`comparison.json`: one recipe, several arms and seeds, and what can honestly be said about them."""

import json
import os
import shlex
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, get_type_hints

from hf_dsd.files import read_json, write_json
from hf_dsd.runs.folder import DIVERGED, EARLY, seeds_in
from hf_dsd.runs.json_checks import misfit
from hf_dsd.runs.metric_names import rate_unit
from hf_dsd.runs.numbers import interval_text, p_text, score_text, signed_text
from hf_dsd.runs.run import Run
from hf_dsd.runs.scores import check_scores

from .arms import BASELINE, arm_label, trained_by
from .budget import budget_sentences, unequal_budgets
from .differences import Difference, adjusted, find_differences, find_verdict
from .recipe import COMPARISON_FILE_NAME, arms_in, read_recipe
from .recorded import arms_arguments
from .run_results import RunResult, passed_over, read_runs, run_results
from .verdict import Verdict

_FORMAT = 4


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
        arguments: What its runs were given beyond the recipe: all that they differ in; where no recipe tells of them,
            what `arms_arguments` finds recorded; "" for none, or where unknown.
    """

    label: str
    n: int
    mean: float
    sd: float | None
    epochs: float | None
    steps: float | None
    seconds: float | None
    arguments: str = ""


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
        differences: Every arm against the baseline, and arms that prune against its early stop.
        verdict: On DSD against the baseline, or on the first other arm; None without a pair.
        versions: Of Python and the packages that ran, in the first run.
        mixed_versions: Package -> its versions, where the runs differ.
        passed_over: Other scores of these runs, where nobody asked for `metric`: `accuracy on validation`.
        remarks: What a reader must know of the runs' arguments, where no recipe tells them, a sentence or two each.
        baseline: The arm that the others are compared with.
        settings: How many arms, of every recipe that the folder was asked for, have been looked at.
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
    passed_over: Sequence[str] = field(default_factory=list)
    remarks: Sequence[str] = field(default_factory=list)
    baseline: str = BASELINE
    settings: int = 0
    version: int = _FORMAT

    def __repr__(self) -> str:
        means = ", ".join(f"{name} {arm.mean:.4g} (n = {arm.n})" for name, arm in self.arms.items())
        return f"Comparison({self.metric} on {self.split}: {means})"

    def _repr_html_(self) -> str:
        """A notebook shows the arms as a table."""
        columns = ["n", "mean", "sd", "difference_mean", "difference_p_holm", "epochs"]
        html: str = self.to_frame().reindex(columns=columns).to_html(float_format="%.4g", na_rep="-")
        return f"{html}<p>{self.metric} on {self.split}; difference to {self.baseline}</p>"

    @classmethod
    def from_folder(
        cls,
        out: str | os.PathLike[str],
        split: str | None = None,
        metric: str | None = None,
        arms: Sequence[str] | None = None,
        *,
        greater_is_better: bool | None = None,
        baseline: str | None = None,
        runs: Iterable[Run] | None = None,
    ) -> "Comparison":
        """Compares the runs in `out/seed-S/ARM/`, whoever made them; trains and writes nothing.

        An arm's model is its last phase's; `sparse` is DSD's last sparse phase, and `ema`, `swa` and `early` are what
        the baseline left. Without score files the runs' summaries are compared by `metric` at the phases' ends.

        Args:
            out: Folder of the comparison.
            split: Which `SPLIT_PHASE.json` files to compare; None takes `test`, else the split that the script scored.
            metric: Score to compare: one of the score files, their `loss`, or `eval_...`, of the evaluations at the
                phases' ends; None means the script's headline score, or `eval_loss`.
            arms: Only these arms; None means all that are there.
            greater_is_better: Direction of the score; None leaves it to the score file or, where it is not the
                headline score, to its name.
            baseline: The arm that the others are compared with; None takes the one that the runs were made with.
            runs: The runs in `out`, where the caller has read them; None reads them.

        Raises:
            FileNotFoundError: If there is no finished run.
            ValueError: If `baseline` has no finished run, a file is damaged, the runs were scored differently, `metric`
                is not among the scores, or its direction is not known.
        """
        out = Path(out)
        runs = read_runs(out) if runs is None else list(runs)
        recipe = read_recipe(out)
        chosen = baseline or recipe.get("baseline", BASELINE)
        results = run_results(out, runs, arms_in(out, recipe) if arms is None else arms, chosen, split, metric)
        found = cls._of_results(out, runs, results, greater_is_better, chosen)
        if baseline is not None and baseline not in found.arms:
            raise ValueError(f"{out} holds no finished run of the baseline {baseline}: it has {', '.join(found.arms)}")
        if metric is not None:
            return found
        first = next(result for result in results if result.status == "finished")
        return replace(found, passed_over=passed_over(runs, first, trained_by(first.arm, chosen)))

    @classmethod
    def _of_results(
        cls,
        out: Path,
        runs: Iterable[Run],
        results: Sequence[RunResult],
        greater_is_better: bool | None,
        baseline: str,
    ) -> "Comparison":
        recipe = read_recipe(out)
        results = [result for result in results if _counts(result, recipe, baseline)]
        finished = [result for result in results if result.status == "finished"]
        if not finished:
            errors = sorted({str(result.error) for result in results})
            raise FileNotFoundError(f"{out} holds no finished run seed-S/ARM: {errors or 'no run at all'}")
        first = finished[0]
        _check_alike(finished)
        greater = _direction(first) if greater_is_better is None else greater_is_better
        compared = {(result.seed, trained_by(result.arm, baseline)) for result in finished}
        arguments, remarks = arms_arguments(runs, compared, recipe.get("arms", {}), baseline)
        differences, unequal = find_differences(finished, baseline), unequal_budgets(finished, baseline)
        arms = _arms(finished, arguments, baseline, {*unequal, *(arm for others in unequal.values() for arm in others)})
        verdict = find_verdict(results, differences, str(first.metric), greater_is_better=greater)
        if verdict is not None:
            verdict = replace(verdict, text=" ".join([verdict.text, *budget_sentences(unequal)]))
        return cls(
            command=recipe.get("command", ""),
            recipe=recipe.get("recipe", ""),
            script=recipe.get("script", []),
            metric=str(first.metric),
            greater_is_better=greater,
            split=first.split,
            signature=str((first.scores or {}).get("signature", "")),
            seeds=sorted({result.seed for result in results}),
            arms=arms,
            runs=results,
            differences=differences,
            verdict=verdict,
            versions=first.versions,
            mixed_versions=_mixed_versions(finished),
            remarks=remarks,
            baseline=baseline,
            settings=max(len(recipe.get("settings", ())), len({trained_by(arm, baseline) for arm in arms})),
        )

    @classmethod
    def current(cls, out: str | os.PathLike[str], runs: Iterable[Run] | None = None) -> tuple["Comparison", str]:
        """The comparison of the runs that lie in a folder now, by the stored file's split and metric.

        What is stored is taken as it is where it tells of these runs, or where the file alone was kept.

        Args:
            out: Folder of a comparison, as the user named it.
            runs: The runs in it, where the caller has read them; None reads them.

        Returns:
            The comparison, and a note: what the stored file lacks, or "".

        Raises:
            FileNotFoundError: If the folder holds neither the file nor a finished run.
            ValueError: If the runs cannot be compared, or a file of theirs is damaged.
        """
        out = Path(out)
        runs = read_runs(out) if runs is None else list(runs)
        try:
            stored = cls.read(out) if (out / COMPARISON_FILE_NAME).is_file() else None
        except ValueError as error:
            if not seeds_in(out):
                raise
            again = shlex.join(["hf-dsd", "compare", "--collect", "--out", str(out)])
            note = f"{COMPARISON_FILE_NAME} cannot be read ({error}): the table is computed from the runs that are here"
            return cls.from_folder(out, runs=runs), f"{note}; {again} writes the file anew"
        if stored is None:
            return cls.from_folder(out, runs=runs), ""
        if not seeds_in(out):
            return stored, ""
        names = arms_in(out, read_recipe(out))
        results = run_results(out, runs, names, stored.baseline, stored.split, stored.metric)
        changed = sorted({f"{arm}, seed {seed}" for arm, seed, *_ in _reached(stored.runs) ^ _reached(results)})
        if not changed and not any(result.status == "finished" for result in results):
            return stored, ""
        now = cls._of_results(out, runs, results, stored.greater_is_better, stored.baseline)
        changed = changed or [name for name in now.arms if _told(now, name) != _told(stored, name)]
        return (now, _outdated(stored, out, changed)) if changed else (stored, "")

    def write(self, folder: str | os.PathLike[str]) -> Path:
        """Writes `comparison.json` into `folder`, atomically, and returns its path."""
        return write_json(Path(folder) / COMPARISON_FILE_NAME, self.to_dict(), ensure_ascii=False)

    def to_dict(self) -> dict[str, Any]:
        """What `comparison.json` holds."""
        content = {"version": self.version, **asdict(replace(self, runs=(), differences=()))}
        content["differences"] = [difference.to_dict() for difference in self.differences]
        return {**content, "runs": [run.to_dict() for run in self.runs]}

    def to_frame(self) -> Any:
        """A pandas DataFrame with a row per arm, unrounded: mean, sd, cost, and at length its differences.

        Columns `difference_*` are those to the baseline, `early_*` those of arms that prune to its early stop, where
        there is one: numbers of `Difference` (`_interval_low` and `_interval_high` for its `interval`), `_wins`, and
        `_seed_S` of each seed.
        """
        from pandas import DataFrame  # there with datasets, and slow to import

        frame = DataFrame.from_dict({name: asdict(arm) for name, arm in self.arms.items()}, orient="index")
        for prefix, rival in (("difference", self.baseline), (EARLY, EARLY)):
            tested = [one for one in self.differences if one.to == rival]
            rows = {one.arm: one.numbers(greater_is_better=self.greater_is_better) for one in tested}
            frame = frame.join(DataFrame.from_dict(rows, orient="index", dtype=float).add_prefix(f"{prefix}_"))
        return frame

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Writes `to_frame` as a table of comma-separated values, unrounded."""
        self.to_frame().to_csv(path, index_label="arm")

    def to_latex(self) -> str:
        """The arms' means and every tested difference as a LaTeX table (`booktabs`), error rates in percent.

        An arm with two rivals has a second line.
        """
        from pandas import DataFrame

        unit, lines = rate_unit(self.metric), []
        for name, arm in self.arms.items():
            sd = score_text(arm.sd, self.metric) if arm.sd is not None else "-"
            own = [arm.label, str(arm.n), score_text(arm.mean, self.metric), sd]
            tested = [self._tested_cells(one) for one in self.differences if one.arm == name] or [["-"] * 6]
            lines += [[*(own if cells is tested[0] else [""] * 4), *cells] for cells in tested]
        headings = ["arm", "n", f"mean{unit}", "sd", "against", f"difference{unit}", "95 % interval", "wins", "p"]
        table: str = DataFrame(lines, columns=[*headings, "p (Holm)"]).to_latex(
            index=False, escape=True, column_format="lrrrlrrrrr"
        )
        return table.replace("& < ", "& $<$ ")  # pandas leaves it as it is, and LaTeX prints another sign

    def _tested_cells(self, one: Difference) -> list[str]:
        wins = f"{one.wins(greater_is_better=self.greater_is_better)} of {one.n}"
        size, ends = signed_text(one.mean, self.metric), interval_text(one.interval, self.metric)
        return [one.to, size, ends, wins, p_text(one.p_seeds), p_text(one.p_holm)]

    @classmethod
    def read(cls, folder: str | os.PathLike[str]) -> "Comparison":
        """Reads what `write` wrote.

        Raises:
            FileNotFoundError: If the folder has no `comparison.json`.
            ValueError: If it is damaged, or a newer version of hf_dsd wrote it.
        """
        path = Path(folder) / COMPARISON_FILE_NAME
        command = f"by `hf-dsd compare --collect --out {folder}`"
        content = read_json(path, f"make it anew {command}", _check)
        if content is None:
            raise FileNotFoundError(f"{path} is missing: make it {command}")
        try:
            return cls.from_dict(content, str(path))
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{path} is not as hf_dsd writes it ({error!r}): make it anew {command}") from error

    @classmethod
    def from_dict(cls, content: Mapping[str, Any], source: str = "the comparison") -> "Comparison":
        """Makes a comparison of what `to_dict` returned, of this or an older version.

        Args:
            content: As `comparison.json` holds it.
            source: How an error calls it.

        Raises:
            ValueError: If a newer version of hf_dsd wrote it.
        """
        version = content["version"]
        if type(version) is not int or version not in range(1, _FORMAT + 1):
            raise ValueError(
                f"{source} has format version {version}, this hf_dsd reads up to {_FORMAT}: upgrade hf-dsd"
            )
        runs = [RunResult(**run) for run in content["runs"]]
        parts: dict[str, Any] = {
            "arms": {name: ArmSummary(**arm) for name, arm in content["arms"].items()},
            "runs": runs,
            "version": _FORMAT,
        }
        if version < _FORMAT:
            return cls(**{**content, **parts, **_judged_anew(content, runs)})
        parts["differences"] = [Difference.from_dict(difference) for difference in content["differences"]]
        parts["verdict"] = Verdict(**content["verdict"]) if content["verdict"] else None
        return cls(**{**content, **parts})


def _judged_anew(content: Mapping[str, Any], runs: Sequence[RunResult]) -> dict[str, Any]:
    """Differences and verdict of an older file.

    Version 1 compared `sparse`, too, and guessed numbers of seeds; up to 3 a detectable difference was that of a lone
    test, and a test without a p was not counted.
    """
    old = [one for one in content["differences"] if one["arm"] != "sparse"]
    differences = adjusted([Difference.judged_anew(one) for one in old])
    ends = ("the run diverged", DIVERGED)
    runs = [replace(run, diverged=run.diverged or any(end in (run.error or "") for end in ends)) for run in runs]
    metric, greater = content["metric"], content["greater_is_better"]
    judged = (content.get("verdict") or {}).get("arm")  # how an arm chose what it prunes is not in the file
    verdict = find_verdict(runs, differences, metric, greater_is_better=greater, judged=judged)
    return {"runs": runs, "differences": differences, "verdict": verdict}


def _check(content: Mapping[str, Any]) -> None:
    """Every value must have its type; differences and verdict of the first two versions had others."""
    hints, is_old = get_type_hints(Comparison), content.get("version") in (1, 2)
    for key, value in content.items():
        is_read = not (is_old and key in ("differences", "verdict"))
        if is_read and (wrong := misfit(value, hints.get(key, Any), key)):
            raise ValueError(f"its {wrong!r} is not as hf_dsd writes it")
    for run in content.get("runs", ()):
        check_scores(run.get("scores") or {})


def _reached(runs: Iterable[RunResult]) -> set[tuple[str, int, str, str]]:
    """What tells whether a stored result is of this run; runs that have failed or not finished do not count."""
    return {
        (run.arm, run.seed, run.folder, json.dumps([run.value, run.ci, run.scores, run.loss], sort_keys=True))
        for run in runs
        if run.value is not None
    }


def _told(comparison: Comparison, arm: str) -> list[Any]:
    """The numbers that a comparison has of an arm, as far as another version of SciPy finds the same."""
    summary = comparison.arms.get(arm)
    numbers = [] if summary is None else [value for value in asdict(summary).values() if not isinstance(value, str)]
    differences = [list(asdict(one).values()) for one in comparison.differences if one.arm == arm]
    return [_rounded(one) for one in (numbers, differences, comparison.verdict and asdict(comparison.verdict))]


def _rounded(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return float(f"{value:.9g}") if isinstance(value, float) else value


def _outdated(stored: Comparison, out: Path, changed: Iterable[str]) -> str:
    runs = "; ".join(changed)
    words = ["hf-dsd", "compare", "--collect", "--out", str(out), "--split", stored.split, "--metric", stored.metric]
    return (
        f"{COMPARISON_FILE_NAME} does not say what {runs} reached: the table is computed from the runs that are here; "
        f"{shlex.join(words)} writes the file anew"
    )


def _counts(result: RunResult, recipe: Mapping[str, Any], baseline: str) -> bool:
    """Failures of an arm read off another's run count where it was asked for, or left by a run that nobody tells of.

    A sparse phase is no arm unless it was asked for: every run of DSD has one, and need not score it.
    """
    calls = recipe.get("calls")
    asked = any(result.arm in call["arms"] for call in calls) if calls else result.arm != "sparse"
    return asked or result.status == "finished" or trained_by(result.arm, baseline) == result.arm


def _check_alike(results: Sequence[RunResult]) -> None:
    kinds = {(one.metric, (one.scores or {}).get("signature"), len(one.examples)) for one in results}
    if len(kinds) > 1:
        raise ValueError(
            f"the runs were scored differently (metric, signature, examples): {sorted(map(str, kinds))}; score them "
            "on the same split by the same script"
        )


def _direction(result: RunResult) -> bool:
    if result.greater_is_better is None:
        raise ValueError(
            f"it is not known whether a greater or a smaller {result.metric!r} is better: give --greater-is-better or "
            "--smaller-is-better (in Python greater_is_better=True or False)"
        )
    return result.greater_is_better


def _arms(
    finished: Sequence[RunResult], arguments: Mapping[str, str], baseline: str, unequal: Collection[str]
) -> dict[str, ArmSummary]:
    arms = {}
    for arm in dict.fromkeys(result.arm for result in finished):
        results = [result for result in finished if result.arm == arm]
        values = [result.number for result in results]
        sd = stdev(values) if len(values) > 1 else None
        cost = {key: _mean([getattr(result, key) for result in results]) for key in ("epochs", "steps", "seconds")}
        ends_sparse = all(result.phase.endswith("-sparse") for result in results)
        label = arm_label(arm, baseline, ends_sparse=ends_sparse, equal_budget=arm not in unequal)
        arms[arm] = ArmSummary(label, len(values), fmean(values), sd, **cost, arguments=arguments.get(arm, ""))
    return arms


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def _mixed_versions(results: Sequence[RunResult]) -> dict[str, list[str]]:
    found: dict[str, set[str]] = {}
    for result in results:
        for package, version in result.versions.items():
            found.setdefault(package, set()).add(str(version))
    return {package: sorted(versions) for package, versions in found.items() if len(versions) > 1}
