"""What a sparse phase would prune of a model and which rule keeps the rest dense: known without training or weights."""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import torch
import transformers
from accelerate import init_empty_weights
from rich.console import Console
from torch import nn
from transformers import AutoModel, PreTrainedConfig, PreTrainedModel
from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.utils import CONFIG_NAME

from . import models
from .engine.schedule import check_sparsity
from .engine.targets import Target, plan_targets
from .models.read_config import UNUSABLE, read_config
from .models.remote_code import MODELS
from .runs.weights import stored_shapes

_SUMMED = (
    "bias or vector",
    "norm",
    "embedding",
    "embedding tied to a head",
)  # what is dense in every model takes a line each


@dataclass(frozen=True)
class Inspection:
    """A model before a sparse phase.

    Attributes:
        model: Name of the model's class.
        sparsity: The phase's sparsity, in [0, 1).
        targets: Every parameter, tied ones once, in the model's order.
    """

    model: str
    sparsity: float
    targets: Sequence[Target]

    @property
    def weights(self) -> int:
        """Number of weights of the whole model, biases and norms included."""
        return sum(target.numel for target in self.targets)

    @property
    def target_weights(self) -> int:
        """Number of weights in the parameters that are pruned."""
        return sum(target.numel for target in self.targets if target.is_pruned)

    @property
    def pruned(self) -> int:
        """Number of weights that a sparse phase sets to zero."""
        return sum(target.pruned_count(self.sparsity) for target in self.targets)

    def __repr__(self) -> str:
        """The table, as `hf-dsd inspect` prints it: what an interpreter or a notebook shows."""
        console = Console(file=StringIO(), width=100)
        with console.capture() as capture:
            print_inspection(self, console)
        return capture.get().rstrip()

    def to_json(self) -> str:
        """Everything as JSON: the totals, and `parameters` in the model's order."""
        parameters = [
            {
                "name": target.name,
                "shape": target.shape,
                "matrices": target.matrices,
                "weights": target.numel,
                "sparsity": target.sparsity(self.sparsity) if target.is_pruned else 0.0,
                "pruned": target.pruned_count(self.sparsity),
                "dense_reason": target.dense_reason,
            }
            for target in self.targets
        ]
        totals = {"weights": self.weights, "target_weights": self.target_weights, "pruned": self.pruned}
        return json.dumps(
            {"model": self.model, "sparsity": self.sparsity, **totals, "parameters": parameters}, indent=2
        )


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
    return Inspection(type(model).__name__, fraction, plan)


def print_inspection(inspection: Inspection, console: Console, *, every: bool = False) -> None:
    """Prints a row for parameters that differ in a layer's number alone, and the totals.

    No line is broken: where a name and its numbers are wider than the console, the numbers stand below the name.

    Args:
        inspection: What to print.
        console: Where to.
        every: A row for every parameter, biases, norms and embeddings included.
    """

    def say(text: str) -> None:
        console.print(text, soft_wrap=True, highlight=False, markup=False)

    listed = [target for target in inspection.targets if every or target.dense_reason not in _SUMMED]
    groups = [(target.name, [target]) for target in listed] if every else list(_repeated(listed))
    rows = [(name, _size(targets), _fate(targets, inspection.sparsity)) for name, targets in groups]
    for reason in () if every else _SUMMED:
        summed = [target for target in inspection.targets if target.dense_reason == reason]
        if summed:
            weights = sum(target.numel for target in summed)
            rows.append((f"{len(summed)} parameter(s)", f"{weights:,} weights", f"dense: {reason}"))
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(3)]
    say(inspection.model)
    for name, size, fate in rows:
        if sum(widths) + 4 <= console.width:
            say(f"{name:{widths[0]}}  {size:>{widths[1]}}  {fate}")
        else:
            say(f"{name}\n    {size}  {fate}")
    for weights, what in (
        (inspection.target_weights, "of the parameters that are pruned"),
        (inspection.weights, "of the model"),
    ):
        say(f"{inspection.pruned:,} of {weights:,} weights {what}: {inspection.pruned / weights:.1%}")


def _size(targets: Sequence[Target]) -> str:
    """The shape of one parameter, and how many there are of it: 6 x 384 x 384."""
    repeated = [str(len(targets))] if len(targets) > 1 else []
    return " x ".join([*repeated, *map(str, targets[0].shape)]) or "-"


def _fate(targets: Sequence[Target], sparsity: float) -> str:
    if not targets[0].is_pruned:
        return f"dense: {targets[0].dense_reason}"
    pruned = sum(target.pruned_count(sparsity) for target in targets)
    each = f" in each of {targets[0].matrices} matrices" if targets[0].matrices > 1 else ""
    return f"{100 * targets[0].sparsity(sparsity):g} % = {pruned:,} pruned{each}"


def _repeated(targets: Iterable[Target]) -> Iterator[tuple[str, list[Target]]]:
    """Gathers parameters whose names differ in numbers and that are alike in the rest: `layer.{0-5}.weight`."""
    groups: dict[object, list[Target]] = defaultdict(list)
    for target in targets:
        numberless = re.sub(r"(?<=\.)\d+(?=\.)|^\d+(?=\.)", "N", target.name)
        groups[numberless, target.shape, target.override, target.dense_reason, target.matrices].append(target)
    for group in groups.values():
        yield from _boxes(group)


def _boxes(targets: Sequence[Target]) -> Iterator[tuple[str, list[Target]]]:
    """Cuts a group into parts whose numbers are all the combinations of one set for each place."""
    numbers = [[int(part) for part in target.name.split(".") if part.isdecimal()] for target in targets]
    places = [sorted(set(place)) for place in zip(*numbers, strict=True)]
    combinations = torch.Size(map(len, places)).numel()
    if combinations == len(targets):
        ranges = iter(_range(place) for place in places)
        parts = targets[0].name.split(".")
        yield ".".join(next(ranges) if part.isdecimal() else part for part in parts), list(targets)
        return
    # The place of fewest numbers is the likeliest to tell kinds of layers apart.
    place = min((i for i, found in enumerate(places) if len(found) > 1), key=lambda i: len(places[i]))
    for number in places[place]:
        yield from _boxes([target for target, own in zip(targets, numbers, strict=True) if own[place] == number])


def _range(numbers: Sequence[int]) -> str:
    """Increasing numbers as `7`, `{0-5}` or `{0,2,4}`."""
    if len(numbers) == 1:
        return str(numbers[0])
    if numbers[-1] - numbers[0] == len(numbers) - 1:
        return f"{{{numbers[0]}-{numbers[-1]}}}"
    return f"{{{','.join(map(str, numbers))}}}"


def build_without_weights(name_or_path: str) -> PreTrainedModel:
    """The model of a configuration, with every parameter's shape and none of its memory.

    Args:
        name_or_path: A folder with a `config.json`, or a name on the Hub; only the configuration is read, and the
            names and shapes of weights that lie beside it, which must be the configuration's.

    Raises:
        OSError: If there is no configuration.
        ValueError: If the configuration's model type is unknown, or it is damaged or another model's.
    """
    try:
        model = _build(read_config(name_or_path))
    except UNUSABLE as error:
        path = Path(name_or_path)
        if isinstance(error, FileNotFoundError) or not path.is_dir():  # these say it by themselves
            raise
        first = str(error).partition("\n")[0]
        raise ValueError(
            f"{path / CONFIG_NAME} makes no model ({type(error).__name__}: {first}): restore it, or give another folder"
        ) from error
    _check_weights_beside(Path(name_or_path), model)
    # A rule may ask for a dtype, never for a value: one zero, repeated by strides of 0, stands for every weight.
    stand_ins: dict[int, nn.Parameter] = {}
    for module in model.modules():
        for name, parameter in list(module.named_parameters(recurse=False, remove_duplicate=False)):
            zero = torch.zeros((), dtype=parameter.dtype).expand(parameter.shape)
            stand_in = stand_ins.setdefault(id(parameter), nn.Parameter(zero, parameter.requires_grad))
            module.register_parameter(name, stand_in)
    return model


def _check_weights_beside(folder: Path, model: PreTrainedModel) -> None:
    """Refuses a configuration beside weights of another width or depth.

    What is called the same must have the same shape, and as many layers must have it. A name alone proves nothing: many
    a file has names of a former release, a head more or a head less. An architecture whose names or layouts
    transformers converts is not judged.
    """
    shapes = {} if get_model_conversion_mapping(model, add_legacy=False) else stored_shapes(folder)
    own = {name: tuple(held.shape) for name, held in model.state_dict().items() if isinstance(held, torch.Tensor)}
    wrong = [f"{name} is {shape}, {own[name]} by it" for name, shape in shapes.items() if own.get(name, shape) != shape]
    tied = {_layer(name) for name in own.keys() - dict(model.named_parameters()).keys()}
    depths = Counter(map(_layer, shapes)), Counter(map(_layer, own))
    wrong += [
        f"{name} is there {depths[0][name]} times, {depths[1][name]} by it"
        for name in sorted(depths[0].keys() & depths[1].keys() - tied)
        if "*" in name and depths[0][name] != depths[1][name]
    ]
    if wrong:
        raise ValueError(
            f"{folder / CONFIG_NAME} is not the one of the weights beside it ({wrong[0]}): restore it, or give another "
            "folder"
        )


def _layer(name: str) -> str:
    """A parameter's name without its layer's number."""
    return re.sub(r"\.\d+\.", ".*.", name)


def _build(config: PreTrainedConfig) -> PreTrainedModel:
    model_class = _model_class(config)
    with init_empty_weights():
        model: PreTrainedModel = AutoModel.from_config(config) if model_class is None else model_class(config)
    model.tie_weights()
    return model


def _model_class(config: PreTrainedConfig) -> type[PreTrainedModel] | None:
    """The class that the configuration names, of ours or of transformers, or whose configuration it is."""
    name = next(iter(getattr(config, "architectures", None) or []), "")
    named: type[PreTrainedModel] | None = getattr(models, name, None) or getattr(transformers, name, None)
    return named or next((ours for ours in MODELS if ours.config_class is type(config)), None)
