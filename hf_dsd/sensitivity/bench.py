"""Measures one state of pruning at a time and compares it with the dense model."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from hf_dsd.engine.targets import Target

from .pruned_model import evaluate_pruned
from .result import Curve, Point

Evaluate = Callable[[], Mapping[str, float | Sequence[float] | Tensor] | float]
Numbers = npt.NDArray[np.float64]


class Scores(NamedTuple):
    """What one evaluation said.

    Attributes:
        means: Score by name.
        examples: The deciding metric of each example, (examples,); None if it came as one number.
    """

    means: dict[str, float]
    examples: Numbers | None


class Bench:
    """Holds a model to be pruned and evaluated again and again; evaluates it dense first.

    Args:
        model: The model; in evaluation mode at every evaluation.
        evaluate: As at `measure_sensitivity`, like the next two.
        metric: The score that decides.
        greater_is_better: Its direction.
        advance: Called after every point of a curve.

    Attributes:
        dense: The dense model.

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
        self._model, self._evaluate, self._metric, self._advance = model, evaluate, metric, advance
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
        return self._dense.means[self._metric]

    def repeat(self) -> float:
        """The deciding metric of the model as it is now."""
        return self._read().means[self._metric]

    def measure(self, sparsity: float, targets: Sequence[Target]) -> Point:
        """Prunes targets, evaluates, and restores them; where nothing is pruned, the point is the dense model's.

        Args:
            sparsity: Of the sparse phase; 0 leaves the model dense, whatever targets' overrides say.
            targets: What to prune.
        """
        pruned = sum(target.pruned_count(sparsity) for target in targets) if sparsity else 0
        if not pruned:
            return Point(sparsity, 0, self.dense.scores, 0.0, self.dense.standard_error)
        fractions = {target.name: target.sparsity(sparsity) for target in targets}
        stacked = {target.name: target.matrices for target in targets}
        scores = evaluate_pruned(self._model, fractions, self._read, matrices=stacked)
        with np.errstate(invalid="ignore", over="ignore"):  # a diverged model's differences are NaN or infinite
            worse_by = float(self._sign * np.subtract(scores.means[self._metric], self.value))
            return Point(sparsity, pruned, scores.means, worse_by, self._standard_error(scores.examples))

    def curve(self, name: str, targets: Sequence[Target], sparsities: Sequence[float]) -> Curve:
        """Measures targets at several sparsities."""
        points = []
        for sparsity in sparsities:
            points.append(self.measure(sparsity, targets))
            self._advance()
        return Curve(name, sum(target.numel for target in targets), points)

    def _read(self) -> Scores:
        self._model.eval()
        return read_scores(self._evaluate(), self._metric)

    def _standard_error(self, examples: Numbers | None) -> float | None:
        """Of the mean difference to the dense model, paired by example."""
        if examples is None or self._dense.examples is None or len(examples) != len(self._dense.examples):
            return None
        differences = examples - self._dense.examples
        if len(differences) < 2 or not np.isfinite(differences).all():
            return None
        return float(differences.std(ddof=1) / np.sqrt(len(differences)))


def read_scores(result: Mapping[str, float | Sequence[float] | Tensor] | float, metric: str) -> Scores:
    """Takes apart what an evaluation returned.

    Args:
        result: The loss, or scores by name, each one number or one per example.
        metric: The score that decides.

    Raises:
        TypeError: If a score is not a number or a sequence of numbers.
        ValueError: If the metric is missing.
    """
    named = result if isinstance(result, Mapping) else {"loss": result}
    if metric not in named:
        raise ValueError(f"metric must be one of the scores that evaluate returns, {sorted(named)}, got {metric!r}")
    arrays = {name: _numbers(name, value) for name, value in named.items()}
    with np.errstate(invalid="ignore", over="ignore"):
        means = {name: float(array.mean()) for name, array in arrays.items()}
    return Scores(means, arrays[metric] if arrays[metric].ndim else None)


def _numbers(name: str, value: object) -> Numbers:
    try:
        array = np.asarray(value.detach().cpu() if isinstance(value, Tensor) else value)
        array = array.astype(np.float64, casting="same_kind" if array.dtype.kind == "f" else "safe")
    except (TypeError, ValueError) as error:  # of text, None, or rows of different lengths
        raise TypeError(f"evaluate must return numbers, got {value!r:.80} for {name!r}") from error
    if array.ndim > 1 or not array.size:
        raise TypeError(f"evaluate must return one number or one per example, got shape {array.shape} for {name!r}")
    return array
