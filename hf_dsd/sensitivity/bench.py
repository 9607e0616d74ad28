"""Measures one state of pruning at a time and compares it with the dense model; weights come back bit for bit."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from hf_dsd.engine.masks import apply_masks_, build_mask
from hf_dsd.engine.targets import Target, canonical_name

from .result import Curve, Point

Scored = Mapping[str, float | Sequence[float] | Tensor] | float
Evaluate = Callable[[], Scored]
Numbers = npt.NDArray[np.float64]
Result = TypeVar("Result")


class _Scores(NamedTuple):
    """What one evaluation said: the scores' means, and the deciding one by example, (examples,), where it came so."""

    means: dict[str, float]
    examples: Numbers | None


class Bench:
    """Holds a model to be pruned and evaluated again and again; evaluates it dense first.

    The arguments are those of `measure_sensitivity`; `advance` is called after every point of a curve, and `dense` is
    the point of the dense model.

    Raises:
        ValueError: If the metric is missing, or it is 0, NaN or infinite for the dense model.
    """

    def __init__(
        self,
        model: nn.Module,
        evaluate: Evaluate,
        metric: str,
        greater_is_better: bool,
        advance: Callable[[], object] = lambda: None,
    ) -> None:
        self._model, self._evaluate, self.metric, self._advance = model, evaluate, metric, advance
        self._sign = -1.0 if greater_is_better else 1.0
        self._dense = self._read()
        self.dense = Point(0.0, 0, self._dense.means, 0.0, None if self._dense.examples is None else 0.0)
        value = self.value
        if not np.isfinite(value) or value == 0:
            raise ValueError(
                f"the dense model's {metric} must be finite and not 0, because differences are fractions of it, got "
                f"{value}; check the model and its data, or choose another metric"
            )

    @property
    def value(self) -> float:
        """The deciding metric of the dense model."""
        return self._dense.means[self.metric]

    def repeat(self) -> float:
        """The deciding metric of the model as it is now."""
        return self._read().means[self.metric]

    def measure(self, sparsity: float, targets: Sequence[Target]) -> Point:
        """Prunes targets, evaluates, and restores them; a sparsity of 0 is the dense model, whatever overrides say."""
        pruned = sum(target.pruned_count(sparsity) for target in targets) if sparsity else 0
        if not pruned:
            return Point(sparsity, 0, self.dense.scores, 0.0, self.dense.standard_error)
        fractions = {target.name: target.sparsity(sparsity) for target in targets}
        stacked = {target.name: target.matrices for target in targets}
        scores = evaluate_pruned(self._model, fractions, self._read, matrices=stacked)
        with np.errstate(invalid="ignore", over="ignore"):  # a diverged model's differences are NaN or infinite
            worse_by = float(self._sign * np.subtract(scores.means[self.metric], self.value))
            return Point(sparsity, pruned, scores.means, worse_by, self._standard_error(scores.examples))

    def curve(self, name: str, targets: Sequence[Target], sparsities: Sequence[float]) -> Curve:
        """Measures targets at several sparsities."""
        points = []
        for sparsity in sparsities:
            points.append(self.measure(sparsity, targets))
            self._advance()
        return Curve(name, sum(target.numel for target in targets), points)

    def _read(self) -> _Scores:
        self._model.eval()
        return _read_scores(self._evaluate(), self.metric)

    def _standard_error(self, examples: Numbers | None) -> float | None:
        """Of the mean difference to the dense model, paired by example."""
        if examples is None or self._dense.examples is None or len(examples) != len(self._dense.examples):
            return None
        differences = examples - self._dense.examples
        if len(differences) < 2 or not np.isfinite(differences).all():
            return None
        return float(differences.std(ddof=1) / np.sqrt(len(differences)))


def _read_scores(result: Scored, metric: str) -> _Scores:
    """Takes apart what an evaluation returned."""
    named = result if isinstance(result, Mapping) else {"loss": result}
    if metric not in named:
        raise ValueError(f"metric must be one of the scores that evaluate returns, {sorted(named)}, got {metric!r}")
    arrays = {name: _numbers(name, value) for name, value in named.items()}
    with np.errstate(invalid="ignore", over="ignore"):
        means = {name: float(array.mean()) for name, array in arrays.items()}
    return _Scores(means, arrays[metric] if arrays[metric].ndim else None)


def _numbers(name: str, value: object) -> Numbers:
    try:
        array = np.asarray(value.detach().cpu() if isinstance(value, Tensor) else value)
        array = array.astype(np.float64, casting="same_kind" if array.dtype.kind == "f" else "safe")
    except (TypeError, ValueError) as error:  # of text, None, or rows of different lengths
        raise TypeError(f"evaluate must return numbers, got {value!r:.80} for {name!r}") from error
    if array.ndim > 1 or not array.size:
        raise TypeError(f"evaluate must return one number or one per example, got shape {array.shape} for {name!r}")
    return array


def evaluate_pruned(
    model: nn.Module,
    sparsities: Mapping[str, float],
    evaluate: Callable[[], Result],
    *,
    matrices: Mapping[str, int] | None = None,
) -> Result:
    """Calls `evaluate` while some parameters are pruned by DSD's own masks, and restores them whatever happens.

    Args:
        model: The model; it is changed in place, and holds the same bits afterwards, also after an exception or an
            interrupt. Meanwhile there is a second copy of the parameters that are pruned.
        sparsities: Parameter name, as `plan_targets` gives it -> fraction pruned, in [0, 1).
        evaluate: What to do with the pruned model.
        matrices: Parameter name -> number of matrices that it stacks, such as a mixture's experts; 1 where not named.

    Returns:
        What `evaluate` returned.

    Raises:
        ValueError: If a parameter to prune holds NaN or inf; nothing is changed then.
    """
    parameters = {canonical_name(name): parameter for name, parameter in model.named_parameters()}
    stacked = matrices or {}
    pairs = []
    for name, sparsity in sparsities.items():
        try:
            mask = build_mask(parameters[name], sparsity, matrices=stacked.get(name, 1)).mask
        except ValueError as error:
            raise ValueError(f"{name} cannot be pruned: {error}") from error
        pairs.append((parameters[name], mask))
    originals: list[tuple[Tensor, Tensor]] = []
    try:
        for parameter, mask in pairs:
            originals.append((parameter, parameter.detach().clone()))
            apply_masks_([(parameter, mask)])
        result = evaluate()
        _restore_(originals)
    except BaseException:  # an interrupt may also come while the weights are on their way back
        _restore_(originals)
        raise
    return result


@torch.no_grad()
def _restore_(originals: Sequence[tuple[Tensor, Tensor]]) -> None:
    for parameter, original in originals:
        parameter.copy_(original)
