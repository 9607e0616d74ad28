"""How a Trainer has spread its model over ranks, and whole weights into and out of one that is sharded.

The Trainer keeps sharded weights in files of FSDP's own, or refuses to. A phase's folder holds the whole model, as
`from_pretrained` reads it, whatever it was trained on.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from accelerate.utils import broadcast_object_list
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor, distribute_tensor
from transformers import Trainer
from transformers.trainer import OPTIMIZER_NAME, SCHEDULER_NAME
from transformers.training_args import ParallelMode


def on_main_process(find: Callable[[], Any]) -> Any:
    """What `find` returns or raises on the main process, on all of them: they could see a shared disk differently."""
    found: list[Any] = [None]
    if not dist.is_initialized() or dist.get_rank() == 0:
        try:
            found = [find()]
        except (OSError, ValueError) as error:
            found = [error]
    broadcast_object_list(found)
    if isinstance(found[0], Exception):
        raise found[0]
    return found[0]


def refuse_flattening(trainer: Trainer) -> None:
    """Refuses, before the model is wrapped, the kinds of FSDP that flatten weights.

    Raises:
        ValueError: For FSDP1 and for XLA's.
    """
    if trainer.is_fsdp_xla_enabled:
        raise ValueError("XLA's FSDP flattens weights into vectors, which layerwise masks do not fit: train with DDP")
    if trainer.is_fsdp_enabled and trainer.accelerator.state.fsdp_plugin.fsdp_version != 2:
        raise ValueError(
            "FSDP1 flattens weights into vectors, which layerwise masks do not fit: set fsdp_version to 2 in "
            "accelerate's configuration, or version in fsdp_config"
        )


def replicas_of_trainer(trainer: Trainer) -> dist.ProcessGroup | None:
    """The ranks that train copies of the whole model; None on one rank and where weights are sharded.

    Raises:
        ValueError: If FSDP was asked for and no weight is sharded, now that the model is prepared.
    """
    if is_sharded(trainer.model):
        return None  # replicas of shards are known from their layout
    asked = trainer.args.fsdp or os.environ.get("ACCELERATE_USE_FSDP", "false").lower() == "true"
    if asked or trainer.is_fsdp_enabled:
        raise ValueError(
            f"FSDP was asked for and is not in force on {trainer.args.device.type}: accelerate shards on accelerators "
            "only, and would train copies. Leave FSDP out to train with DDP, or shard the model as it is loaded, by "
            "from_pretrained(distributed_config=DistributedConfig(fsdp_size=...))"
        )
    return dist.group.WORLD if trainer.args.parallel_mode is ParallelMode.DISTRIBUTED else None


def is_sharded(model: nn.Module) -> bool:
    """True if ranks hold blocks of its parameters, also while FSDP2 shows gathered copies of them."""
    if any(isinstance(module, FSDPModule) for module in model.modules()):
        return True
    return any(isinstance(parameter, DTensor) for parameter in model.parameters())


def save_whole_model(trainer: Trainer, folder: str | os.PathLike[str]) -> None:
    """Saves the model as `from_pretrained` reads it, sharded or not; every rank must call it."""
    inner = trainer.accelerator.unwrap_model(trainer.model, keep_torch_compile=False)
    if not trainer.is_fsdp_enabled and inner is trainer.model:
        trainer.save_model(str(folder), _internal_call=True)
        return
    if not trainer.is_fsdp_enabled:  # compiled by the user: the Trainer would save names that begin with _orig_mod
        trainer._save(str(folder), state_dict=inner.state_dict())
        return
    options = StateDictOptions(full_state_dict=True, cpu_offload=True)  # on rank 0 only
    trainer._save(str(folder), state_dict=get_model_state_dict(trainer.model, options=options))


def load_whole_optimizer(trainer: Trainer, folder: str | os.PathLike[str]) -> bool:
    """Loads the optimizer and scheduler of a run that was not sharded into one that is.

    Both number the parameters by their places in the optimizer's groups.

    Returns:
        False, with nothing done, if the model is not sharded or the folder is of a sharded run.
    """
    path = Path(folder) / OPTIMIZER_NAME
    if not is_sharded(trainer.model) or not path.is_file():
        return False
    state = torch.load(path, map_location="cpu", weights_only=True)
    parameters = [parameter for group in trainer.optimizer.param_groups for parameter in group["params"]]
    for index, entries in state["state"].items():
        for key, value in entries.items():
            entries[key] = _like(parameters[index], value)
    trainer.optimizer.load_state_dict(state)
    trainer.lr_scheduler.load_state_dict(torch.load(path.with_name(SCHEDULER_NAME), weights_only=True))
    return True


def _like(parameter: Tensor, value: Any) -> Any:
    """An optimizer's state tensor in its parameter's layout; counters stay as they are."""
    if not isinstance(parameter, DTensor) or not isinstance(value, Tensor) or value.shape != parameter.shape:
        return value
    mesh = parameter.device_mesh
    return distribute_tensor(value.to(mesh.device_type), mesh, parameter.placements)
