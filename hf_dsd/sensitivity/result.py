"""What a sensitivity analysis found, and its file for programs."""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hf_dsd.files import write_json

FILE_NAME = "sensitivity.json"
_VERSION = 1


@dataclass(frozen=True)
class Point:
    """A model with some of its weights pruned."""

    sparsity: float  # fraction pruned of each layer in question, in [0, 1)
    pruned: int  # weights pruned in all
    scores: Mapping[str, float]  # what the evaluation said, by name
    # How much worse than the dense model by the deciding metric, in its own units: what a loss rose or a BLEU fell.
    # Negative if the pruned model is better, NaN or infinite if it diverges.
    worse_by: float
    standard_error: float | None = None  # of `worse_by` over examples, paired; None where they have no score each


@dataclass(frozen=True)
class Curve:
    """One layer, a parameter by its name, or all of them, at rising sparsity."""

    name: str
    weights: int
    points: Sequence[Point]  # the first is the dense model

    def within(self, allowed: float) -> Point:
        """The last point before the curve is worse than the dense model by more than `allowed`, at 0 at the least.

        A curve that comes back below the limit later does not count: that is noise.
        """
        best = self.points[0]
        for point in self.points[1:]:
            if not point.worse_by <= allowed:  # NaN is beyond every limit
                break
            best = point
        return best

    def at(self, sparsity: float) -> Point:
        """The point of one of the measured sparsities."""
        return next(point for point in self.points if point.sparsity == sparsity)


@dataclass(frozen=True)
class Suggestion:
    """What to train with, and why; the last four as at `Point`, measured with exactly these options."""

    sparsity: float | None  # of all layers but the overridden ones; None if even the smallest measured costs too much
    sparsity_overrides: Mapping[str, float]  # pattern -> fraction, the caller's own first
    flags: str  # the same for a command line
    reasons: Sequence[str]  # one sentence each
    pruned: int
    scores: Mapping[str, float]
    worse_by: float
    standard_error: float | None = None


@dataclass(frozen=True)
class Sensitivity:
    """A model's sensitivity to pruning without retraining."""

    model: str  # where it comes from, or its class
    data: str  # what it was evaluated on, in words
    metric: str  # the score that decides
    greater_is_better: bool
    dense: Mapping[str, float]  # the scores of the model as it is
    repeated: float  # the restored model's at the end: `dense[metric]` if an evaluation depends on the weights alone
    tolerance: float  # how much worse is still acceptable, as a fraction of the dense model's metric
    together: Curve  # all layers pruned at once
    layers: Sequence[Curve]  # each layer pruned alone, in the model's order
    suggestion: Suggestion
    versions: Mapping[str, str] = field(default_factory=dict)  # of the libraries that may matter

    def __repr__(self) -> str:
        dense = f"{self.metric} {self.dense[self.metric]:.4g} dense, {len(self.layers)} layers"
        return f"Sensitivity({self.model}: {dense}; suggested: {self.suggestion.flags or 'nothing'})"

    @property
    def allowed(self) -> float:
        """How much worse than the dense model is acceptable, in the metric's units."""
        return self.tolerance * abs(self.dense[self.metric])

    def write(self, folder: str | os.PathLike[str]) -> Path:
        """Writes `sensitivity.json` into a folder, atomically, and returns its path."""
        content = {"version": _VERSION, **_in_json(asdict(self))}
        return write_json(Path(folder) / FILE_NAME, content, allow_nan=False)


def _in_json(value: Any) -> Any:
    """JSON has no NaN and no infinity: they become strings that Python's `float` reads."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {name: _in_json(item) for name, item in value.items()}
    return [_in_json(item) for item in value] if isinstance(value, list | tuple) else value
