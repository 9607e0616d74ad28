"""How much a run's folder will take of the disk: said before the run, since a large network's phases fill one."""

import logging
import math
import shutil
from collections.abc import Mapping
from typing import Any

logger = logging.getLogger(__name__)

_MUCH = 10**9


def say_size(trainer: Any, total_steps: int, steps_per_epoch: int) -> None:
    """Warns of a run that will take more than 1 GB, or more than there is.

    Args:
        trainer: The `DSDMixin`, with its model and optimizer prepared.
        total_steps: Optimizer steps of the run.
        steps_per_epoch: Of one epoch.
    """
    parts = run_parts(trainer, _checkpoints(trainer.args, total_steps, steps_per_epoch))
    total = sum(count * size for count, size in parts.values())
    folder = next(each for each in (trainer.run_folder, *trainer.run_folder.resolve().parents) if each.exists())
    free = shutil.disk_usage(folder).free
    if total > min(_MUCH, free):
        listed = ", ".join(f"{count} {what} of {size / 1e9:.2f} GB" for what, (count, size) in parts.items() if count)
        logger.warning(
            "the run's folder will hold about %.1f GB (%s), %.1f GB are free: --keep_phases and --save_total_limit "
            "make it less",
            total / 1e9,
            listed,
            free / 1e9,
        )


def run_parts(trainer: Any, checkpoints: int) -> Mapping[str, tuple[int, int]]:
    """What a run leaves -> how many of it, and about the bytes of each; what a script saves at its end comes on top."""
    args = trainer.args
    tensors = [*trainer.model.parameters(), *trainer.model.buffers()]
    model = sum(getattr(tensor, "ds_numel", tensor.numel()) * tensor.element_size() for tensor in tensors)
    weights = sum(getattr(p, "ds_numel", p.numel()) for p in trainer.model.parameters() if p.requires_grad)
    beside = len(args.weight_averages or ()) + args.keep_early_stop  # models that lie in later checkpoints, too
    state = weights * 4 * _states(trainer.optimizer) + weights // 8 + beside * model
    phases = args.phase_count if args.keep_phases is None else len(set(args.keep_phases))
    full = checkpoints + len(set(args.keep_phase_checkpoints or ()))
    return {
        "model(s)": (phases + beside, model),
        "checkpoint(s)": (full, model if args.save_only_model else model + state),
    }


def _states(optimizer: Any) -> int:
    """Numbers that an optimizer keeps of every weight; of a rare one, perhaps more."""
    defaults = getattr(optimizer, "defaults", {})
    return 2 if "betas" in defaults else 1 if defaults.get("momentum") else 0


def _checkpoints(args: Any, total_steps: int, steps_per_epoch: int) -> int:
    """Checkpoints at the run's end."""
    every = args.save_steps if args.save_steps >= 1 else total_steps * args.save_steps
    made: int = {
        "no": 0,
        "best": 1,
        "epoch": math.ceil(total_steps / max(steps_per_epoch, 1)),
        "steps": math.ceil(total_steps / every),
    }[str(getattr(args.save_strategy, "value", args.save_strategy))]
    limit: int = args.save_total_limit or made
    return min(made, limit)
