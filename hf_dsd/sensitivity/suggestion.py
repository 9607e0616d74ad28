"""The rule by which a sparsity and its overrides are suggested.

1. The tolerance says how much worse the model may become by pruning alone: a fraction of the dense model's loss.
2. The largest measured sparsity up to which all layers pruned at once stay within it is the uniform suggestion.
3. A layer is sensitive at a sparsity if, pruned alone, it uses more than half of the tolerance, by more than one
   standard error where that is known. Above the uniform sparsity, sensitive layers are held back at the largest
   sparsity up to which they use no more than that half, and the combination is measured. The largest sparsity that
   stays within the tolerance is suggested instead, if it prunes more weights in all and the layers held back own no
   more than half of the weights.

So overrides are exceptions that pay for themselves, and what is suggested has been measured as a whole.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from .result import Curve, Point

SHARE = 0.5
"""Of the tolerance, what a layer may use alone; and of the weights, what the layers held back may own together."""


@dataclass(frozen=True)
class Found:
    """The outcome of the rule."""

    point: Point  # the suggestion as it was measured; the dense model if nothing could be pruned
    held_back: Mapping[str, float]  # layer -> the lower sparsity that it gets
    tried: Point | None  # the last combination that was too much or gained nothing, if one was measured


def find(
    together: Curve,
    layers: Sequence[Curve],
    allowed: float,
    measure: Callable[[float, Mapping[str, float]], Point],
) -> Found:
    """Applies the rule to all layers at once and to those that may be held back, each alone.

    `allowed` is how much worse the model may become, in the metric's units; `measure` turns a sparsity and what is held
    back, layer -> sparsity, into the measured combination.
    """
    best, best_held_back, tried = together.within(allowed), dict[str, float](), None
    if not best.pruned:  # a sparse phase that prunes nothing is an error
        best = together.points[0]
    for point in together.points:
        held_back = _sensitive(layers, point.sparsity, allowed * SHARE)
        if point.sparsity <= best.sparsity or not held_back:
            continue
        if sum(layer.weights for layer in layers if layer.name in held_back) > SHARE * together.weights:
            break
        tried = measure(point.sparsity, held_back)
        if not tried.worse_by <= allowed:
            break
        if tried.pruned > best.pruned:
            best, best_held_back, tried = tried, held_back, None
    return Found(best, best_held_back, tried)


def _sensitive(layers: Sequence[Curve], sparsity: float, allowed: float) -> dict[str, float]:
    """The layers that, pruned alone, surely cost more than `allowed` at a sparsity -> the most that costs no more."""
    points = [(layer, layer.at(sparsity)) for layer in layers]
    return {
        layer.name: layer.within(allowed).sparsity
        for layer, point in points
        if not point.worse_by - (point.standard_error or 0.0) <= allowed  # NaN is beyond every limit
    }
