"""How a Trainer serves the life cycle of its run: where files go, how models are saved and come back."""

from inspect import Signature, signature
from pathlib import Path
from typing import Any

from torch import nn
from transformers import Trainer

from hf_dsd.engine.dsd import DSD

from .early_stop import EarlyStop
from .facts import run_facts
from .lifecycle import Host, Lifecycle
from .lr_scheduler import PhasedLR
from .phase_monitor import PhaseMonitor
from .run_size import say_size
from .sharding import is_sharded, save_whole_model


def begin_life(trainer: Any, engine: DSD, rates: PhasedLR | None, steps_per_epoch: int) -> Lifecycle:
    """The life cycle of a run that a `DSDMixin` begins, model and optimizer prepared (see `Lifecycle`, `run_facts`).

    Raises:
        ValueError: If averages are asked for of sharded weights.
    """
    args = trainer.args
    if args.weight_averages and is_sharded(trainer.model):
        raise ValueError("weight_averages needs whole weights on every rank: train without FSDP, or leave it out")
    model = type(trainer.accelerator.unwrap_model(trainer.model, keep_torch_compile=False)).__name__
    metric, greater_is_better = args.monitored_metric
    host = _host(trainer)
    if args.should_save:
        say_size(trainer, engine.schedule.total_steps, steps_per_epoch)
    return Lifecycle(
        engine,
        PhaseMonitor(metric, greater_is_better, args.phase_patience),
        host,
        run_facts(args, model.removeprefix("FSDP"), trainer.optimizer, steps_per_epoch),  # fully_shard renames classes
        rates=rates,
        start_from_best=args.phase_start == "best",
        averages=args.weight_averages or (),
        early_stop=EarlyStop(PhaseMonitor(metric, greater_is_better), host.folder, writes=host.writes)
        if args.keep_early_stop
        else None,
        saved=args.keep_phases,
        kept=args.keep_phase_checkpoints or (),
    )


def _host(trainer: Any) -> Host:
    return Host(
        folder=trainer.run_folder,
        writes=trainer.args.should_save,
        save_model=lambda folder, model: _save_model(trainer, folder, model),
        load_model=lambda folder: trainer._load_from_checkpoint(str(folder)),
        wait=trainer.accelerator.wait_for_everyone,
    )


def _save_model(trainer: Trainer, folder: Path, model: nn.Module | None) -> None:
    """Saves the model that trains, or has the Trainer save another one of its class as if it were its own."""
    own = trainer.model
    try:
        trainer.model = own if model is None else model
        save_whole_model(trainer, folder)
    finally:
        trainer.model = own


def signature_beneath(trainer_class: type, mixin: type) -> Signature:
    """What a Trainer takes whose constructor is not the mixin's, which hands everything on."""
    owner = next(base for base in trainer_class.__mro__ if base is not mixin and "__init__" in vars(base))
    _, *parameters = signature(vars(owner)["__init__"]).parameters.values()
    return Signature(parameters)
