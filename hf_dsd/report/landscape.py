"""Why it may work, measured: the loss between the models of a run, and how sharp each model's minimum is.

The paper explains DSD by saddle points left and by flatter, more robust minima; these are the two measurements that
such a claim can be held against. Any evaluation will do: this module knows no trainer.

Sharpness of a model w, at a radius a: the mean over K random directions d, each walked both ways, of

    [L(w + a d) + L(w - a d)] / 2 - L(w)

where d is Gaussian noise that has, filter by filter (index 0 of every tensor of two or more dimensions), the norm of w
(Li et al., 2018); biases and norms are not moved, pruned weights are moved like any other. Walking both ways cancels
the slope, so what is left is curvature.

References:
    Li et al., `Visualizing the Loss Landscape of Neural Nets <https://arxiv.org/abs/1712.09913>`_, 2018, section 4.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations, pairwise
from pathlib import Path

import torch
from torch import Tensor

from hf_dsd.files import read_json_object, write_json

LANDSCAPE_FILE_NAME = "landscape.json"
RADII = (0.05, 0.1)
N_DIRECTIONS = 4
N_POINTS = 11

SHARPNESS_DEFINITION = (
    "Sharpness at radius a: mean over {directions} random directions d, each walked both ways, of "
    "[L(w + a d) + L(w - a d)] / 2 - L(w). d is Gaussian noise with the norm of the weights filter by filter (row by "
    "row of every matrix); biases and norms are not moved, pruned weights are. Seed {seed}, the same "
    "noise for every model."
)

Weights = Mapping[str, Tensor]
EvaluateLoss = Callable[[Weights], float]


@dataclass(frozen=True)
class Line:
    """The loss along the straight line between two models.

    Attributes:
        start: Name of the model at position 0.
        end: Name of the model at position 1.
        positions: t in [0, 1], rising; the weights are (1 - t) start + t end.
        losses: At these positions.
    """

    start: str
    end: str
    positions: Sequence[float]
    losses: Sequence[float]

    @property
    def barrier(self) -> float:
        """How far the highest loss on the line lies above the higher of its ends; 0 where none does."""
        return max(0.0, max(self.losses) - max(self.losses[0], self.losses[-1]))


@dataclass(frozen=True)
class Landscape:
    """What `loss_landscape` measured.

    Attributes:
        losses: Model -> its loss.
        lines: Between the models.
        radii: Of the perturbations, relative to the weights' norm.
        sharpness: Model -> its sharpness at each radius.
        spread: Model -> the sample standard deviation over the directions, at each radius.
        directions: Number of random directions.
        seed: Of the directions.
        definition: Of the sharpness, in words.
        data: What the loss was measured on.
        batch_norm: How batch norm's statistics were treated, in words; "" for a model without.
        version: Of the file's format.
    """

    losses: Mapping[str, float]
    lines: Sequence[Line]
    radii: Sequence[float]
    sharpness: Mapping[str, Sequence[float]]
    spread: Mapping[str, Sequence[float]]
    directions: int
    seed: int
    definition: str
    data: str = ""
    batch_norm: str = ""
    version: int = 1

    def sharpness_at(self, model: str, radius: float) -> tuple[float, float] | None:
        """A model's sharpness at one of the radii, and its standard deviation; None if it was not measured there."""
        if radius not in self.radii:
            return None
        place = list(self.radii).index(radius)
        return self.sharpness[model][place], self.spread[model][place]

    def write(self, folder: str | os.PathLike[str]) -> Path:
        """Writes `landscape.json` into a run's folder, atomically, and returns its path."""
        return write_json(Path(folder) / LANDSCAPE_FILE_NAME, asdict(self))

    @classmethod
    def read(cls, folder: str | os.PathLike[str]) -> "Landscape":
        """Reads what `write` wrote.

        Raises:
            FileNotFoundError: If the folder has no `landscape.json`.
            ValueError: If the file is damaged, or a newer version of hf_dsd wrote it.
        """
        path = Path(folder) / LANDSCAPE_FILE_NAME
        try:
            content = read_json_object(path)
            if content["version"] == 1:
                return cls(**{**content, "lines": [Line(**line) for line in content["lines"]]})
        except (ValueError, KeyError, TypeError) as error:
            reason = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
            raise ValueError(f"{path} cannot be read ({reason}): measure it again, or remove it") from error
        raise ValueError(f"{path} has format version {content['version']}, this hf_dsd reads 1: upgrade hf-dsd")


def loss_landscape(
    models: Mapping[str, Weights],
    evaluate_loss: EvaluateLoss,
    *,
    points: int = N_POINTS,
    radii: Sequence[float] = RADII,
    directions: int = N_DIRECTIONS,
    seed: int = 0,
    data: str = "",
    batch_norm: str = "",
) -> Landscape:
    """Measures the loss along the lines between models, and the sharpness of each.

    Lines join neighbours, and the first model with the last. It takes 1 + 2 * len(radii) * directions evaluations per
    model and points - 2 per line: 78 for three models by default.

    Args:
        models: Name -> weights, in the order of training; at least one. Tensors of one name have one shape.
        evaluate_loss: From weights to a loss. What is not in floating point keeps the first model's value on a line.
        points: Positions per line, both ends included, at least 2.
        radii: Of the perturbations, relative to the norm of each filter, > 0.
        directions: Random directions per model, at least 1.
        seed: Of the directions, which are the same for every model.
        data: What the loss is measured on, for the file.
        batch_norm: How `evaluate_loss` treats batch norm's statistics, for the file. A trap: statistics interpolated
            like weights fit no model on the line. `hf_dsd.report.run_landscape` computes them anew.

    Raises:
        ValueError: If an argument is out of its range, or the models do not have the same tensors.
    """
    _check(models, points, radii, directions)
    losses = {name: evaluate_loss(weights) for name, weights in models.items()}
    names = list(models)
    pairs = [*pairwise(names), *([(names[0], names[-1])] if len(names) > 2 else [])]
    sharpness: dict[str, list[float]] = {}
    spread: dict[str, list[float]] = {}
    for name, weights in models.items():
        rises = [_rises(weights, losses[name], evaluate_loss, radius, directions, seed) for radius in radii]
        sharpness[name] = [float(rise.mean()) for rise in rises]
        spread[name] = [float(rise.std()) if directions > 1 else 0.0 for rise in rises]
    return Landscape(
        losses=losses,
        lines=[_line(start, end, models, losses, evaluate_loss, points) for start, end in pairs],
        radii=list(radii),
        sharpness=sharpness,
        spread=spread,
        directions=directions,
        seed=seed,
        definition=SHARPNESS_DEFINITION.format(directions=directions, seed=seed),
        data=data,
        batch_norm=batch_norm,
    )


def interpolate(start: Weights, end: Weights, position: float) -> dict[str, Tensor]:
    """(1 - t) start + t end, tensor by tensor; integers are the start's."""
    return {
        name: torch.lerp(tensor.float(), end[name].float(), position).to(tensor.dtype)
        if tensor.is_floating_point()
        else tensor
        for name, tensor in start.items()
    }


def filter_noise(weights: Weights, generator: torch.Generator) -> dict[str, Tensor]:
    """Gaussian noise with the norm of every filter of `weights`; only tensors that have filters are in it.

    Args:
        weights: Name -> tensor; a filter is one index of dimension 0 of a floating tensor of two or more dimensions.
        generator: On the CPU: the same noise on every device.
    """
    noise = {}
    for name, tensor in weights.items():
        if tensor.is_floating_point() and tensor.ndim > 1:
            draw = torch.randn(tensor.shape, generator=generator).flatten(1)
            norms = tensor.detach().float().cpu().flatten(1).norm(dim=1, keepdim=True)
            noise[name] = (draw / draw.norm(dim=1, keepdim=True) * norms).view(tensor.shape)
    return noise


def _line(
    start: str, end: str, models: Mapping[str, Weights], losses: Mapping[str, float], loss: EvaluateLoss, points: int
) -> Line:
    positions = [index / (points - 1) for index in range(points)]
    inner = [loss(interpolate(models[start], models[end], position)) for position in positions[1:-1]]
    return Line(start, end, positions, [losses[start], *inner, losses[end]])


def _rises(weights: Weights, own: float, loss: EvaluateLoss, radius: float, directions: int, seed: int) -> Tensor:
    rises = []
    for noise in _directions(weights, directions, seed):
        both = [loss(_moved(weights, noise, sign * radius)) for sign in (1, -1)]
        rises.append(sum(both) / 2 - own)
    return torch.tensor(rises, dtype=torch.float64)


def _directions(weights: Weights, directions: int, seed: int) -> Iterator[dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    for _ in range(directions):
        yield filter_noise(weights, generator)


def _moved(weights: Weights, noise: Weights, distance: float) -> dict[str, Tensor]:
    return {
        name: (tensor.float() + distance * noise[name].to(tensor.device)).to(tensor.dtype) if name in noise else tensor
        for name, tensor in weights.items()
    }


def _check(models: Mapping[str, Weights], points: int, radii: Sequence[float], directions: int) -> None:
    if not models:
        raise ValueError("models must hold at least one model, got none: finish a phase first")
    if points < 2:
        raise ValueError(f"points must be at least 2, the two ends, got {points}")
    if directions < 1 or any(radius <= 0 for radius in radii):
        raise ValueError(f"directions must be at least 1 and radii > 0, got {directions} and {list(radii)}")
    for (first, one), (second, other) in combinations(models.items(), 2):
        differing = sorted(one.keys() ^ other.keys()) or [n for n in one if one[n].shape != other[n].shape]
        if differing:
            raise ValueError(f"models must have the same tensors, but {first} and {second} differ in {differing[:3]}")
