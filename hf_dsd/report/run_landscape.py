"""The loss landscape of a run's phases, measured by its own trainer: `landscape.json` in the run's folder.

Layer: the trainer and the landscape next door.

Batch norm is a trap here: the running statistics of two models, interpolated, fit none of the models between them. So
wherever a model has such statistics they are computed anew before every evaluation, at the ends of the lines too,
from training batches in training mode, which is how training made them.
"""

import logging
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from hf_dsd.runs.run import finished_phases
from hf_dsd.runs.weights import read_weights
from hf_dsd.trainer.trainer import DSDMixin

from .landscape import (
    LANDSCAPE_FILE_NAME,
    N_DIRECTIONS,
    N_POINTS,
    RADII,
    EvaluateLoss,
    Landscape,
    Weights,
    loss_landscape,
)

logger = logging.getLogger(__name__)

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

    Call it after training, with validation data: it chooses nothing, but a test split is to be read once. The trainer's
    model and torch's random states are as before afterwards.

    Args:
        trainer: Of the run.
        dataset: Evaluation rows, whose mean loss is measured.
        split: What they are called.
        points: As at `loss_landscape`, like the next three.
        radii: Of the perturbations.
        directions: Random directions per model.
        seed: Of the directions and of dropout while batch norm's statistics are computed.
        statistics_batches: Training batches for these statistics, > 0.

    Raises:
        FileNotFoundError: If the run has finished no phase.
        ValueError: If the trainer's parameters are sharded over processes.
    """
    folder = trainer.run_folder
    phases = finished_phases(folder)
    if not phases:
        raise FileNotFoundError(f"{folder} holds no finished phase: train before you measure the landscape")
    model = trainer.accelerator.unwrap_model(trainer.model, keep_torch_compile=False)
    own = {name: tensor.detach().clone() for name, tensor in _tensors(model).items()}
    _refuse_sharded(own)
    try:
        with torch.random.fork_rng():  # a loader draws a seed where its order is random
            batches = list(islice(trainer.get_train_dataloader(), statistics_batches)) if batch_norms(model) else []
            landscape = loss_landscape(
                {phase: read_weights(folder / phase) for phase in phases},
                _loss_of_weights(trainer, model, dataset, batches, seed),
                points=points,
                radii=radii,
                directions=directions,
                seed=seed,
                data=f"mean loss on the {split} split",
                batch_norm=f"statistics computed anew from {len(batches)} training batches for every loss"
                if batches
                else "",
            )
    finally:
        copy_weights_(model, own)
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
    """Sets running statistics to their plain means over batches, as training in training mode would see them.

    Args:
        trainer: Puts the batches where the model is.
        model: Put into training mode meanwhile, dropout included; `seed` makes that repeatable.
        norms: Its modules with statistics.
        batches: Of training inputs.
        seed: Of dropout; the caller's random state stays as it is.
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


def copy_weights_(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Copies tensors into parameters and buffers of the same names, in place."""
    tensors = _tensors(model)
    with torch.no_grad():
        for name, tensor in weights.items():
            if name in tensors:
                tensors[name].copy_(tensor)


def _tensors(model: nn.Module) -> dict[str, Tensor]:
    return dict(model.named_parameters(remove_duplicate=False)) | dict(model.named_buffers(remove_duplicate=False))


def _refuse_sharded(tensors: Mapping[str, Tensor]) -> None:
    sharded = [name for name, tensor in tensors.items() if hasattr(tensor, "device_mesh") or tensor.numel() == 0]
    if sharded:
        raise ValueError(
            f"the landscape needs whole parameters, but {sharded[0]} is sharded over processes: measure it in a run of "
            "one process, with do_train false and the same output_dir"
        )
