"""What a Trainer's model, loss, optimizer and ranks can and cannot do with DSD; DeepSpeed itself is not imported."""

import logging
import math
import os
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from transformers import Trainer
from transformers.trainer_pt_utils import LabelSmoother

from hf_dsd.engine.targets import plan_targets

from .loss_scaling import kept_state
from .sharding import refuse_flattening
from .training_args import DSDArgumentsMixin

logger = logging.getLogger(__name__)

SUPPORTED_STAGES = (1, 2, 3)
_SAME_LOSS = 1e-2  # half precision rounds, and the smoother sums in another order; another loss differs by far more


def refuse_unsupported(trainer: Trainer) -> None:
    """Refuses by name what would train without masks or with the wrong ones.

    Raises:
        ValueError: Naming the setting and the remedy.
    """
    if trainer.is_deepspeed_enabled:
        check_zero(trainer.accelerator.state.deepspeed_plugin.deepspeed_config, trainer.args)
    refuse_flattening(trainer)
    started = int(os.environ.get("WORLD_SIZE", "1")) if "LOCAL_RANK" in os.environ else 1
    if started > trainer.args.world_size == 1:
        raise ValueError(
            f"{started} processes were launched but each would train alone, into the same output_dir: without GPUs set "
            "use_cpu=True (--use_cpu true, or ACCELERATE_USE_CPU=true before the command), which joins them by gloo"
        )


def check_model(model: nn.Module, args: Any) -> None:
    """Fails now, not after the data is loaded, if the model or the patterns do not fit.

    Raises:
        ValueError: If a pattern fits nothing, or the model ties weights that the Trainer could not save.
    """
    shared = len(list(model.named_parameters(remove_duplicate=False))) > len(list(model.parameters()))
    if shared and not hasattr(model, "save_pretrained"):
        raise ValueError(
            f"{type(model).__name__} ties weights and is no PreTrainedModel, which the Trainer cannot save at a "
            "phase's end: subclass PreTrainedModel"
        )
    plan_targets(model, dense_modules=args.dense_modules, sparsity_overrides=args.sparsity_overrides)


def check_optimizer(args: DSDArgumentsMixin, optimizer: Any, *, own_optimizer: bool, own_scheduler: bool) -> None:
    """Refuses optimizers and rates of the user's own that would not do what the arguments say.

    Raises:
        ValueError: Naming the remedy.
    """
    inner = getattr(optimizer, "optimizer", optimizer)
    if hasattr(inner, "train") and hasattr(inner, "eval"):
        raise ValueError(
            f"{type(inner).__name__} evaluates other weights than it trains, which masks cannot reach: use another"
        )
    rates = [group.get("initial_lr", group["lr"]) for group in optimizer.param_groups]
    if own_scheduler:
        if args.phase_learning_rates is not None:
            raise ValueError("phase_learning_rates has no effect with a scheduler of your own: pass one of the two")
        logger.warning("the learning rate follows the scheduler you passed, not DSD's phases")
    elif own_optimizer and args.learning_rate not in rates:
        raise ValueError(
            f"learning_rate is {args.learning_rate} but your optimizer was built with {rates}: phases scale "
            "its rates by learning_rate, so give both the same"
        )


def check_zero(config: Mapping[str, Any], args: DSDArgumentsMixin) -> None:
    """Refuses, before anything is trained, the DeepSpeed settings and DSD options that would not do what they say.

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
        "keep_early_stop": (args.keep_early_stop, "no file of it could be loaded into ZeRO 3: leave it out"),
        "weight_averages": (bool(args.weight_averages), "ZeRO 3 leaves no weights to average: leave it out"),
        'reset_optimizer_state="all"': (args.reset_optimizer_state == "all", 'use "masked" or "none"'),
    }
    for option, (is_set, remedy) in refused.items():
        if is_set:
            raise ValueError(f"{option} does not work under DeepSpeed: {remedy}")


def uses_zero3(trainer: Trainer) -> bool:
    """True if the trainer's parameters are partitioned, so that no state dict can be loaded into them."""
    return bool(trainer.is_deepspeed_enabled and trainer.accelerator.state.deepspeed_plugin.zero_stage == 3)


def check_label_smoothing(trainer: Trainer, model: nn.Module, inputs: Mapping[str, Any]) -> None:
    """Refuses `label_smoothing_factor` for a model whose own loss is not the cross entropy that the Trainer smooths.

    The Trainer takes the labels away and smooths the cross entropy of logits and labels, whatever the model's own loss
    is: a CTC model would train on nonsense. Which loss it is shows on a batch: without smoothing, both must be equal.

    Takes the run's first batch as `compute_loss` does.

    Raises:
        ValueError: Naming the model's class, both losses and the remedy.
    """
    factor, name = trainer.args.label_smoothing_factor, type(trainer.accelerator.unwrap_model(model)).__name__
    if trainer.compute_loss_func is not None:
        raise ValueError(f"label_smoothing_factor {factor} has no effect with compute_loss_func: leave out one of them")
    if "labels" not in inputs:
        raise ValueError(
            f"label_smoothing_factor {factor} has no effect for {name}, whose batches have no 'labels' but "
            f"{sorted(inputs)}: leave it out"
        )
    own, _ = _loss_without_training(trainer, model, inputs, smoother=None)
    unsmoothed, error = _loss_without_training(trainer, model, inputs, smoother=LabelSmoother(epsilon=0.0))
    if own is None and unsmoothed is not None:  # the model has no loss, and leaves it to the Trainer
        return
    if own is None or unsmoothed is None or not math.isclose(own, unsmoothed, rel_tol=_SAME_LOSS, abs_tol=_SAME_LOSS):
        raise ValueError(
            f"label_smoothing_factor must be 0 for {name}, got {factor}: the model makes its own loss ({own}), but the "
            f"Trainer would smooth the cross entropy of its logits and labels ({unsmoothed or error}): leave it out"
        )


def _loss_without_training(
    trainer: Trainer, model: nn.Module, inputs: Mapping[str, Any], smoother: LabelSmoother | None
) -> tuple[float | None, str]:
    """The loss that the Trainer takes with this smoother, or None and why; draws no random numbers, moves no buffer."""
    given = trainer.label_smoother
    trainer.label_smoother = smoother
    try:
        with kept_state(model), torch.no_grad(), trainer.compute_loss_context_manager():
            model.eval()
            return float(Trainer.compute_loss(trainer, model, dict(inputs))), ""
    except (ValueError, TypeError, LookupError, RuntimeError) as error:  # labels that fit no logits, or were an input
        return None, str(error)
    finally:
        trainer.label_smoother = given
