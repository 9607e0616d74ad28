"""Measures how much worse a model gets as its layers are pruned, one by one and all at once, without retraining."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import version
from types import MappingProxyType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import nn
from transformers import Trainer

from hf_dsd.engine.schedule import check_sparsity
from hf_dsd.engine.targets import Target, canonical_name, log_frozen, plan_targets

from .bench import Bench, Evaluate
from .explanation import explain, flags_for, pattern_for
from .result import Curve, Point, Sensitivity, Suggestion
from .suggestion import find

logger = logging.getLogger(__name__)

SPARSITIES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
TOLERANCE = 0.05
TOGETHER = "all layers at once"


def measure_sensitivity(
    model: nn.Module,
    evaluate: Evaluate,
    sparsities: Sequence[float] = SPARSITIES,
    *,
    dense_modules: Sequence[str] | None = None,
    sparsity_overrides: Mapping[str, float] | None = None,
    metric: str = "loss",
    greater_is_better: bool = False,
    tolerance: float = TOLERANCE,
    name: str | None = None,
    data: str = "",
    console: Console | None = None,
) -> Sensitivity:
    """Prunes each layer alone and all at once, as a sparse phase would, evaluates, and suggests a sparsity.

    Costs (layers + 1) * sparsities evaluations, and a few more; the first one tells how long they will take, which is
    said before the others begin. Afterwards the model's weights hold the same bits and its modules are in the modes
    they were in, also after an exception or an interrupt.

    Args:
        model: A trained, dense model; in evaluation mode at every evaluation.
        evaluate: Evaluates `model`, on validation data and on the same examples every time. Returns the loss, or scores
            by name. A score may be a sequence of one number per example: its mean is the score, and differences get a
            standard error. `trainer.evaluate` will do, with `metric="eval_loss"`.
        sparsities: Fractions in [0, 1) to measure; 0, the dense model, is always among them.
        dense_modules: See `plan_targets`.
        sparsity_overrides: See `plan_targets`; where all layers are pruned at once, and in the suggestion, these layers
            have their own fractions.
        metric: The score that decides.
        greater_is_better: Its direction.
        tolerance: How much worse the metric may become, as a fraction of the dense model's; see `suggestion.py`.
        name: What the result calls the model; default: its class.
        data: What it is evaluated on, in words.
        console: Where to say what it will cost and to draw a progress bar; None does neither.

    Raises:
        ValueError: If a sparsity or the tolerance is out of range, the metric is missing, or it is 0, NaN or infinite
            for the dense model; if a layer holds NaN or inf; or as `plan_targets`.
        TypeError: If a score is not a number.
    """
    fractions = sorted({0.0, *check_sparsity(list(sparsities), "sparsities")})
    if fractions == [0.0]:
        raise ValueError(f"sparsities must hold a fraction above 0, got {list(sparsities)}")
    if not 0 < tolerance < float("inf"):
        raise ValueError(f"tolerance must be a positive fraction of the dense model's {metric}, got {tolerance}")
    plans = _Plans(model, dense_modules, sparsity_overrides)
    targets = plans.targets()
    _warn_of_zeros(model, targets)
    modes = [(module, module.training) for module in model.modules()]
    try:
        with (
            quiet(getattr(evaluate, "__self__", None)),
            _progress_bar(console, (len(targets) + 1) * len(fractions)) as advance,
        ):
            start = time.perf_counter()
            bench = Bench(model, evaluate, metric, greater_is_better, advance)
            _say_cost(console, len(targets), len(fractions) - 1, time.perf_counter() - start)
            together = bench.curve(TOGETHER, targets, fractions)
            layers = [bench.curve(target.name, [replace(target, override=None)], fractions) for target in targets]
            suggestion = _suggest(bench, plans, together, layers, tolerance)
            repeated = bench.repeat()
    finally:
        for module, training in modes:
            module.training = training
    if repeated != bench.value:
        logger.warning(
            "two evaluations of the same weights gave %s %r and %r: what they differ by is noise; evaluate the same "
            "examples every time, without dropout",
            metric,
            bench.value,
            repeated,
        )
    versions = {package: version(package) for package in ("hf-dsd", "torch", "transformers")}
    title = type(model).__name__ if name is None else name
    scores = bench.dense.scores
    return Sensitivity(
        title, data, metric, greater_is_better, scores, repeated, tolerance, together, layers, suggestion, versions
    )


class _Plans:
    """What a sparse phase prunes of a model, by the caller's options and overrides for the layers held back."""

    def __init__(
        self, model: nn.Module, dense_modules: Sequence[str] | None, overrides: Mapping[str, float] | None
    ) -> None:
        self._model, self.dense_modules, self._overrides = model, dense_modules, overrides or {}
        self._names = {canonical_name(name) for name, _ in model.named_parameters(remove_duplicate=False)}

    def overrides(self, held_back: Mapping[str, float]) -> dict[str, float]:
        """The `sparsity_overrides` that also hold layers back, layer -> sparsity."""
        return {**self._overrides, **{pattern_for(layer, self._names): held_back[layer] for layer in held_back}}

    def targets(self, held_back: Mapping[str, float] = MappingProxyType({})) -> list[Target]:
        """The parameters that are pruned."""
        overrides = self.overrides(held_back)
        plan = plan_targets(self._model, dense_modules=self.dense_modules, sparsity_overrides=overrides)
        log_frozen(plan)
        return [target for target in plan if target.is_pruned]


def _warn_of_zeros(model: nn.Module, targets: Sequence[Target]) -> None:
    """A model that is pruned already can be pruned as much again at no cost: probably not what was meant."""
    parameters = {canonical_name(name): parameter for name, parameter in model.named_parameters()}
    zeros = sum(int((parameters[target.name] == 0).sum()) for target in targets)
    weights = sum(target.numel for target in targets)
    if zeros > 0.01 * weights:
        logger.warning(
            "%.0f %% of the weights to prune are zero: is it the model of a sparse phase?", 100 * zeros / weights
        )


def _suggest(bench: Bench, plans: _Plans, together: Curve, layers: Sequence[Curve], tolerance: float) -> Suggestion:
    """Applies the rule; combinations are measured with the very options that are suggested."""
    overridden = {target.name for target in plans.targets() if target.override is not None}
    free = [layer for layer in layers if layer.name not in overridden]

    def measure(sparsity: float, held_back: Mapping[str, float]) -> Point:
        return bench.measure(sparsity, plans.targets(held_back))

    found = find(together, free, tolerance * abs(bench.value), measure)
    point, overrides = found.point, plans.overrides(found.held_back)
    sparsity = point.sparsity if point.pruned else None
    return Suggestion(
        sparsity,
        overrides,
        flags_for(sparsity, overrides, plans.dense_modules),
        explain(found, together, free, tolerance, bench.metric),
        point.pruned,
        point.scores,
        point.worse_by,
        point.standard_error,
    )


def _say_cost(console: Console | None, layers: int, sparsities: int, seconds: float) -> None:
    """Says what is about to be done, by the seconds that the dense model's evaluation took."""
    if console is not None:
        count = (layers + 1) * sparsities
        console.print(
            f"{count} evaluations of {seconds:.2g} s, about {count * seconds / 60:.2g} minutes: {layers} layers, each "
            f"alone, and all at once, at {sparsities} sparsities",
            highlight=False,
        )


@contextmanager
def quiet(trainer: Any) -> Iterator[None]:
    """Evaluations within are nobody's news: a Trainer's callbacks would print, track and record each pruned model's."""
    if not isinstance(trainer, Trainer):
        yield
        return
    handler, log = trainer.callback_handler, trainer.state.log_history
    callbacks, lines = handler.callbacks, len(log)
    handler.callbacks = []
    try:
        yield
    finally:
        handler.callbacks = callbacks
        del log[lines:]


@contextmanager
def _progress_bar(console: Console | None, total: int) -> Iterator[Callable[[], object]]:
    """Gives what to call after every point."""
    columns = (TextColumn("pruning"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=console is None) as bar:
        task = bar.add_task("", total=total)
        yield lambda: bar.advance(task)
