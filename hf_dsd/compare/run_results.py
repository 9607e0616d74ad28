"""What each run of a comparison reached, read from the files that it left: `OUT/seed-S/ARM/`.

Layer: the summary and the scores.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from hf_dsd.runs.folder import AVERAGES, SUMMARY_FILE_NAME, has_finished, phase_name, seeds_in
from hf_dsd.runs.metric_names import greater_is_better
from hf_dsd.runs.scores import PhaseScores, ScoredExample
from hf_dsd.runs.summary_file import read_summary

from .run_files import read_status

COMPARISON_FILE_NAME = "comparison.json"
DEFAULT_METRIC = "eval_loss"

# Arm -> (the arm whose run it is read off, label), in the order of a table.
ARMS: Mapping[str, tuple[str, str]] = {
    "dense": ("dense", "dense control (same budget)"),
    "sparse": ("dsd", "sparse phase of DSD"),
    "random": ("random", "DSD with random masks"),
    "ema": ("dense", "dense control, exponential average"),
    "swa": ("dense", "dense control, equal average"),
    "iterative": ("iterative", "iterative DSD"),
    "dsd": ("dsd", "DSD"),
}


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


@dataclass(frozen=True)
class ScoredRun:
    """A run's result with what its numbers are made of.

    Attributes:
        result: The result.
        examples: What the model said about every example; empty where the script wrote no scores.
        metric: Of `result.value`; None for a failed run.
        greater_is_better: Its direction; None where neither the user, the score file nor its name tells.
        split: What was scored.
        versions: Of the packages that ran.
        diverged: True if it failed since its score is no finite number.
    """

    result: RunResult
    examples: Sequence[ScoredExample] = ()
    metric: str | None = None
    greater_is_better: bool | None = None
    split: str = ""
    versions: Mapping[str, str | None] | None = None
    diverged: bool = False


def read_runs(
    out: Path, split: str = "test", metric: str | None = None, arms: Sequence[str] | None = None
) -> list[ScoredRun]:
    """Reads every run that was started, in the order of seeds and arms.

    Args:
        out: Folder of the comparison.
        split: Which `SPLIT_PHASE.json` files to read.
        metric: Score to compare: one of the score files, their `loss`, or `eval_...`, of the evaluations at the phases'
            ends. None takes the headline score of the score files, or `eval_loss` where a script writes none.
        arms: Only these; None takes all that there are.

    Raises:
        ValueError: If a file is damaged, or `metric` is not among the scores.
    """
    runs = [run for seed in seeds_in(out) for run in _runs_of_seed(out, seed, split, metric, arms)]
    if any(run.examples for run in runs):  # scores of the same kind only: a run without its file has not finished
        return [run if run.examples or run.result.status == "failed" else _unscored(run, split) for run in runs]
    return runs


def _runs_of_seed(
    out: Path, seed: int, split: str, metric: str | None, arms: Sequence[str] | None
) -> Iterator[ScoredRun]:
    for arm in ARMS if arms is None else [arm for arm in ARMS if arm in arms]:
        trained = ARMS[arm][0]
        folder = out / f"seed-{seed}" / trained
        name = folder.relative_to(out).as_posix()
        status = read_status(out, seed, trained)
        summary = read_summary(folder)
        if status.get("status") == "failed" or summary is None:
            error = status.get("error") if status.get("status") != "finished" else _what_is_gone(folder)
            if status and (arms is not None or arm == trained):
                yield ScoredRun(RunResult(arm, seed, name, "", "failed", error))
            continue
        phase = _phase_of(arm, summary)
        if phase is None:
            continue
        if not has_finished(summary["schedule"], summary["phases"]):
            yield ScoredRun(RunResult(arm, seed, name, phase, "failed", "the run has not finished"))
            continue
        yield _read_run(folder, RunResult(arm, seed, name, phase, "finished"), summary, split, metric)


def _what_is_gone(folder: Path) -> str:
    if folder.is_dir():
        return f"the run has finished, but left no {SUMMARY_FILE_NAME}; a script must train by DSDTrainer"
    return "the run has finished, but its folder is gone; the same command trains it again"


def _phase_of(arm: str, summary: Mapping[str, Any]) -> str | None:
    """The model that an arm means: the last phase's, its average's, or DSD's last sparse one's; None without it."""
    last = phase_name(summary["schedule"][-1])
    if arm == "sparse":
        sparse = [phase_name(phase) for phase in summary["schedule"] if phase["kind"] == "sparse"]
        return sparse[-1] if sparse else None
    if arm in AVERAGES:
        return f"{last}-{arm}" if arm in summary.get("weight_averages", ()) else None
    return last


def _read_run(folder: Path, result: RunResult, summary: Mapping[str, Any], split: str, metric: str | None) -> ScoredRun:
    trained = result.phase.removesuffix(f"-{result.arm}") if result.arm in AVERAGES else result.phase
    names = [record["name"] for record in summary["phases"]]
    records = summary["phases"][: names.index(trained) + 1]
    steps = records[-1]["end"]
    epochs = steps / summary["steps_per_epoch"] if summary.get("steps_per_epoch") else None
    cost = {"epochs": epochs, "steps": steps, "seconds": sum(record["seconds"] for record in records)}
    result = _with(result, cost)
    scored = PhaseScores.find(folder, summary.get("run"), result.phase, split)
    if scored is not None:
        name = metric or scored.metric
        if name in _numbers(scored) or not name.startswith("eval_"):
            return _by_score_file(result, scored, name, summary)
        missing = f"the summary has no {name} of {result.phase}"
    else:
        name = metric or DEFAULT_METRIC
        missing = f"the run has no {split}_{result.phase}.json and its summary no {name}"
    is_last = trained == names[-1]
    return _by_evaluations(result, summary, records[-1]["metrics"], name, missing, is_last=is_last)


def _numbers(scored: PhaseScores) -> dict[str, float]:
    """The scores that can be compared; intervals and signatures cannot."""
    numbers = {name: value for name, value in scored.scores.items() if isinstance(value, int | float)}
    return {"loss": scored.loss, **numbers}


def _by_score_file(result: RunResult, scored: PhaseScores, name: str, summary: Mapping[str, Any]) -> ScoredRun:
    numbers = _numbers(scored)
    if name not in numbers:
        raise ValueError(
            f"metric {name!r} is not among the scores of {result.folder}: {sorted(numbers)}; give one of these, or "
            "eval_... of the evaluations at the phases' ends"
        )
    value = float(numbers[name])
    if not math.isfinite(value):
        return _diverged(result, name, value)
    ci = scored.scores.get(f"{name}_ci")
    reached = {
        "value": value,
        "ci": tuple(ci) if ci is not None else None,
        "scores": scored.scores,
        "loss": scored.loss,
    }
    greater = scored.greater_is_better if name == scored.metric else greater_is_better(name)
    return ScoredRun(_with(result, reached), scored.examples, name, greater, scored.split, summary.get("versions"))


def _by_evaluations(
    result: RunResult,
    summary: Mapping[str, Any],
    at_phase_end: Mapping[str, float],
    metric: str,
    missing: str,
    *,
    is_last: bool,
) -> ScoredRun:
    """By what the summary holds: the evaluation at the phase's end, and for the last phase those after training."""
    evaluations = summary.get("evaluations", {})
    if result.arm in AVERAGES:  # evaluated after training, by the phase's name as prefix
        prefix = f"{result.phase}_"
        found = {f"eval_{key.removeprefix(prefix)}": v for key, v in evaluations.items() if key.startswith(prefix)}
    else:
        found = {**at_phase_end, **(evaluations if is_last else {})}
    if metric not in found:
        return ScoredRun(_with(result, {"status": "failed", "error": missing}))
    value = float(found[metric])
    if not math.isfinite(value):
        return _diverged(result, metric, value)
    reached = {"value": value, "scores": found, "loss": found.get("eval_loss")}
    split = "test" if metric.startswith("test_") else "validation"
    versions = summary.get("versions")
    return ScoredRun(_with(result, reached), (), metric, greater_is_better(metric), split, versions)


def _diverged(result: RunResult, metric: str, value: float) -> ScoredRun:
    """No number to compare: said as a failure of this run, so that the others still make a table."""
    error = f"{metric} is {value} after {result.phase}: the run diverged; lower its learning rate"
    return ScoredRun(_with(result, {"status": "failed", "error": error}), diverged=True)


def _with(result: RunResult, values: Mapping[str, Any]) -> RunResult:
    return RunResult(**{**vars(result), **values})


def _unscored(run: ScoredRun, split: str) -> ScoredRun:
    error = f"the run has not scored {run.result.phase} on its {split} split"
    fields = {"status": "failed", "error": error, "value": None, "scores": None, "ci": None}
    return ScoredRun(_with(run.result, fields))
