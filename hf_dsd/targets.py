"""WHICH: the parameters that a sparse phase prunes, how much of each, and why the others stay dense.

Selection is by what a parameter is, not by the architecture's name: every floating weight matrix or filter is a target,
whatever module holds it (Linear, Conv, GPT-2's Conv1D, an LSTM's `weight_ih_l0`, a bare `nn.Parameter`), except what a
rule below keeps dense. Biases and norms are never pruned (paper, section 3).
"""

import difflib
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.utils.parametrize
from torch import nn

logger = logging.getLogger(__name__)

# DDP wraps only the root, so a submodule that happens to be called `module` deeper down keeps its name.
_WRAPPER_PREFIX = re.compile(
    r"^module\.|(?:(?<=^)|(?<=\.))(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\."
)
_QUANTIZED_CLASSES = {"Int8Params", "Params4bit", "Params8bit"}


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

    The first rule that speaks decides: `sparsity_overrides` (first matching pattern) and `dense_modules`; fewer than
    two dimensions and norm layers; then, where `dense_modules` is None, the model class's own `dsd_dense_modules` or,
    without one, embeddings (tied heads with them), the first convolution and weight-normalised filters; last, frozen
    parameters.

    Args:
        model: Any module; wrappers (DDP, torch.compile) are seen through.
        dense_modules: Regexes searched in parameter names: the complete list of what stays dense. [] prunes all
            matrices.
        sparsity_overrides: Regex -> fraction in [0, 1) for the parameters it matches, 0 to keep them dense.

    Returns:
        One `Target` per parameter, tied ones once, in the model's order.

    Raises:
        ValueError: If a pattern is not a regex, matches nothing, or matches nothing that can be pruned; if one
            parameter is both overridden and listed dense; if a target is quantized or not materialised; if nothing is
            left to prune.
    """
    owned = _owned_parameters(model)
    overrides = dict(sparsity_overrides or {})
    _check_overrides(overrides)
    listed, listed_by = _dense_patterns(model, dense_modules)
    _check_patterns("sparsity_overrides", list(overrides), owned)
    if dense_modules is not None:  # a class's own list may name parts that this configuration lacks
        _check_patterns(listed_by, listed, owned)
    first_convolution = _first_convolution(model)
    plan = []
    for item in owned:
        override = next((v for pattern, v in overrides.items() if _matches(pattern, item)), None)
        dense_pattern = next((pattern for pattern in listed if _matches(pattern, item)), None)
        if override is not None and dense_pattern is not None and dense_modules is not None:
            raise ValueError(
                f"sparsity_overrides and dense_modules both match {item.names[0]}: drop one of them "
                f"(dense_modules pattern {dense_pattern!r})"
            )
        reason = _shape_reason(item)
        if override is None and not reason:
            if dense_pattern is not None:
                reason = f"{listed_by} pattern {dense_pattern!r}"
            elif dense_modules is None and not listed:
                reason = _default_reason(item, first_convolution)
        elif override == 0.0:
            reason = reason or "sparsity_overrides sets 0"
        plan.append(_target(item, override, reason))
    _check_plan(plan, overrides)
    return plan


def _owned_parameters(model: nn.Module) -> list[_Owned]:
    owners: dict[int, tuple[nn.Parameter, list[str], list[nn.Module]]] = {}
    for prefix, module in model.named_modules(remove_duplicate=False):
        for name, parameter in module.named_parameters(prefix, recurse=False):
            _, names, modules = owners.setdefault(id(parameter), (parameter, [], []))
            names.append(canonical_name(name))
            modules.append(module)
    return [_Owned(parameter, tuple(names), tuple(modules)) for parameter, names, modules in owners.values()]


def _dense_patterns(model: nn.Module, dense_modules: Sequence[str] | None) -> tuple[list[str], str]:
    if dense_modules is not None:
        return list(dense_modules), "dense_modules"
    inner = model
    while (wrapped := getattr(inner, "_orig_mod", None) or getattr(inner, "module", None)) is not None:
        if not isinstance(wrapped, nn.Module):
            break
        inner = wrapped
    return list(getattr(type(inner), "dsd_dense_modules", ())), f"{type(inner).__name__}.dsd_dense_modules"


def _matches(pattern: str, item: _Owned) -> bool:
    return any(re.search(pattern, name) for name in item.names)


def _check_overrides(overrides: Mapping[str, float]) -> None:
    for pattern, value in overrides.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
            raise ValueError(f"sparsity_overrides[{pattern!r}] must be a fraction in [0, 1), got {value!r}")


def _check_patterns(field: str, patterns: Sequence[str], owned: Sequence[_Owned]) -> None:
    names = [name for item in owned for name in item.names]
    for pattern in patterns:
        try:
            compiled = re.compile(pattern)
        except re.error as error:
            raise ValueError(f"{field} must hold regular expressions, got {pattern!r}: {error}") from error
        if not any(compiled.search(name) for name in names):
            near = difflib.get_close_matches(pattern.strip("^$").replace("\\", ""), names, n=5, cutoff=0.2)
            raise ValueError(
                f"{field} pattern {pattern!r} matches no parameter; the nearest names are "
                f"{near or names[:5]}; patterns are searched in parameter names"
            )


def _first_convolution(model: nn.Module) -> nn.Module | None:
    convolutions = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
    return next((module for module in model.modules() if isinstance(module, convolutions)), None)


def _shape_reason(item: _Owned) -> str:
    """Why a parameter can never be pruned: it is no matrix, or it belongs to a norm."""
    if item.parameter.dim() < 2:
        return "bias or vector"
    if any("norm" in type(module).__name__.lower() for module in item.modules):
        return "norm"
    return ""


def _default_reason(item: _Owned, first_convolution: nn.Module | None) -> str:
    """The paper's defaults: embeddings and the first convolution stay dense."""
    for module in item.modules:
        if isinstance(module, nn.Embedding | nn.EmbeddingBag) or "embedding" in type(module).__name__.lower():
            return "embedding" if len(item.modules) == 1 else "embedding tied to a head"
        if module is first_convolution:
            return "first convolution"
        if isinstance(module, nn.utils.parametrize.ParametrizationList):
            return "weight-normalised: its magnitude is not the weight's"
    if sum(size > 1 for size in item.parameter.shape) < 2 and not isinstance(item.modules[0], nn.Linear):
        return "bias or vector"  # a (1, 1, d) token
    return ""


def _target(item: _Owned, override: float | None, reason: str) -> Target:
    name, parameter = item.names[0], item.parameter
    if not reason:
        if isinstance(parameter, nn.parameter.UninitializedParameter) or parameter.device.type == "meta":
            raise ValueError(f"{name} is not materialised: run one batch or load the weights before DSD starts")
        quantized = not parameter.is_floating_point() or parameter.element_size() < 2
        if quantized or type(parameter).__name__ in _QUANTIZED_CLASSES:
            raise ValueError(
                f"{name} is quantized ({type(parameter).__name__}, {parameter.dtype}); DSD prunes floating-point "
                "weights of 16 bits or more: load the model without quantization, or list it in dense_modules"
            )
        if not parameter.requires_grad:
            reason = "frozen"
    shape = () if isinstance(parameter, nn.parameter.UninitializedParameter) else tuple(parameter.shape)
    return Target(name, shape, override, reason)


def _check_plan(plan: Sequence[Target], overrides: Mapping[str, float]) -> None:
    for pattern, value in overrides.items():
        matched = [target for target in plan if re.search(pattern, target.name)]
        if value > 0 and matched and not any(target.is_pruned for target in matched):
            raise ValueError(
                f"sparsity_overrides pattern {pattern!r} matches only {[t.name for t in matched][:5]}, which cannot be "
                f"pruned ({matched[0].dense_reason})"
            )
    frozen = [target.name for target in plan if target.dense_reason == "frozen"]
    if frozen:
        logger.info("DSD skips %d frozen parameter(s): %s", len(frozen), ", ".join(frozen[:8]))
    if not any(target.is_pruned for target in plan):
        reasons = sorted({target.dense_reason for target in plan})
        raise ValueError(
            f"no parameter is left to prune: all {len(plan)} are dense ({'; '.join(reasons) or 'the model has none'}); "
            "loosen dense_modules or unfreeze layers"
        )
