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
from functools import cached_property
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

from .kinds import (
    Owned,
    count_matrices,
    embedding_reason,
    is_parametrised,
    is_router,
    is_undecided,
    use_reason,
    vector_reason,
    viewed_names,
    whole_shape,
)
from .schedule import check_fraction
from .selection import prune_count
from .sharding import is_flattened, layout_of, local_part
from .uses import CONVOLUTIONS, WRAPPED, Uses, reads_ids_alone, uses_of

logger = logging.getLogger(__name__)

_WRAPPER_PREFIX = re.compile(rf"^{WRAPPED[0]}\.|(?:(?<=^)|(?<=\.))(?:{'|'.join(WRAPPED[1:])})\.")
_QUANTIZED_CLASSES = {"Int8Params", "Params4bit", "Params8bit"}


@dataclass(frozen=True)
class Target:
    """One parameter of a model under DSD."""

    name: str  # in the plain model, without the prefixes of DDP, FSDP or torch.compile
    shape: tuple[int, ...]
    override: float | None = None  # what `sparsity_overrides` sets, in [0, 1), or None for the phase's own sparsity
    dense_reason: str = ""  # the rule that leaves it dense, or "" if it is pruned
    matrices: int = (
        1  # equal ones stacked along the first dimension, as a mixture's fused experts; each pruned by itself
    )

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

    def pruned_count(self, phase_sparsity: float) -> int:
        """How many of its weights a phase whose sparsity is `phase_sparsity` sets to zero: as many of every matrix."""
        if not self.is_pruned:
            return 0
        return prune_count(self.sparsity(phase_sparsity), self.numel, self.matrices)


@dataclass(frozen=True)
class _Rules:
    """What decides about a model's parameters: the options in force and what is known of the model."""

    model: nn.Module
    owned: Sequence[Owned]  # all its parameters
    overrides: Mapping[str, float]  # pattern -> sparsity
    listed: Mapping[str, str]  # pattern of what stays dense -> who says so
    by_caller: frozenset[str]  # those of the patterns that are the caller's, not the model class's
    complete_by: str  # whose list is complete, and replaces the defaults: "caller", "class", or "" for nobody's

    def dense_reason(self, item: Owned) -> str:
        """Why a parameter stays dense, "" if it is to be pruned."""
        override, listing = _first_match(self.overrides, item), _first_match(self.listed, item)
        if id(item.parameter) in self.views:
            return f"view of {self.views[id(item.parameter)]}"
        reason = vector_reason(item)
        if reason:
            return reason
        if override is not None and listing in self.by_caller:
            raise ValueError(
                f"sparsity_overrides pattern {override!r} and dense_modules pattern {listing!r} both match "
                f"{item.names[0]}: drop one of them"
            )
        if override is not None:
            return "" if self.overrides[override] else "sparsity_overrides sets 0"
        if listing is not None:
            return self.listed[listing]
        if id(item.parameter) in self.adapters and self.complete_by != "caller":
            return "adapter"
        return use_reason(item, self.uses) or ("" if self.complete_by else self._default_reason(item))

    def _default_reason(self, item: Owned) -> str:
        """The paper's defaults, embeddings and first convolutions, and what no magnitude rule can judge."""
        embedding = embedding_reason(item)
        if embedding:
            return embedding
        if is_router(item, self.modules):
            return "router"
        if id(item.parameter) in self.uses.first:
            return "first convolution"
        if is_parametrised(item):
            return "parametrised: its magnitude is not the weight's"
        return "first convolution registered" if id(item.parameter) in self.registered_first else ""

    @cached_property
    def views(self) -> Mapping[int, str]:
        """Parameters that share another one's memory."""
        return viewed_names(self.owned)

    @cached_property
    def adapters(self) -> frozenset[int]:
        """Ids of the parameters of LoRA and the like."""
        return _adapter_weights(self.model)

    @cached_property
    def modules(self) -> Mapping[str, nn.Module]:
        """Modules by their names without wrappers' prefixes; of a wrapper and what it holds, the inner one."""
        return {canonical_name(f"{name}.")[:-1]: module for name, module in self.model.named_modules()}

    @cached_property
    def convolutions(self) -> list[Owned]:
        """The filters of convolutions, in the order of registration."""
        return [item for item in self.owned if isinstance(item.modules[0], CONVOLUTIONS) and not vector_reason(item)]

    @cached_property
    def uses(self) -> Uses:
        """What forwards of the model show; none is made where no rule asks for it."""
        asked = [] if self.complete_by else list(self.convolutions)
        asked += [item for item in self.owned if is_undecided(item) and not vector_reason(item)]
        if not asked:
            return Uses(set(), set(), set())
        shapes = {id(item.parameter): whole_shape(item.parameter) for item in self.owned}
        matrices = {id(item.parameter) for item in self.owned if not vector_reason(item)}
        return uses_of(self.model, shapes, matrices, {id(item.parameter) for item in asked})

    @cached_property
    def registered_first(self) -> frozenset[int]:
        """Where no forward showed a convolution at the input: the first one registered, unless depthwise."""
        unseen = [item for item in self.convolutions if id(item.parameter) not in self.uses.seen]
        if self.uses.first or not unseen or reads_ids_alone(self.model):
            return frozenset()
        first = next((item for item in unseen if getattr(item.modules[0], "groups", 1) == 1), None)
        logger.info(
            "no forward without data came to the convolutions of %s: %s counts as its first, being registered first",
            type(self.model).__name__,
            "none" if first is None else first.names[0],
        )
        return frozenset() if first is None else frozenset({id(first.parameter)})


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

    Biases, vectors, norms and views of other parameters stay dense whatever the options say. Of the rest
    `sparsity_overrides` decides (the first pattern that matches), then `dense_modules`; where that is None or adds to
    the defaults, the model class's own `dsd_dense_modules` or, without one, these stay dense: embeddings (tied heads
    with them), routers of experts, convolutions that read the model's input, and parametrised weights such as
    weight-normalised filters. Adapters such as LoRA's, and bare parameters that are no weight matrices by their use,
    are pruned only where an option asks for them. Last, frozen parameters are left out.

    What reads the input is seen in a forward without data (see `uses_of`); where none can be made, the convolution
    registered first counts, and the log says so. The model is not touched.

    Args:
        model: Any module; wrappers (DDP, torch.compile) are seen through.
        dense_modules: Regexes searched in parameter names: what stays dense. `["head"]` replaces the default list, []
            prunes all matrices, and `["+head"]`, with a + before every regex, adds to the default list.
        sparsity_overrides: Regex -> fraction in [0, 1) for the parameters it matches, 0 to keep them dense. Order
            counts: narrow patterns first.

    Returns:
        One `Target` per parameter, tied ones once, in the model's order.

    Raises:
        ValueError: If a pattern is not a regex or matches nothing; if only some of dense_modules have a +; if an
            override decides nothing that can be pruned; if one parameter is both overridden and listed dense; if two
            parameters have one name without wrappers' prefixes; if a target is quantized, not materialised, or sharded
            in a way that DSD does not know; if nothing is left to prune.
    """
    if is_flattened(model):
        raise ValueError(
            "FSDP1 (FullyShardedDataParallel) flattens weights into vectors, which layerwise masks do not fit: use "
            "FSDP2 (fully_shard, or fsdp_version 2 in Accelerate)"
        )
    owned = _owned_parameters(model)
    overrides = check_overrides(sparsity_overrides or {})
    rules = _rules(model, owned, overrides, dense_modules)
    _check_patterns("sparsity_overrides", list(overrides), owned)
    plan = [_target(item, rules) for item in owned]
    _check_overrides_count(overrides, owned, plan)
    _check_plan(plan)
    return plan


def log_frozen(plan: Sequence[Target]) -> None:
    """Says in one line which parameters of a plan are left out because they are frozen."""
    frozen = [target.name for target in plan if target.dense_reason == "frozen"]
    if frozen:
        logger.info("DSD skips %d frozen parameter(s): %s", len(frozen), ", ".join(frozen[:8]))


def log_changes(plan: Sequence[Target], model: nn.Module) -> None:
    """Says which parameters came or were unfrozen after `plan` was made: they stay dense."""
    planned = {target.name: target.dense_reason for target in plan}
    found = {canonical_name(name): parameter.requires_grad for name, parameter in model.named_parameters()}
    added = [name for name in found if name not in planned]
    unfrozen = [name for name, trains in found.items() if trains and planned.get(name) == "frozen"]
    gone = [target.name for target in plan if target.is_pruned and target.name not in found]
    for what, names in (("came", added), ("were unfrozen", unfrozen), ("went", gone)):
        if names:
            logger.warning(
                "%d parameter(s) %s after DSD planned what to prune, and no sparse phase prunes them: %s; change the "
                "model before DSD or the trainer is made",
                len(names),
                what,
                ", ".join(names[:8]),
            )


def _owned_parameters(model: nn.Module) -> list[Owned]:
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
    return [Owned(parameter, tuple(names), tuple(modules)) for parameter, names, modules in owners.values()]


def _rules(
    model: nn.Module, owned: Sequence[Owned], overrides: Mapping[str, float], dense_modules: Sequence[str] | None
) -> _Rules:
    """The rules in force: the caller's list alone, or that of the model's class or the defaults, and what is added."""
    given = _as_list(() if dense_modules is None else dense_modules)
    added = [pattern[1:] for pattern in given if pattern.startswith("+")]
    if added and len(added) < len(given):
        raise ValueError(
            f"dense_modules must replace the default list, or add to it with a + before every pattern, got {given}"
        )
    _check_patterns("dense_modules", given, owned)
    listed = {pattern.removeprefix("+"): f"dense_modules pattern '{pattern}'" for pattern in given}
    if dense_modules is not None and not added:
        return _Rules(model, owned, overrides, listed, frozenset(listed), "caller")
    inner: Any = model  # the outermost class within the wrappers that has a list of its own
    while inner is not None and not hasattr(type(inner), "dsd_dense_modules"):
        inner = next((child for name, child in inner.named_children() if name in WRAPPED), None)
    if inner is None:
        return _Rules(model, owned, overrides, listed, frozenset(listed), "")
    patterns = _as_list(type(inner).dsd_dense_modules)  # may match nothing: parts that a configuration lacks
    own = {pattern: f"dsd_dense_modules pattern '{pattern}'" for pattern in patterns}
    return _Rules(model, owned, overrides, {**listed, **own}, frozenset(listed), "class")


def _as_list(patterns: Sequence[str]) -> list[str]:
    return [patterns] if isinstance(patterns, str) else list(patterns)


def _first_match(patterns: Iterable[str], item: Owned) -> str | None:
    return next((pattern for pattern in patterns if any(re.search(pattern, name) for name in item.names)), None)


def check_overrides(overrides: Mapping[str, float]) -> dict[str, float]:
    """Returns `sparsity_overrides` with plain numbers.

    Raises:
        ValueError: If a value is no fraction in [0, 1).
    """
    return {pattern: check_fraction(value, f"sparsity_overrides[{pattern!r}]") for pattern, value in overrides.items()}


def _check_patterns(field: str, patterns: Sequence[str], owned: Sequence[Owned]) -> None:
    names = [name for item in owned for name in item.names]
    for pattern in patterns:
        try:
            compiled = re.compile(pattern.removeprefix("+") if field == "dense_modules" else pattern)
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
    close = difflib.get_close_matches(pattern.strip("+^$").replace("\\", ""), parts, n=5)
    near = {name: None for part in close for name in names if part == name or part in name.split(".")}
    return list(near or names)[:5]


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


def _target(item: Owned, rules: _Rules) -> Target:
    name, parameter, reason = item.names[0], item.parameter, rules.dense_reason(item)
    if not reason:
        if isinstance(parameter, nn.parameter.UninitializedParameter) or parameter.device.type == "meta":
            raise ValueError(f"{name} is not materialised: run one batch or load the weights before DSD starts")
        try:
            layout_of(parameter)
        except ValueError as error:
            raise ValueError(f"{name} cannot be pruned: {error}") from error
        if _is_quantized(parameter):
            raise ValueError(
                f"{name} is quantized ({type(parameter).__name__}, {parameter.dtype}); DSD prunes real floating-point "
                "weights of 16 bits or more: load the model without quantization, or list it in dense_modules"
            )
        if not parameter.requires_grad:
            reason = "frozen"
    override = _first_match(rules.overrides, item)
    sparsity = None if override is None else rules.overrides[override]
    return Target(name, whole_shape(parameter), sparsity, reason, count_matrices(item))


def _is_quantized(parameter: nn.Parameter) -> bool:
    """True for integers, 8-bit floats, bitsandbytes' classes, and torchao's or quanto's tensors inside a tensor."""
    if not parameter.is_floating_point() or parameter.element_size() < 2:
        return True
    return is_traceable_wrapper_subclass(local_part(parameter)) or type(parameter).__name__ in _QUANTIZED_CLASSES


def _check_overrides_count(overrides: Mapping[str, float], owned: Sequence[Owned], plan: Sequence[Target]) -> None:
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
