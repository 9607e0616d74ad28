"""What a sparse phase would prune of a model and which rule keeps the rest dense: known without training or weights."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import transformers
from accelerate import init_empty_weights
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from torch import nn
from transformers import AutoModel, PreTrainedConfig, PreTrainedModel

from . import models
from .engine.schedule import check_sparsity
from .engine.selection import prune_count
from .engine.targets import plan_targets
from .models.read_config import read_config
from .models.remote_code import MODELS


@dataclass(frozen=True)
class InspectedParameter:
    """One parameter of a model.

    Attributes:
        name: Its name in the model.
        shape: Its shape.
        weights: Number of weights.
        target: Fraction asked for, in [0, 1): by an override, else the sparsity of all; 0 if it stays dense.
        pruned: How many of them a sparse phase sets to zero.
        dense_reason: The rule that leaves it dense, or "" if it is pruned.
    """

    name: str
    shape: tuple[int, ...]
    weights: int
    target: float
    pruned: int
    dense_reason: str


@dataclass(frozen=True)
class Inspection:
    """A model before a sparse phase.

    Attributes:
        model: Name of the model's class.
        parameters: Every parameter, tied ones once, in the model's order.
    """

    model: str
    parameters: Sequence[InspectedParameter]

    @property
    def weights(self) -> int:
        """Number of weights of the whole model, biases and norms included."""
        return sum(parameter.weights for parameter in self.parameters)

    @property
    def target_weights(self) -> int:
        """Number of weights in the parameters that are pruned."""
        return sum(parameter.weights for parameter in self.parameters if not parameter.dense_reason)

    @property
    def pruned(self) -> int:
        """Number of weights that a sparse phase sets to zero."""
        return sum(parameter.pruned for parameter in self.parameters)


def inspect_model(
    model: nn.Module,
    sparsity: float = 0.3,
    *,
    dense_modules: Sequence[str] | None = None,
    sparsity_overrides: Mapping[str, float] | None = None,
) -> Inspection:
    """Says parameter by parameter what a sparse phase would prune.

    Args:
        model: Any module that `plan_targets` takes; weights are not read.
        sparsity: Fraction pruned per layer, in [0, 1).
        dense_modules: See `plan_targets`.
        sparsity_overrides: See `plan_targets`.

    Raises:
        ValueError: If `sparsity` is out of range, or as `plan_targets`.
    """
    (fraction,) = check_sparsity(sparsity)
    plan = plan_targets(model, dense_modules=dense_modules, sparsity_overrides=sparsity_overrides)
    parameters = [
        InspectedParameter(
            target.name,
            target.shape,
            target.numel,
            target.sparsity(fraction) if target.is_pruned else 0.0,
            prune_count(target.sparsity(fraction), target.numel) if target.is_pruned else 0,
            target.dense_reason,
        )
        for target in plan
    ]
    return Inspection(type(model).__name__, parameters)


def print_inspection(inspection: Inspection, console: Console) -> None:
    """Prints one line per parameter, and the totals over the pruned parameters and over the whole model."""
    table = Table(title=inspection.model)
    table.add_column("parameter", overflow="fold")
    for heading in ("shape", "weights", "target", "pruned"):
        table.add_column(heading, justify="right", overflow="fold")
    table.add_column("dense because", overflow="fold")
    for parameter in inspection.parameters:
        shape = " x ".join(map(str, parameter.shape)) or "-"
        counts = ("", "") if parameter.dense_reason else (f"{100 * parameter.target:g} %", f"{parameter.pruned:,}")
        table.add_row(parameter.name, shape, f"{parameter.weights:,}", *counts, escape(parameter.dense_reason))
    console.print(table)
    for weights, what in (
        (inspection.target_weights, "of the parameters that are pruned"),
        (inspection.weights, "of the model"),
    ):
        console.print(f"{inspection.pruned:,} of {weights:,} weights {what}: {inspection.pruned / weights:.1%}")


def build_without_weights(name_or_path: str) -> PreTrainedModel:
    """The model of a configuration, with every parameter's shape and none of its memory.

    Args:
        name_or_path: A folder with a `config.json`, or a name on the Hub; only the configuration is read.

    Raises:
        OSError: If there is no configuration.
        ValueError: If the configuration's model type is unknown.
    """
    config = read_config(name_or_path)
    model_class = _model_class(config)
    with init_empty_weights():
        model: PreTrainedModel = AutoModel.from_config(config) if model_class is None else model_class(config)
    model.tie_weights()
    # A rule may ask for a dtype, never for a value: one zero, repeated by strides of 0, stands for every weight.
    stand_ins: dict[int, nn.Parameter] = {}
    for module in model.modules():
        for name, parameter in list(module.named_parameters(recurse=False, remove_duplicate=False)):
            zero = torch.zeros((), dtype=parameter.dtype).expand(parameter.shape)
            stand_in = stand_ins.setdefault(id(parameter), nn.Parameter(zero, parameter.requires_grad))
            module.register_parameter(name, stand_in)
    return model


def _model_class(config: PreTrainedConfig) -> type[PreTrainedModel] | None:
    """The class that the configuration names, of ours or of transformers, or whose configuration it is."""
    name = next(iter(getattr(config, "architectures", None) or []), "")
    named: type[PreTrainedModel] | None = getattr(models, name, None) or getattr(transformers, name, None)
    return named or next((ours for ours in MODELS if ours.config_class is type(config)), None)
