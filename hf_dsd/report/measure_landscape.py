"""The loss between the models of a run and how sharp each one's minimum is, measured by the run's own trainer.

What sharpness is stands in `SHARPNESS_DEFINITION`; the directions are those of Li et al., and walking both ways cancels
the slope, so what is left is curvature.

Batch norm is a trap here: the running statistics of two models, interpolated, fit none of the models between them. So
wherever a model has such statistics they are computed anew before every evaluation, at the ends of the lines too, from
training batches in training mode, which is how training made them.

References:
    Li et al., `Visualizing the Loss Landscape of Neural Nets <https://arxiv.org/abs/1712.09913>`_, 2018, section 4.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations, islice, pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from hf_dsd.runs.run import finished_phases
from hf_dsd.runs.weights import read_weights
from hf_dsd.trainer.loading import copy_weights_, kept_weights, tensors_of
from hf_dsd.trainer.trainer import DSDMixin

from .landscape import LANDSCAPE_FILE_NAME, Landscape, Line

logger = logging.getLogger(__name__)

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
N_STATISTICS_BATCHES = 8
"""Training batches that batch norm's statistics are computed from."""


def measure_run_landscape(
    trainer: DSDMixin,
    dataset: Dataset[Any],
    split: str = "validation",
    *,
    points: int = N_POINTS,
    radii: tuple[float, ...] = RADII,
    directions: int = N_DIRECTIONS,
    seed: int = 0,
    statistics_batches: int = N_STATISTICS_BATCHES,
) -> Landscape:
    """Measures the loss between and around the models of a run's finished phases, and writes `landscape.json`.

    Call it after training, with validation data, named by `split`: it chooses nothing, but a test split is to be read
    once. The trainer's model and torch's random states are as before afterwards. `points`, `radii`, `directions` and
    `seed` are those of `loss_landscape`; batch norm's statistics take `statistics_batches` > 0 training batches.

    Raises:
        FileNotFoundError: If the run has finished no phase.
        ValueError: If the trainer's parameters are sharded over processes.
    """
    folder = trainer.run_folder
    phases = finished_phases(folder)
    if not phases:
        raise FileNotFoundError(f"{folder} holds no finished phase: train before you measure the landscape")
    model = trainer.accelerator.unwrap_model(trainer.model, keep_torch_compile=False)
    _refuse_sharded(tensors_of(model))
    with kept_weights(model), torch.random.fork_rng():  # a loader draws a seed where its order is random
        batches = list(islice(trainer.get_train_dataloader(), statistics_batches)) if batch_norms(model) else []
        anew = f"statistics computed anew from {len(batches)} training batches for every loss"
        landscape = loss_landscape(
            {phase: read_weights(folder / phase, model) for phase in phases},
            _loss_of_weights(trainer, model, dataset, batches, seed),
            points=points,
            radii=radii,
            directions=directions,
            seed=seed,
            data=f"mean loss on the {split} split",
            batch_norm=anew if batches else "",
        )
    if trainer.is_world_process_zero():
        landscape.write(folder)
        logger.info("%s is written", folder / LANDSCAPE_FILE_NAME)
    return landscape


def _loss_of_weights(
    trainer: DSDMixin, model: nn.Module, dataset: Dataset[Any], batches: list[Any], seed: int
) -> EvaluateLoss:
    norms = batch_norms(model)

    def evaluate_loss(weights: Weights) -> float:
        copy_weights_(model, weights)
        if norms:
            recompute_statistics_(trainer, model, norms, batches, seed)
        loader = trainer.get_eval_dataloader(dataset)
        found = trainer.evaluation_loop(loader, "landscape", prediction_loss_only=True, metric_key_prefix="landscape")
        return float(found.metrics["landscape_loss"])

    return evaluate_loss


def batch_norms(model: nn.Module) -> list[nn.Module]:
    """The modules that keep running statistics of their inputs, torch's and others that name them alike."""
    return [module for module in model.modules() if getattr(module, "running_mean", None) is not None]


def recompute_statistics_(
    trainer: DSDMixin, model: nn.Module, norms: list[nn.Module], batches: Iterable[Mapping[str, Any]], seed: int
) -> None:
    """Sets running statistics to their plain means over training batches, in training mode, dropout included.

    `seed` makes dropout repeatable; the caller's random state and the model's mode stay as they are.
    """
    momenta = [norm.momentum for norm in norms]
    was_training = model.training
    model.train()
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        for index, batch in enumerate(batches):
            for norm in norms:
                norm.momentum = 1 / (index + 1)  # type: ignore[assignment]  # the cumulative mean
            with trainer.compute_loss_context_manager():
                model(**trainer._prepare_inputs(dict(batch)))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    model.train(was_training)


def _refuse_sharded(tensors: Mapping[str, Tensor]) -> None:
    sharded = [name for name, tensor in tensors.items() if hasattr(tensor, "device_mesh") or tensor.numel() == 0]
    if sharded:
        raise ValueError(
            f"the landscape needs whole parameters, but {sharded[0]} is sharded over processes: measure it in a run of "
            "one process, with do_train false and the same output_dir"
        )


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
    model and points - 2 per line: 78 for three models by default. An argument out of its range is a ValueError.

    Args:
        models: Name -> weights, in the order of training; at least one. Tensors of one name have one shape.
        evaluate_loss: From weights to a loss. What is not in floating point keeps the first model's value on a line.
        points: Positions per line, both ends included, at least 2.
        radii: How far the perturbations reach, relative to the norm of each filter, > 0.
        directions: Random directions per model, at least 1, the same ones for every model.
        seed: Draws the directions.
        data: What the loss is measured on, for the file.
        batch_norm: How `evaluate_loss` treats batch norm's statistics, for the file. A trap: statistics interpolated
            like weights fit no model on the line. `measure_run_landscape` computes them anew.
    """
    _check(models, points, radii, directions)
    losses = {name: evaluate_loss(weights) for name, weights in models.items()}
    names = list(models)
    pairs = [*pairwise(names), *([(names[0], names[-1])] if len(names) > 2 else [])]
    positions = [index / (points - 1) for index in range(points)]
    lines = []
    for start, end in pairs:
        inner = [evaluate_loss(interpolate(models[start], models[end], position)) for position in positions[1:-1]]
        lines.append(Line(start, end, positions, [losses[start], *inner, losses[end]]))
    sharpness: dict[str, list[float]] = {}
    spread: dict[str, list[float]] = {}
    for name, weights in models.items():
        rises = [_rises(weights, losses[name], evaluate_loss, radius, directions, seed) for radius in radii]
        sharpness[name] = [float(rise.mean()) for rise in rises]
        spread[name] = [float(rise.std()) if directions > 1 else 0.0 for rise in rises]
    return Landscape(
        losses=losses,
        lines=lines,
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

    A filter is one index of dimension 0 of a floating tensor of two or more dimensions. The generator is on the CPU:
    the same noise on every device.
    """
    noise = {}
    for name, tensor in weights.items():
        if tensor.is_floating_point() and tensor.ndim > 1:
            draw = torch.randn(tensor.shape, generator=generator).flatten(1)
            norms = tensor.detach().float().cpu().flatten(1).norm(dim=1, keepdim=True)
            noise[name] = (draw / draw.norm(dim=1, keepdim=True) * norms).view(tensor.shape)
    return noise


def _rises(weights: Weights, own: float, loss: EvaluateLoss, radius: float, directions: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    rises = []
    for _ in range(directions):
        noise = filter_noise(weights, generator)
        both = [loss(_moved(weights, noise, sign * radius)) for sign in (1, -1)]
        rises.append(sum(both) / 2 - own)
    return torch.tensor(rises, dtype=torch.float64)


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
