"""What each run of a comparison reached, taken from its `Run`: `OUT/seed-S/ARM/`."""

import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from hf_dsd.runs.folder import AVERAGES, SCORE_FILE, SUMMARY_FILE_NAME, phase_name, seeds_in
from hf_dsd.runs.metric_names import greater_is_better
from hf_dsd.runs.run import Run
from hf_dsd.runs.scores import PhaseScores, ScoredExample

from .arms import ARMS
from .jobs import read_status

DEFAULT_METRIC = "eval_loss"


@dataclass(frozen=True)
class RunResult:
    """One arm's result with one seed.

    Attributes:
        arm: A key of `ARMS`.
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
        diverged: True if it failed since its score is no finite number.
        metric: Name of `value`; None for a failed run. Not in `comparison.json`, which names it once, like the rest.
        greater_is_better: Its direction; None where neither the score file nor its name tells.
        split: What was scored.
        is_scored: True if `value` is of a score file, not of an evaluation at a phase's end.
        examples: What the model said about every example; empty where the script wrote no scores.
        versions: Of the packages that ran.
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

    def to_dict(self) -> dict[str, Any]:
        """What `comparison.json` holds of it."""
        content = asdict(replace(self, examples=()))
        return {key: value for key, value in content.items() if key not in _UNWRITTEN}

    def failed(self, error: str, *, diverged: bool = False) -> "RunResult":
        """The same run without a result: its cost stays."""
        lost: dict[str, Any] = {"value": None, "ci": None, "scores": None, "metric": None, "examples": ()}
        return replace(self, status="failed", error=error, diverged=diverged, **lost)


_UNWRITTEN = {"metric", "greater_is_better", "split", "is_scored", "examples", "versions"}


def read_runs(out: Path, known: Iterable[Run] = ()) -> list[Run]:
    """Reads the runs of a comparison that have written their summary, each once, in the order of seeds and arms.

    Args:
        out: Folder of the comparison.
        known: Runs that the caller has read: they are not read again.

    Raises:
        ValueError: If a summary is damaged, or says another arm or seed than its place.
    """
    trained = [arm for arm, (source, _) in ARMS.items() if arm == source]
    folders = [out / f"seed-{seed}" / arm for seed in seeds_in(out) for arm in trained]
    # A link to nowhere is there, too: reading it says what is wrong.
    already = {os.path.abspath(run.folder): run for run in known}
    there = [folder for folder in folders if os.path.lexists(folder / SUMMARY_FILE_NAME)]
    return [already.get(os.path.abspath(folder)) or Run.read(folder) for folder in there]


def run_results(
    out: Path,
    runs: Iterable[Run],
    split: str | None = None,
    metric: str | None = None,
    arms: Sequence[str] | None = None,
) -> list[RunResult]:
    """The results of every run that was started, in the order of seeds and arms.

    Args:
        out: Folder of the comparison.
        runs: Those that lie in it.
        split: Which `SPLIT_PHASE.json` files to read; None takes `test`, else the split that the script has scored.
        metric: Score to compare: one of the score files, their `loss`, or `eval_...`, of the evaluations at the phases'
            ends. None takes the headline score of the score files, or `eval_loss` where a script writes none.
        arms: Only these; None takes all that there are.

    Raises:
        ValueError: If a file is damaged, `metric` is not among the scores, or nothing was scored on `split`.
    """
    by_place = {(run.place.seed, run.place.arm): run for run in runs if run.place is not None and run.has_summary}
    chosen = _chosen_split(by_place.values(), split, metric)
    found = [one for seed in seeds_in(out) for one in _results_of_seed(out, seed, by_place, chosen, metric, arms)]
    if any(one.is_scored for one in found):  # scores of the same kind only: a run without its file has not finished
        return [
            one
            if one.is_scored or one.status == "failed"
            else one.failed(f"the run has not scored {one.phase} on its {chosen} split")
            for one in found
        ]
    return found


def passed_over(runs: Iterable[Run], result: RunResult) -> list[str]:
    """Other scores that a comparison could have been about: `accuracy on validation`, `eval_accuracy`."""
    run = next(run for run in runs if run.place is not None and run.place[1:] == (result.seed, ARMS[result.arm][0]))
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


def _results_of_seed(
    out: Path,
    seed: int,
    runs: Mapping[tuple[int, str], Run],
    split: str,
    metric: str | None,
    arms: Sequence[str] | None,
) -> Iterator[RunResult]:
    for arm in ARMS if arms is None else [arm for arm in ARMS if arm in arms]:
        trained = ARMS[arm][0]
        folder = out / f"seed-{seed}" / trained
        result = RunResult(arm, seed, folder.relative_to(out).as_posix(), "", "failed")
        status = read_status(out, seed, trained)
        run = runs.get((seed, trained))
        if status.get("status") == "failed" or run is None:
            error = status.get("error") if status.get("status") != "finished" else _what_is_gone(folder)
            if status and (arms is not None or arm == trained):
                yield replace(result, error=error)
            continue
        phase = _phase_of(arm, run)
        if phase is None:
            continue
        result = replace(result, phase=phase)
        yield _result(run, result, split, metric) if run.is_finished else result.failed("the run has not finished")


def _what_is_gone(folder: Path) -> str:
    if folder.is_dir():
        return f"the run has finished, but left no {SUMMARY_FILE_NAME}; a script must train by DSDTrainer"
    return "the run has finished, but its folder is gone; the same command trains it again"


def _phase_of(arm: str, run: Run) -> str | None:
    """The model that an arm means: the last phase's, its average's, or DSD's last sparse one's; None without it."""
    if arm == "sparse":
        sparse = [phase_name(phase) for phase in run.schedule if phase["kind"] == "sparse"]
        return sparse[-1] if sparse else None
    if arm in AVERAGES:
        return f"{run.last_phase}-{arm}" if arm in run.summary.get("weight_averages", ()) else None
    return run.last_phase


def _result(run: Run, result: RunResult, split: str, metric: str | None) -> RunResult:
    trained = result.phase.removesuffix(f"-{result.arm}") if result.arm in AVERAGES else result.phase
    names = [record["name"] for record in run.phases]
    records = run.phases[: names.index(trained) + 1]
    steps, per_epoch = records[-1]["end"], run.summary.get("steps_per_epoch")
    result = replace(
        result,
        status="finished",
        epochs=steps / per_epoch if per_epoch else None,
        steps=steps,
        seconds=sum(record["seconds"] for record in records),
        versions=run.summary.get("versions") or {},
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
    found = _evaluations(run, result, records[-1]["metrics"], is_last=trained == names[-1])
    return _by_evaluations(result, found, name) if name in found else result.failed(missing)


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
    if result.arm not in AVERAGES:
        return {**at_phase_end, **(evaluations if is_last else {})}
    prefix = f"{result.phase}_"  # an average is evaluated after training, by its name as prefix
    return {f"eval_{key.removeprefix(prefix)}": v for key, v in evaluations.items() if key.startswith(prefix)}


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
