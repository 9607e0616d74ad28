"""All the masked weights of a sparse phase: bound to the optimizer's parameters, built or loaded, agreed upon."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.optim import Optimizer

from .schedule import Phase
from .sharding import check_agreement, reshard_
from .targets import Target, canonical_name
from .weights import MaskedWeight
from .zero_weights import ZeroWeight, is_partitioned

_WORTH_THREADS = 1 << 20  # weights; a pool for fewer costs more than it saves


def bind_weights(model: nn.Module, optimizer: Optimizer, targets: Sequence[Target], phase: Phase) -> list[MaskedWeight]:
    """The targets of a sparse phase with the optimizer's own parameters, which accelerate may have replaced.

    Raises:
        ValueError: If the optimizer does not train one of them, or the phase would prune nothing of any.
    """
    reshard_(model)
    trained = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    found = {canonical_name(name): parameter for name, parameter in model.named_parameters()}
    trained_names = {name for name, p in found.items() if id(p) in trained or is_partitioned(p)}
    if untrained := [target.name for target in targets if target.name not in trained_names]:
        raise ValueError(
            f"the optimizer does not train {untrained[:5]}, so the weights could never come back: give these "
            "parameters to the optimizer, freeze them, or list them in dense_modules"
        )
    weights = [
        ZeroWeight(target, found[target.name], target.sparsity(phase.sparsity), optimizer)
        if is_partitioned(found[target.name])
        else MaskedWeight(target, found[target.name], target.sparsity(phase.sparsity))
        for target in targets
    ]
    if not any(weight.pruned for weight in weights) and any(target.sparsity(phase.sparsity) for target in targets):
        raise ValueError(
            f"{phase.name} would prune nothing: sparsity {phase.sparsity} rounds to 0 weights in each of "
            f"{len(weights)} parameter(s); raise sparsity"
        )
    return weights


def build_masks(
    weights: Sequence[MaskedWeight], criterion: str, seed: Callable[[str], int]
) -> Mapping[str, ValueError]:
    """Builds the masks of all weights (see `build_mask`), on all of PyTorch's threads where no rank waits for another.

    Returns:
        Parameter name -> why it has no mask.
    """

    def build(weight: MaskedWeight) -> ValueError | None:
        try:
            weight.build(criterion, seed(weight.name))
        except ValueError as error:
            return error
        return None

    alone = all(weight.layout.group is None and weight.parameter.device.type == "cpu" for weight in weights)
    large = sum(weight.parameter.numel() for weight in weights) > _WORTH_THREADS
    if alone and large and torch.get_num_threads() > 1:
        with ThreadPoolExecutor(torch.get_num_threads()) as pool:  # numpy and PyTorch release the lock
            errors = list(pool.map(build, weights))
    else:
        errors = [build(weight) for weight in weights]
    return {weight.name: error for weight, error in zip(weights, errors, strict=True) if error is not None}


def check_replicas(
    weights: Sequence[MaskedWeight], errors: Mapping[str, ValueError], replicas: dist.ProcessGroup | None
) -> None:
    """Compares this rank's masks, or why there is none, with the replicas' (see `check_agreement`).

    Raises:
        RuntimeError: If any two replicas differ.
    """
    held: dict[dist.ProcessGroup, list[MaskedWeight]] = {}
    for weight in weights:
        for group in weight.layout.replicas or (() if replicas is None else (replicas,)):
            held.setdefault(group, []).append(weight)
    for group, own in held.items():
        digests = {weight.name: weight.digest(errors.get(weight.name)) for weight in own}
        check_agreement(digests, group, own[0].layout.device, own[0].layout.group)


def load_masks(
    weights: Sequence[MaskedWeight], packed: Mapping[str, Tensor], shapes: Mapping[str, Sequence[int]]
) -> None:
    """Gives weights the packed masks of a checkpoint.

    Raises:
        ValueError: If the checkpoint masks other parameters, of other shapes, or other numbers of their weights.
    """
    masked = [weight for weight in weights if weight.pruned]
    if differing := sorted({weight.name for weight in masked} ^ set(packed)):
        raise ValueError(
            f"the checkpoint masks other parameters than this run would: {differing[:5]} differ; resume with the "
            "same model, dense_modules and sparsity_overrides"
        )
    for weight in masked:
        if list(shapes[weight.name]) != list(weight.shape):
            shape = tuple(shapes[weight.name])
            raise ValueError(f"{weight.name} has shape {tuple(weight.shape)}, the checkpoint's mask {shape}")
        weight.load(packed[weight.name])
