"""What each run of a comparison reached, taken from its `Run`: `OUT/seed-S/ARM/`."""

import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from hf_dsd.runs.folder import AVERAGES, DIVERGED, EARLY, SCORE_FILE, SUMMARY_FILE_NAME, phase_name, seeds_in
from hf_dsd.runs.metric_names import greater_is_better
from hf_dsd.runs.run import Run
from hf_dsd.runs.scores import PhaseScores, ScoredExample

from .arms import BASELINE, in_order, trained_by
from .jobs import read_status

DEFAULT_METRIC = "eval_loss"
_BESIDE = (*AVERAGES, EARLY)  # models that a run leaves beside its last phase's, by its name and theirs


@dataclass(frozen=True)
class RunResult:
    """One arm's result with one seed.

    Attributes:
        arm: Its name.
        seed: Of the run.
        folder: The run's folder, relative to the comparison's.
        phase: Whose model was scored.
        status: `finished` or `failed`.
        error: Why it failed.
        value: The headline score.
        ci: Its 95 % interval over examples, where the script wrote one.
        scores: Everything that the script scored.
        loss: Mean loss on the split.
        epochs: Epochs up to this model, the shared first phase included.
        steps: Optimizer steps, likewise.
        seconds: Wall time, likewise.
        diverged: True if it failed since its weights or its score are no finite numbers.
        metric: Name of `value`; None for a failed run. Not in `comparison.json`, which names it once, like the rest.
        greater_is_better: Its direction; None where neither the score file nor its name tells.
        split: What was scored.
        is_scored: True if `value` is of a score file, not of an evaluation at a phase's end.
        examples: What the model said about every example; empty where the script wrote no scores.
        versions: Of the packages that ran.
        criterion: How its sparse phases choose what they prune, such as `magnitude`; None of a run without any.
    """

    arm: str
    seed: int
    folder: str
    phase: str
    status: Literal["finished", "failed"]
    error: str | None = None
    value: float | None = None
    ci: tuple[float, float] | None = None
    scores: Mapping[str, Any] | None = None
    loss: float | None = None
    epochs: float | None = None
    steps: int | None = None
    seconds: float | None = None
    diverged: bool = False
    metric: str | None = field(default=None, compare=False)
    greater_is_better: bool | None = field(default=None, compare=False)
    split: str = field(default="", compare=False)
    is_scored: bool = field(default=False, compare=False)
    examples: Sequence[ScoredExample] = field(default=(), compare=False, repr=False)
    versions: Mapping[str, str | None] = field(default_factory=dict, compare=False, repr=False)
    criterion: str | None = field(default=None, compare=False)

    @property
    def number(self) -> float:
        """The headline score of a finished run.

        Raises:
            ValueError: If it has none.
        """
        if self.value is None:
            raise ValueError("a finished run must have a value; score it again")
        return self.value

    def to_dict(self) -> dict[str, Any]:
        """What `comparison.json` holds of it."""
        content = asdict(replace(self, examples=()))
        return {key: value for key, value in content.items() if key not in _UNWRITTEN}

    def failed(self, error: str, *, diverged: bool = False) -> "RunResult":
        """The same run without a result: its cost stays."""
        lost: dict[str, Any] = {"value": None, "ci": None, "scores": None, "metric": None, "examples": ()}
        return replace(self, status="failed", error=error, diverged=diverged, **lost)


_NOT_FINISHED = "the run has not finished"
_UNWRITTEN = {"metric", "greater_is_better", "split", "is_scored", "examples", "versions", "criterion"}


def read_runs(out: Path, known: Iterable[Run] = ()) -> list[Run]:
    """Reads the runs of a comparison that have written their summary, each once, in the order of seeds and arms.

    Args:
        out: Folder of the comparison.
        known: Runs that the caller has read: they are not read again.

    Raises:
        ValueError: If a summary is damaged, or says another arm or seed than its place.
    """
    # A link to nowhere is there, too: reading it says what is wrong.
    paths = [path for path in sorted(out.glob("seed-*/*")) if os.path.lexists(path / SUMMARY_FILE_NAME)]
    arms = in_order([path.name for path in paths], BASELINE)
    folders = [out / f"seed-{seed}" / arm for seed in seeds_in(out) for arm in arms]
    already = {os.path.abspath(run.folder): run for run in known}
    return [already.get(os.path.abspath(folder)) or Run.read(folder) for folder in folders if folder in paths]


def run_results(
    out: Path,
    runs: Iterable[Run],
    arms: Sequence[str],
    baseline: str,
    split: str | None = None,
    metric: str | None = None,
) -> list[RunResult]:
    """The results of every run that was started, in the order of seeds and arms.

    Args:
        out: Folder of the comparison.
        runs: Those that lie in it.
        arms: Which may be there.
        baseline: The arm whose runs the averages and the early stop are read off.
        split: Which `SPLIT_PHASE.json` files to read; None takes `test`, else the split that the script has scored.
        metric: Score to compare: one of the score files, their `loss`, or `eval_...`, of the evaluations at the phases'
            ends. None takes the headline score of the score files, or `eval_loss` where a script writes none.

    Raises:
        ValueError: If a file is damaged, a run has the name of what is read off another's, `metric` is not among the
            scores, or nothing was scored on `split`.
    """
    by_place = {(run.place.seed, run.place.arm): run for run in runs if run.place is not None and run.has_summary}
    for (_, arm), run in by_place.items():
        if trained_by(arm, baseline) != arm:
            raise ValueError(
                f"{run.folder} holds a run, but {arm} is what a comparison reads off another arm's run: rename the "
                f"folder, such as {arm}-run"
            )
    chosen = _chosen_split(by_place.values(), split, metric)
    found = [
        result
        for seed in seeds_in(out)
        for arm in in_order(arms, baseline)
        if (result := _result_of(out, seed, arm, baseline, by_place, chosen, metric)) is not None
    ]
    if any(one.is_scored for one in found):  # scores of the same kind only: a run without its file has not finished
        return [
            one
            if one.is_scored or one.status == "failed"
            else one.failed(f"the run has not scored {one.phase} on its {chosen} split")
            for one in found
        ]
    return found


def passed_over(runs: Iterable[Run], result: RunResult, trained: str) -> list[str]:
    """Other scores that a comparison could have been about: `accuracy on validation`, `eval_accuracy`.

    Args:
        runs: Of the comparison.
        result: One that counts.
        trained: The arm whose run it is read off.
    """
    run = next(run for run in runs if run.place is not None and run.place[1:] == (result.seed, trained))
    if result.is_scored:
        others = [one for one in run.scored if one.phase == run.last_phase and one.split != result.split]
        return [f"{one.metric} on {one.split}" for one in others]
    costs = ("runtime", "per_second")
    names = [name for name in result.scores or () if greater_is_better(name) is not None and name != result.metric]
    return [name for name in names if not name.endswith(costs)]


def _chosen_split(runs: Iterable[Run], split: str | None, metric: str | None) -> str:
    if split is not None and (metric or "").startswith("eval_"):  # of no score file
        return split
    scored = sorted({found for run in runs if run.is_finished for found in _scored_splits(run)})
    if split is None:
        return "test" if "test" in scored or not scored else scored[0]
    if scored and split not in scored:
        raise ValueError(f"no run was scored on its {split} split, but on {' and '.join(scored)}: give one as --split")
    return split


def _scored_splits(run: Run) -> Iterator[str]:
    for path in run.folder.glob(f"*_{run.last_phase}.json"):
        name = SCORE_FILE.fullmatch(path.name)
        if name is not None and run.find_scores(run.last_phase, name["split"]) is not None:
            yield name["split"]


def _result_of(
    out: Path,
    seed: int,
    arm: str,
    baseline: str,
    runs: Mapping[tuple[int, str], Run],
    split: str,
    metric: str | None,
) -> RunResult | None:
    """The result of an arm with a seed; None where the run was never started, or left no such model."""
    trained = trained_by(arm, baseline)
    folder = out / f"seed-{seed}" / trained
    result = RunResult(arm, seed, folder.relative_to(out).as_posix(), "", "failed")
    status = read_status(out, seed, trained)
    run = runs.get((seed, trained))
    if status.get("status") == "failed" or run is None:
        if arm != trained or not (status or folder.is_dir()):
            return None
        error = _what_is_gone(folder) if status.get("status") == "finished" else status.get("error") or _NOT_FINISHED
        return result.failed(error, diverged=DIVERGED in error)
    phase = _phase_of(arm, run)
    if phase is None:
        return None
    result = replace(result, phase=phase)
    return _result(run, result, split, metric) if run.is_finished else result.failed(_NOT_FINISHED)


def _what_is_gone(folder: Path) -> str:
    if folder.is_dir():
        return f"the run has finished, but left no {SUMMARY_FILE_NAME}; a script must train by DSDTrainer"
    return "the run has finished, but its folder is gone; the same command trains it again"


def _phase_of(arm: str, run: Run) -> str | None:
    """The model that an arm means: the last phase's, one beside it, or DSD's last sparse one's; None without it."""
    if arm == "sparse":
        sparse = [phase_name(phase) for phase in run.schedule if phase["kind"] == "sparse"]
        return sparse[-1] if sparse else None
    if arm == EARLY and not run.summary.get("early_stop"):
        return None
    if arm in AVERAGES and arm not in run.summary.get("weight_averages", ()):
        return None
    return f"{run.last_phase}-{arm}" if arm in _BESIDE else run.last_phase


def _result(run: Run, result: RunResult, split: str, metric: str | None) -> RunResult:
    trained = result.phase.removesuffix(f"-{result.arm}") if result.arm in _BESIDE else result.phase
    record = run.record(trained) or {}
    steps = run.summary["early_stop"]["step"] if result.arm == EARLY else record["end"]
    per_epoch = run.summary.get("steps_per_epoch")
    result = replace(
        result,
        status="finished",
        epochs=steps / per_epoch if per_epoch else None,
        steps=steps,
        seconds=sum(one["seconds"] * _share_until(steps, one) for one in run.phases),
        versions=run.summary.get("versions") or {},
        criterion=run.summary.get("mask_criterion", "magnitude") if run.prunes else None,
    )
    scored = run.find_scores(result.phase, split)
    if scored is not None:
        name = metric or scored.metric
        if name in _numbers(scored) or not name.startswith("eval_"):
            return _by_score_file(result, scored, name)
        missing = f"the summary has no {name} of {result.phase}"
    else:
        name = metric or DEFAULT_METRIC
        missing = f"the run has no {split}_{result.phase}.json and its summary no {name}"
    found = _evaluations(run, result, record["metrics"], is_last=trained == run.last_phase)
    return _by_evaluations(result, found, name) if name in found else result.failed(missing)


def _share_until(steps: int, record: Mapping[str, Any]) -> float:
    """Fraction of a phase that lies before so many optimizer steps."""
    length = record["end"] - record["start"]
    return min(max((steps - record["start"]) / length, 0.0), 1.0) if length else 0.0


def _numbers(scored: PhaseScores) -> dict[str, float]:
    """The scores that can be compared; intervals and signatures cannot."""
    numbers = {name: value for name, value in scored.scores.items() if isinstance(value, int | float)}
    return {"loss": scored.loss, **numbers}


def _by_score_file(result: RunResult, scored: PhaseScores, name: str) -> RunResult:
    numbers = _numbers(scored)
    if name not in numbers:
        raise ValueError(
            f"metric {name!r} is not among the scores of {result.folder}: {sorted(numbers)}; give one of these, or "
            "eval_... of the evaluations at the phases' ends"
        )
    ci = scored.scores.get(f"{name}_ci")
    reached = replace(
        result,
        ci=tuple(ci) if ci is not None else None,
        scores=scored.scores,
        loss=scored.loss,
        greater_is_better=scored.greater_is_better if name == scored.metric else greater_is_better(name),
        split=scored.split,
        is_scored=True,
        examples=scored.examples,
    )
    return _with_value(reached, name, numbers[name])


def _evaluations(run: Run, result: RunResult, at_phase_end: Mapping[str, float], *, is_last: bool) -> dict[str, float]:
    """What the summary holds: the evaluation at the phase's end, and for the last phase those after training."""
    evaluations = run.summary.get("evaluations", {})
    if result.arm not in _BESIDE:
        return {**at_phase_end, **(evaluations if is_last else {})}
    prefix = f"{result.phase}_"  # what lies beside the last model is evaluated after training, by its name as prefix
    found = {f"eval_{key.removeprefix(prefix)}": v for key, v in evaluations.items() if key.startswith(prefix)}
    stop = run.summary["early_stop"] if result.arm == EARLY else None
    return found if stop is None else {f"eval_{stop['metric'].removeprefix('eval_')}": stop["value"], **found}


def _by_evaluations(result: RunResult, found: Mapping[str, float], metric: str) -> RunResult:
    reached = replace(
        result,
        scores=found,
        loss=found.get("eval_loss"),
        greater_is_better=greater_is_better(metric),
        split="test" if metric.startswith("test_") else "validation",
    )
    return _with_value(reached, metric, found[metric])


def _with_value(result: RunResult, metric: str, value: float) -> RunResult:
    """The result by its headline score; what is no number is a failure of this run: the others still make a table."""
    if math.isfinite(value):
        return replace(result, metric=metric, value=float(value))
    error = f"{metric} is {value} after {result.phase}: the run diverged; lower its learning rate"
    return result.failed(error, diverged=True)
