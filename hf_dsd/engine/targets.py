"""WHICH: the parameters that a sparse phase prunes, how much of each, and why the others stay dense.

Selection is by what a parameter is, not by the architecture's name: every floating weight matrix or filter is a target,
whatever module holds it (Linear, Conv, GPT-2's Conv1D, an LSTM's `weight_ih_l0`, a bare `nn.Parameter`), except what a
rule below keeps dense. Biases and norms are never pruned (paper, section 3).
"""

import difflib
import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.utils.parametrize
from torch import nn
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

from .numbers import as_number
from .sharding import is_flattened, layout_of, local_part

logger = logging.getLogger(__name__)

# DDP wraps only the root, so a submodule that happens to be called `module` deeper down keeps its name.
_WRAPPED = ("module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
_WRAPPER_PREFIX = re.compile(rf"^{_WRAPPED[0]}\.|(?:(?<=^)|(?<=\.))(?:{'|'.join(_WRAPPED[1:])})\.")
_QUANTIZED_CLASSES = {"Int8Params", "Params4bit", "Params8bit"}
_BIAS_NAME = re.compile(r"(?:^|_)bias(?:_|$)")
_WEIGHT_LAYERS = (
    nn.Linear,
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
    nn.RNNBase,
    nn.RNNCellBase,
)


@dataclass(frozen=True)
class Target:
    """One parameter of a model under DSD.

    Attributes:
        name: Its name in the plain model, without the prefixes of DDP, FSDP or torch.compile.
        shape: Its shape.
        override: The fraction that `sparsity_overrides` sets, in [0, 1), or None for the phase's own sparsity.
        dense_reason: The rule that leaves it dense, or "" if it is pruned.
    """

    name: str
    shape: tuple[int, ...]
    override: float | None = None
    dense_reason: str = ""

    @property
    def is_pruned(self) -> bool:
        """True if a sparse phase prunes this parameter."""
        return not self.dense_reason

    @property
    def numel(self) -> int:
        """Number of weights."""
        return torch.Size(self.shape).numel()

    def sparsity(self, phase_sparsity: float) -> float:
        """The fraction pruned in a phase whose sparsity is `phase_sparsity`."""
        return phase_sparsity if self.override is None else self.override


@dataclass(frozen=True)
class _Owned:
    """A parameter with every place it sits in: tied weights have several (module, name) owners."""

    parameter: nn.Parameter
    names: tuple[str, ...]
    modules: tuple[nn.Module, ...]


class _Rules(NamedTuple):
    """What decides about a parameter: the options in force, the model's first convolution and its adapters' weights."""

    overrides: Mapping[str, float]
    listed: Sequence[str]
    listed_by: str
    listed_by_caller: bool
    first_convolution: nn.Module | None
    adapters: frozenset[int]

    def dense_reason(self, item: _Owned) -> str:
        """Why a parameter stays dense, "" if it is to be pruned."""
        override, listing = _first_match(self.overrides, item), _first_match(self.listed, item)
        reason = _shape_reason(item)
        if reason:
            return reason
        if override is not None and listing is not None and self.listed_by_caller:
            raise ValueError(
                f"sparsity_overrides pattern {override!r} and dense_modules pattern {listing!r} both match "
                f"{item.names[0]}: drop one of them"
            )
        if override is not None:
            return "" if self.overrides[override] else "sparsity_overrides sets 0"
        if listing is not None:
            return f"{self.listed_by} pattern {listing!r}"
        if id(item.parameter) in self.adapters and not self.listed_by_caller:
            return "adapter"
        return "" if self.listed_by else _default_reason(item, self.first_convolution)


def canonical_name(name: str) -> str:
    """A parameter's name without the prefixes that DDP, FSDP, torch.compile or checkpoint wrappers add."""
    while (shorter := _WRAPPER_PREFIX.sub("", name)) != name:
        name = shorter
    return name


def plan_targets(
    model: nn.Module,
    *,
    dense_modules: Sequence[str] | None = None,
    sparsity_overrides: Mapping[str, float] | None = None,
) -> list[Target]:
    """Decides for every parameter of `model` whether sparse phases prune it.

    Biases, vectors and norms stay dense whatever the options say. Of the rest `sparsity_overrides` decides (the first
    pattern that matches), then `dense_modules`; where that is None, the model class's own `dsd_dense_modules` or,
    without one, these stay dense: embeddings (tied heads with them), the first convolution, and parametrised weights
    such as weight-normalised filters. Adapters such as LoRA's are pruned only where one of the two options asks for it.
    Last, frozen parameters are left out.

    Args:
        model: Any module; wrappers (DDP, torch.compile) are seen through.
        dense_modules: Regexes searched in parameter names: the complete list of what stays dense. [] prunes all
            matrices.
        sparsity_overrides: Regex -> fraction in [0, 1) for the parameters it matches, 0 to keep them dense. Order
            counts: narrow patterns first.

    Returns:
        One `Target` per parameter, tied ones once, in the model's order.

    Raises:
        ValueError: If a pattern is not a regex or matches nothing; if an override decides nothing that can be pruned;
            if one parameter is both overridden and listed dense; if two parameters have one name without wrappers'
            prefixes; if a target is quantized, not materialised, or sharded in a way that DSD does not know; if nothing
            is left to prune.
    """
    if is_flattened(model):
        raise ValueError(
            "FSDP1 (FullyShardedDataParallel) flattens weights into vectors, which layerwise masks do not fit: use "
            "FSDP2 (fully_shard, or fsdp_version 2 in Accelerate)"
        )
    owned = _owned_parameters(model)
    overrides = check_overrides(sparsity_overrides or {})
    listed, listed_by = _dense_patterns(model, dense_modules)
    _check_patterns("sparsity_overrides", list(overrides), owned)
    if dense_modules is not None:  # a class's own list may name parts that this configuration lacks
        _check_patterns(listed_by, listed, owned)
    rules = _Rules(
        overrides, listed, listed_by, dense_modules is not None, _first_convolution(model), _adapter_weights(model)
    )
    plan = [_target(item, rules) for item in owned]
    _check_overrides_count(overrides, owned, plan)
    _check_plan(plan)
    return plan


def log_frozen(plan: Sequence[Target]) -> None:
    """Says in one line which parameters of a plan are left out because they are frozen."""
    frozen = [target.name for target in plan if target.dense_reason == "frozen"]
    if frozen:
        logger.info("DSD skips %d frozen parameter(s): %s", len(frozen), ", ".join(frozen[:8]))


def _owned_parameters(model: nn.Module) -> list[_Owned]:
    owners: dict[int, tuple[nn.Parameter, list[str], list[nn.Module]]] = {}
    by_name: dict[str, nn.Parameter] = {}
    for prefix, module in model.named_modules(remove_duplicate=False):
        for full_name, parameter in module.named_parameters(prefix, recurse=False, remove_duplicate=False):
            name = canonical_name(full_name)
            if by_name.setdefault(name, parameter) is not parameter:
                raise ValueError(
                    f"two parameters are called {name} once the prefixes of DDP and the like are gone, one of them "
                    f"{full_name}: rename the submodule that is called like a wrapper's"
                )
            _, names, modules = owners.setdefault(id(parameter), (parameter, [], []))
            names.append(name)
            modules.append(module)
    return [_Owned(parameter, tuple(names), tuple(modules)) for parameter, names, modules in owners.values()]


def _dense_patterns(model: nn.Module, dense_modules: Sequence[str] | None) -> tuple[list[str], str]:
    """The list in force and whose it is: the caller's, or that of the outermost class in the wrappers that has one."""
    if dense_modules is not None:
        return _listed(dense_modules), "dense_modules"
    inner: Any = model
    while inner is not None and not hasattr(type(inner), "dsd_dense_modules"):
        inner = next((child for name, child in inner.named_children() if name in _WRAPPED), None)
    if inner is None:
        return [], ""
    return _listed(type(inner).dsd_dense_modules), f"{type(inner).__name__}.dsd_dense_modules"


def _listed(patterns: Sequence[str]) -> list[str]:
    return [patterns] if isinstance(patterns, str) else list(patterns)


def _first_match(patterns: Iterable[str], item: _Owned) -> str | None:
    return next((pattern for pattern in patterns if any(re.search(pattern, name) for name in item.names)), None)


def check_overrides(overrides: Mapping[str, float]) -> dict[str, float]:
    """Returns `sparsity_overrides` with plain numbers.

    Raises:
        ValueError: If a value is no fraction in [0, 1).
    """
    for pattern, value in overrides.items():
        number = as_number(value)
        if number is None or not 0 <= number < 1:
            raise ValueError(f"sparsity_overrides[{pattern!r}] must be a fraction in [0, 1), got {value!r}")
    return {pattern: float(value) for pattern, value in overrides.items()}


def _check_patterns(field: str, patterns: Sequence[str], owned: Sequence[_Owned]) -> None:
    names = [name for item in owned for name in item.names]
    for pattern in patterns:
        try:
            compiled = re.compile(pattern)
        except re.error as error:
            raise ValueError(f"{field} must hold regular expressions, got {pattern!r}: {error}") from error
        if not any(compiled.search(name) for name in names):
            raise ValueError(
                f"{field} pattern {pattern!r} matches no parameter; the nearest names are "
                f"{_nearest(pattern, names)}; patterns are searched in parameter names"
            )


def _nearest(pattern: str, names: Sequence[str]) -> list[str]:
    """Up to five of `names` that have a part like `pattern`, or else just the first five."""
    parts = {part: None for name in names for part in (name, *name.split("."))}
    close = difflib.get_close_matches(pattern.strip("^$").replace("\\", ""), parts, n=5)
    near = {name: None for part in close for name in names if part == name or part in name.split(".")}
    return list(near or names)[:5]


def _first_convolution(model: nn.Module) -> nn.Module | None:
    convolutions = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
    return next((module for module in model.modules() if isinstance(module, convolutions)), None)


def _adapter_weights(model: nn.Module) -> frozenset[int]:
    """Ids of the parameters of LoRA and the like; peft's layers name these parts in `adapter_layer_names`."""
    return frozenset(
        id(parameter)
        for module in model.modules()
        for part in getattr(module, "adapter_layer_names", ())
        if part != "modules_to_save"  # whole layers that peft trains beside the adapters
        for name, parameter in module.named_parameters()
        if name.startswith(f"{part}.")
    )


def _shape_reason(item: _Owned) -> str:
    """Why a parameter can never be pruned: it is no matrix, a bias, or it belongs to a norm."""
    parameter, name = item.parameter, item.names[0].rpartition(".")[2]
    if _BIAS_NAME.search(name):  # gpt-oss keeps one per expert, as a matrix
        return "bias or vector"
    if isinstance(parameter, nn.parameter.UninitializedParameter):
        return ""
    shape = _whole_shape(parameter)
    if len(shape) < 2:
        return "bias or vector"
    is_layer = isinstance(item.modules[0], _WEIGHT_LAYERS)
    if sum(size > 1 for size in shape) < 2 and not (is_layer and name != "weight_g"):
        return "bias or vector"  # a (1, 1, d) token, a weight norm's (n, 1) gains; but Linear(n, 1) is a matrix
    if not is_layer and any("norm" in type(module).__name__.lower() for module in item.modules):
        return "norm"
    return ""


def _whole_shape(parameter: nn.Parameter) -> tuple[int, ...]:
    """A parameter's shape; DeepSpeed ZeRO 3 leaves an empty tensor and the shape beside it."""
    return tuple(getattr(parameter, "ds_shape", parameter.shape))


def _default_reason(item: _Owned, first_convolution: nn.Module | None) -> str:
    """The paper's defaults, embeddings and the first convolution stay dense; and what no magnitude rule can judge."""
    embeddings = [_is_embedding(module) for module in item.modules]
    if any(embeddings):
        return "embedding" if all(embeddings) else "embedding tied to a head"
    name = item.names[0].rpartition(".")[2]
    if "embed" in name or name.endswith(("token", "tokens")):  # a bare parameter, such as `pos_embed`
        return "embedding"
    if any(module is first_convolution for module in item.modules):
        return "first convolution"
    parametrised = isinstance(item.modules[0], nn.utils.parametrize.ParametrizationList)
    if parametrised or name == "weight_v" or name.endswith("_log"):  # Mamba reads exp(A_log)
        return "parametrised: its magnitude is not the weight's"
    return ""


def _is_embedding(module: nn.Module) -> bool:
    return isinstance(module, nn.Embedding | nn.EmbeddingBag) or "embedding" in type(module).__name__.lower()


def _target(item: _Owned, rules: _Rules) -> Target:
    name, parameter, reason = item.names[0], item.parameter, rules.dense_reason(item)
    if not reason:
        if isinstance(parameter, nn.parameter.UninitializedParameter) or parameter.device.type == "meta":
            raise ValueError(f"{name} is not materialised: run one batch or load the weights before DSD starts")
        _check_layout(name, parameter)
        if _is_quantized(parameter):
            raise ValueError(
                f"{name} is quantized ({type(parameter).__name__}, {parameter.dtype}); DSD prunes real floating-point "
                "weights of 16 bits or more: load the model without quantization, or list it in dense_modules"
            )
        if not parameter.requires_grad:
            reason = "frozen"
    shape = () if isinstance(parameter, nn.parameter.UninitializedParameter) else _whole_shape(parameter)
    override = _first_match(rules.overrides, item)
    return Target(name, shape, None if override is None else rules.overrides[override], reason)


def _check_layout(name: str, parameter: nn.Parameter) -> None:
    try:
        layout_of(parameter)
    except ValueError as error:
        raise ValueError(f"{name} cannot be pruned: {error}") from error


def _is_quantized(parameter: nn.Parameter) -> bool:
    """True for integers, 8-bit floats, bitsandbytes' classes, and torchao's or quanto's tensors inside a tensor."""
    if not parameter.is_floating_point() or parameter.element_size() < 2:
        return True
    return is_traceable_wrapper_subclass(local_part(parameter)) or type(parameter).__name__ in _QUANTIZED_CLASSES


def _check_overrides_count(overrides: Mapping[str, float], owned: Sequence[_Owned], plan: Sequence[Target]) -> None:
    """Refuses overrides that change nothing."""
    deciding = [_first_match(overrides, item) for item in owned]
    for pattern, value in overrides.items():
        targets = [target for target, decided_by in zip(plan, deciding, strict=True) if decided_by == pattern]
        if not targets:
            raise ValueError(
                f"sparsity_overrides pattern {pattern!r} has no effect, because patterns before it match the same "
                "parameters: put the narrower pattern first"
            )
        if value > 0 and not any(target.is_pruned for target in targets):
            raise ValueError(
                f"sparsity_overrides pattern {pattern!r} decides only {[t.name for t in targets][:5]}, which cannot be "
                f"pruned ({targets[0].dense_reason})"
            )


def _check_plan(plan: Sequence[Target]) -> None:
    if not any(target.is_pruned for target in plan):
        reasons = sorted({target.dense_reason for target in plan})
        raise ValueError(
            f"no parameter is left to prune: all {len(plan)} are dense ({'; '.join(reasons) or 'the model has none'}); "
            + (
                "to prune adapters, name them: sparsity_overrides={'lora_': 0.3}"
                if "adapter" in reasons
                else "loosen dense_modules or unfreeze layers"
            )
        )
