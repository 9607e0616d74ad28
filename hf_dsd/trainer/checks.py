"""What a Trainer under DeepSpeed ZeRO can and cannot do with DSD; DeepSpeed itself is not imported here."""

from collections.abc import Mapping
from typing import Any

from transformers import Trainer

from .training_args import DSDArgumentsMixin

SUPPORTED_STAGES = (1, 2, 3)


def check_zero(config: Mapping[str, Any], args: DSDArgumentsMixin) -> None:
    """Refuses, before anything is trained, the DeepSpeed settings and DSD options that would not do what they say.

    Args:
        config: DeepSpeed's configuration, whichever way it was given: `args.deepspeed`, or accelerate's.
        args: The run's.

    Raises:
        ValueError: Naming the setting and the remedy.
    """
    zero = config.get("zero_optimization", {})
    stage = zero.get("stage", 0)
    if stage not in SUPPORTED_STAGES:
        raise ValueError(f"zero_optimization.stage must be 1, 2 or 3 for DSD, got {stage}: set one, or use DDP")
    for section in ("optimizer", "scheduler"):
        if section in config:
            raise ValueError(
                f"the DeepSpeed configuration must have no {section!r}, got {config[section]}: DSD's phases drive the "
                "Trainer's own, so set optim and learning_rate instead"
            )
    for section in ("offload_optimizer", "offload_param"):
        if (zero.get(section) or {}).get("device", "none") != "none":
            raise ValueError(f"zero_optimization.{section} is not supported by DSD, got {zero[section]}: leave it out")
    if stage == 3 and not zero.get("stage3_gather_16bit_weights_on_model_save"):
        raise ValueError(
            "zero_optimization.stage3_gather_16bit_weights_on_model_save must be true for DSD: without it "
            "from_pretrained cannot load the model of a phase"
        )
    _check_options(args)


def _check_options(args: DSDArgumentsMixin) -> None:
    refused = {
        "mask_gradients=True": (args.mask_gradients, "ZeRO clips inside its own step: leave it out"),
        'phase_start="best"': (args.phase_start == "best", 'ZeRO cannot go back to earlier weights: use "last"'),
        "weight_averages": (bool(args.weight_averages), "ZeRO 3 leaves no weights to average: leave it out"),
        'reset_optimizer_state="all"': (args.reset_optimizer_state == "all", 'use "masked" or "none"'),
    }
    for option, (is_set, remedy) in refused.items():
        if is_set:
            raise ValueError(f"{option} does not work under DeepSpeed: {remedy}")


def uses_zero3(trainer: Trainer) -> bool:
    """True if the trainer's parameters are partitioned, so that no state dict can be loaded into them."""
    return bool(trainer.is_deepspeed_enabled and trainer.accelerator.state.deepspeed_plugin.zero_stage == 3)
