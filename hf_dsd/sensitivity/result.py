"""What a sensitivity analysis found, and its file."""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hf_dsd.files import read_json, write_json

FILE_NAME = "sensitivity.json"
_VERSION = 1
_REMEDY = "remove it, and measure again"


@dataclass(frozen=True)
class Point:
    """A model with some of its weights pruned.

    Attributes:
        sparsity: Fraction pruned of each layer in question, in [0, 1).
        pruned: Weights pruned in all.
        scores: What the evaluation said, by name.
        worse_by: How much worse than the dense model by the deciding metric, in its own units: what a loss rose or a
            BLEU fell. Negative if the pruned model is better, NaN or infinite if it diverges.
        standard_error: Of `worse_by` over examples, paired with the dense model's; None where the evaluation does not
            give the metric by example.
    """

    sparsity: float
    pruned: int
    scores: Mapping[str, float]
    worse_by: float
    standard_error: float | None = None


@dataclass(frozen=True)
class Curve:
    """One layer, or all of them, at rising sparsity.

    Attributes:
        name: The parameter's name.
        weights: Its number of weights.
        points: By rising sparsity; the first is the dense model.
    """

    name: str
    weights: int
    points: Sequence[Point]

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
    """What to train with, and why.

    Attributes:
        sparsity: Of all layers but the overridden ones; None if even the smallest that was measured costs too much.
        sparsity_overrides: Pattern -> fraction, the caller's own first.
        flags: The same for a command line.
        reasons: Why, one sentence each.
        pruned: Weights that this prunes.
        scores: As measured with exactly these options.
        worse_by: How much worse than the dense model.
        standard_error: Of `worse_by`, as at `Point`.
    """

    sparsity: float | None
    sparsity_overrides: Mapping[str, float]
    flags: str
    reasons: Sequence[str]
    pruned: int
    scores: Mapping[str, float]
    worse_by: float
    standard_error: float | None = None


@dataclass(frozen=True)
class Sensitivity:
    """A model's sensitivity to pruning without retraining.

    Attributes:
        model: Where it comes from, or its class.
        data: What it was evaluated on, in words.
        metric: The score that decides.
        greater_is_better: Its direction.
        dense: The scores of the model as it is.
        repeated: The deciding metric of the restored model at the end: equal to `dense[metric]` if the evaluation
            depends on nothing but the weights.
        tolerance: How much worse is still acceptable, as a fraction of the dense model's metric.
        together: All layers pruned at once.
        layers: Each layer pruned alone, in the model's order.
        suggestion: What to train with.
        versions: Of the libraries that may matter.
    """

    model: str
    data: str
    metric: str
    greater_is_better: bool
    dense: Mapping[str, float]
    repeated: float
    tolerance: float
    together: Curve
    layers: Sequence[Curve]
    suggestion: Suggestion
    versions: Mapping[str, str] = field(default_factory=dict)

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

    @classmethod
    def read(cls, folder: str | os.PathLike[str]) -> "Sensitivity":
        """Reads what `write` wrote.

        Raises:
            FileNotFoundError: If the folder has no `sensitivity.json`.
            ValueError: If the file is damaged, or of another version.
        """
        path = Path(folder) / FILE_NAME
        content = read_json(path, _REMEDY)
        if content is None:
            raise FileNotFoundError(f"{path} is missing: measure by `hf-dsd sensitivity`")
        version = content.pop("version", None)
        if version != _VERSION:
            raise ValueError(f"{path} has version {version}, this hf_dsd reads {_VERSION}: measure again")
        try:
            content["together"] = _curve(content["together"])
            content["layers"] = [_curve(curve) for curve in content["layers"]]
            content["suggestion"] = Suggestion(**_with_numbers(content["suggestion"]))
            content["dense"] = {name: float(value) for name, value in content["dense"].items()}
            return cls(**{**content, "repeated": float(content["repeated"])})
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(f"{path} is damaged ({type(error).__name__}: {error}): {_REMEDY}") from error


def _in_json(value: Any) -> Any:
    """JSON has no NaN and no infinity: they become strings that `float` reads."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {name: _in_json(item) for name, item in value.items()}
    return [_in_json(item) for item in value] if isinstance(value, list | tuple) else value


def _with_numbers(fields: Mapping[str, Any]) -> dict[str, Any]:
    """A point's or suggestion's fields, with numbers for such strings."""
    scores = {name: float(value) for name, value in fields["scores"].items()}
    return {**fields, "scores": scores, "worse_by": float(fields["worse_by"])}


def _curve(fields: Mapping[str, Any]) -> Curve:
    return Curve(fields["name"], fields["weights"], [Point(**_with_numbers(point)) for point in fields["points"]])
