"""A suggestion in words and as command-line flags."""

import json
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence

from .result import Curve, Point
from .suggestion import Found

_RETRAINING = (
    "Nothing was retrained: training under the mask recovers part of the loss, so DSD may go further than this (the "
    "paper prunes 25% to 50%, of NeuralTalk 80%). Take it as where to begin; `hf-dsd compare` says what it is worth."
)


def explain(found: Found, together: Curve, layers: Sequence[Curve], tolerance: float, metric: str) -> list[str]:
    """Why the rule suggests what it has found, one sentence each; arguments as at `find` and `measure_sensitivity`."""
    dense = together.points[0].scores[metric]
    allowed = tolerance * abs(dense)
    sentences = [
        f"Pruning may make {metric} worse by {100 * tolerance:g}% of the dense model's {dense:.4g}: {allowed:.3g}.",
        _uniform(together, allowed, dense),
        *_held_back(found, together, layers, dense, allowed),
    ]
    if found.point.pruned and found.point.standard_error is not None:
        error = found.point.standard_error / abs(dense)
        sentences.append(f"The suggestion's difference has a standard error of {error:.1%} over the examples.")
    return [*sentences, _RETRAINING]


def _uniform(together: Curve, allowed: float, dense: float) -> str:
    best, beyond = together.within(allowed), _beyond(together, allowed)
    if beyond is None:
        return f"All layers pruned alike stay within that up to {percent(best.sparsity)}, the most that was measured."
    after = f"at {percent(beyond.sparsity)} it is {change(beyond, dense)}"
    if not best.pruned:
        return f"All layers pruned alike exceed that at the smallest sparsity measured: {after}."
    return f"All layers pruned alike stay within that up to {percent(best.sparsity)} ({change(best, dense)}); {after}."


def _beyond(together: Curve, allowed: float) -> Point | None:
    """The first point that is too much."""
    best = together.within(allowed)
    return next((point for point in together.points if point.sparsity > best.sparsity), None)


def _held_back(found: Found, together: Curve, layers: Sequence[Curve], dense: float, allowed: float) -> list[str]:
    if not found.held_back:
        if found.tried is not None:
            tried = f"{percent(found.tried.sparsity)} of the others, {change(found.tried, dense)}"
            return [f"Holding sensitive layers back allows no more: {tried}."]
        few = "No few layers are surely to blame for the limit, so none is held back."
        return [few] if _beyond(together, allowed) else []
    sparsity = found.point.sparsity
    sentences = [
        f"{layer.name} alone makes it {change(layer.at(sparsity), dense)} at {percent(sparsity)}, over half of the "
        f"tolerance: held back at {percent(found.held_back[layer.name])}."
        for layer in layers
        if layer.name in found.held_back
    ]
    share = found.point.pruned / together.weights
    measured = f"Measured together, {share:.0%} of all layers' weights pruned: {change(found.point, dense)}."
    return [*sentences, measured]


def percent(sparsity: float) -> str:
    """`30%`, `12.5%`."""
    return f"{100 * sparsity:.3g}%"


def change(point: Point, dense: float) -> str:
    """`3.1% worse`, `0.2% better`: a point against the dense model's metric."""
    relative = point.worse_by / abs(dense)
    return f"{-relative:.1%} better" if relative < 0 else f"{relative:.1%} worse"


def pattern_for(name: str, names: Iterable[str]) -> str:
    """A regex that is found in `name` and in no other of `names`: the name itself where that will do."""
    others = [other for other in names if other != name]
    if re.fullmatch(r"[\w.]+", name) and not any(re.search(name, other) for other in others):
        return name
    return f"^{re.escape(name)}$"


def flags_for(sparsity: float | None, overrides: Mapping[str, float], dense_modules: Sequence[str] | None) -> str:
    """The options as they are typed, "" if there is nothing to suggest; an empty `dense_modules` has no such form."""
    if sparsity is None:
        return ""
    words = ["--sparsity", f"{sparsity:g}"]
    if overrides:
        words += ["--sparsity_overrides", json.dumps(dict(overrides))]
    if dense_modules:
        words += ["--dense_modules", *dense_modules]
    return shlex.join(words)
