"""What a run is: the settings that its summary names and that a resumed run is compared by."""

import logging
from collections.abc import Mapping
from typing import Any

from hf_dsd.engine.schedule import Phase

logger = logging.getLogger(__name__)

_OF_A_PHASE = ("lr_scheduler_type", "lr_scheduler_kwargs", "warmup_steps", "mask_gradients")
_NOT_COMPARED = {"arm", "world_size", "weight_averages", "model"}  # checked elsewhere, or without an effect


def run_facts(args: Any, model: str, optimizer: Any, steps_per_epoch: int) -> dict[str, Any]:
    """The facts of a run, JSON-ready: of its arguments, model's class, optimizer and an epoch's optimizer steps."""
    return {
        "model": model,
        "arm": _arm(args),
        "seed": args.seed,
        "data_seed": args.data_seed,
        "world_size": args.world_size,
        "optimizer": type(getattr(optimizer, "optimizer", optimizer)).__name__,
        "lr_scheduler_type": str(getattr(args.lr_scheduler_type, "value", args.lr_scheduler_type)),
        "lr_scheduler_kwargs": args.lr_scheduler_kwargs or None,
        "warmup_steps": args.warmup_steps,
        "batch_size": args.train_batch_size * args.gradient_accumulation_steps * args.world_size,
        "gradient_accumulation_steps": args.gradient_accumulation_steps,
        "steps_per_epoch": steps_per_epoch,
        "mask_criterion": args.mask_criterion,
        "reset_optimizer_state": args.reset_optimizer_state,
        "mask_gradients": args.mask_gradients,
        "weight_averages": list(args.weight_averages or ()),
    }


def _arm(args: Any) -> str:
    """How a comparison calls this run: the dense control, DSD with random masks, or DSD."""
    if args.dsd_control:
        return "dense"
    return "random" if args.mask_criterion == "random" else "dsd"


def check_resumed(then: Mapping[str, Any], now: Mapping[str, Any], phase: Phase | None) -> None:
    """Compares a resumed run with its checkpoint: what cannot go on is refused, what goes on otherwise is said.

    Args:
        then: The checkpoint's facts; empty for one of an older version.
        now: This run's.
        phase: The phase that the checkpoint lies inside of; None at a phase's end, after which all may differ.

    Raises:
        ValueError: If the optimizer is another one, or the learning-rate curve or gradients of a begun phase change.
    """
    changed = {key: (then[key], now[key]) for key in now if key in then and then[key] != now[key]}
    if "optimizer" in changed:
        old, new = changed["optimizer"]
        raise ValueError(f"the checkpoint was trained by {old}, this run by {new}: resume with the same optim")
    for key in _OF_A_PHASE:
        if key in changed and phase is not None:
            old, new = changed[key]
            raise ValueError(
                f"{key} is {new!r}, the checkpoint's {phase.name} began with {old!r}: resume with the same, or change "
                "it at a phase's end"
            )
    for key, (old, new) in changed.items():
        if key not in _NOT_COMPARED:
            logger.warning(
                "resuming with %s=%r, the checkpoint's is %r: the run goes on, but not as the unbroken one would have",
                key,
                new,
                old,
            )


def check_optimizer_state(optimizer: Any) -> None:
    """Refuses a loaded optimizer state that lacks settings of this optimizer: it is another optimizer's.

    Raises:
        ValueError: Names the settings; the optimizer's first step would be a KeyError.
    """
    defaults = getattr(getattr(optimizer, "optimizer", optimizer), "defaults", {})
    missing = sorted({key for group in optimizer.param_groups for key in defaults.keys() - group.keys()})
    if missing:
        raise ValueError(
            f"the checkpoint's optimizer has no {missing}, which this run's needs: resume with the same optim"
        )
