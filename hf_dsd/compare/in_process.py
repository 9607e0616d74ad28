"""A comparison from Python: the caller builds the trainers, one after the other in this process."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TypeAlias

from rich.console import Console

from hf_dsd.runs.run import finished_models

from .arguments import as_arguments
from .arms import BASELINE, Arm, plan_arms
from .comparison import Comparison
from .first_phase import PHASE_FIELDS
from .iterative import Recipe
from .jobs import Job, Training, locked, run_jobs
from .recipe import factory_recipe, note_call, plan_jobs

if TYPE_CHECKING:
    from hf_dsd.trainer.trainer import DSDMixin

MakeTrainer: TypeAlias = "Callable[[dict[str, Any], str, int], DSDMixin]"


def compare(
    make_trainer: MakeTrainer,
    arms: Sequence[str | Arm],
    seeds: Sequence[int],
    out: str | os.PathLike[str],
    *,
    baseline: str = BASELINE,
    score: Callable[[DSDMixin], object] | None = None,
    split: str | None = None,
    metric: str | None = None,
    greater_is_better: bool | None = None,
    force: bool = False,
    console: Console | None = None,
) -> Comparison:
    """Trains every arm with every seed, resumably, and compares what they reached.

        def make_trainer(arm_options, output_dir, seed):
            args = DSDTrainingArguments(output_dir, seed=seed, phase_epochs=[8, 4, 4], sparsity=0.5, **arm_options)
            return DSDTrainer(build_model(), args, train_dataset=..., eval_dataset=...)

        compare(make_trainer, ["dsd", "dense", Arm("s80", {"sparsity": 0.8})], seeds=[1, 2, 3], out="runs/mine")

    Args:
        make_trainer: From an arm's fields, the run's folder and the seed to a new trainer with a new model. It must
            hand the fields on to the training arguments, but for those of its own, such as a model's dropout, that an
            arm of yours may have. Everything is seeded before it is called. A function, or
            `functools.partial` of one: a change of its own source, or of the numbers and texts that it closes over or
            has as defaults, is noticed as another recipe; a change in what it calls, or in data, is not. So it must not
            change them itself: a list that it appends to makes every call another recipe.
        arms: Names of `ARMS`, and arms of your own: any difference in arguments.
        seeds: Of the runs.
        out: Folder of the comparison.
        baseline: The arm that the others are compared with.
        score: Called with each trained trainer, such as `lambda trainer: score_phases(trainer, test_set, scorer)`.
            Without it the arms are compared by `metric` of the evaluations at the phases' ends.
        split: Which score files to compare; None takes `test`, else the split that `score` has scored.
        metric: Score to compare; None means the scorer's headline score, or `eval_loss`.
        greater_is_better: Its direction; None where the score file or its name tells.
        force: Remove runs of another recipe instead of refusing.
        console: Where to show the progress.

    Returns:
        The comparison, also written to `out/comparison.json`. Runs that failed are in its `runs`.

    Raises:
        FileNotFoundError: If no run finished.
        ValueError: If the arms are wrong, `make_trainer` has no source, or the folder holds runs of another recipe and
            not `force`.
        RuntimeError: If another comparison is at work in the folder.
    """
    out = Path(out)
    with locked(out):
        jobs = _plan(make_trainer, arms, seeds, out, baseline, force=force)
        note_call(out, {"arms": [arm if isinstance(arm, str) else arm.name for arm in arms], "seeds": seeds})
        run_jobs(jobs, console or Console(), lambda job, _: _attempt(job, make_trainer, score))
    comparison = Comparison.from_folder(out, split, metric, greater_is_better=greater_is_better)
    comparison.write(out)
    return comparison


def _plan(
    make_trainer: MakeTrainer,
    arms: Sequence[str | Arm],
    seeds: Sequence[int],
    out: Path,
    baseline: str,
    *,
    force: bool,
) -> list[Job]:
    recipe, options = None, {}
    if "iterative" in arms or any(not isinstance(arm, str) and set(PHASE_FIELDS) & set(arm.options) for arm in arms):
        with TemporaryDirectory() as folder:  # the phases are known to the arguments only
            args = make_trainer({}, folder, seeds[0]).args
        options = {name: value for name in PHASE_FIELDS if (value := getattr(args, name)) is not None}
        recipe = Recipe.from_training_arguments(args) if "iterative" in arms else None
    trained = plan_arms(arms, baseline, recipe)
    base = factory_recipe(make_trainer)
    return plan_jobs(out, base, trained, seeds, options=options, baseline=baseline, force=force)


def _attempt(job: Job, make_trainer: MakeTrainer, score: Callable[[DSDMixin], object] | None) -> Training:
    """Trains one run; returns what it raised, with its traceback in the log."""
    yield  # so that the progress names it: this process has no time for that while it trains
    try:
        _train(job, make_trainer, score)
    except Exception as failure:  # whatever a run of the caller's code raises: the others go on
        job.log.write_text(traceback.format_exc(), encoding="utf-8")
        return f"{type(failure).__name__}: {failure}"
    return None


def _train(job: Job, make_trainer: MakeTrainer, score: Callable[[DSDMixin], object] | None) -> None:
    from transformers import set_seed  # with half of transformers; a table of runs that are done needs none of it

    checkpoint, options = job.start()
    set_seed(job.seed)
    trainer = make_trainer(options, str(job.folder), job.seed)
    ignored = [name for name, value in options.items() if not _arrived(trainer.args, name, value)]
    if ignored:
        raise ValueError(f"make_trainer must hand arm_options on to the training arguments; {ignored} did not arrive")
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint is not None else None)
    if score is not None:
        score(trainer)
    elif trainer.eval_dataset is not None:
        _evaluate_beside(job, trainer)


def _arrived(arguments: Any, name: str, value: Any) -> bool:
    """True if a field has the value that an arm gives it, `[0.5]` being 0.5; what is no field is the caller's own."""
    return as_arguments({name: getattr(arguments, name, value)}) == as_arguments({name: value})


def _evaluate_beside(job: Job, trainer: DSDMixin) -> None:
    """Evaluates the models that the run left beside its last phase's: averages, and the early stop's."""
    models = finished_models(job.folder)
    beside = [name for name in models if name.startswith(f"{models[-1]}-")]
    for name in beside:
        trainer.load_phase(name)
        trainer.evaluate(metric_key_prefix=name)
    if beside:
        trainer.load_phase(models[-1])
