"""How weights come back: from a checkpoint, a phase, or the best evaluation, in place.

The Trainer's own way reads a file by the model's names and only warns of what it does not find, so that a model whose
file has other names (see `runs/weight_names`) goes on with the weights that it had. Here a weight that does not come
back is an error.

"In place" means that parameters keep their identity, their memory, their type and their device: the optimizer, cuDNN's
flat recurrent weights, DDP's buckets and FSDP's shards refer to them.
"""

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from accelerate.utils import extract_model_from_parallel
from safetensors import safe_open
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, set_model_state_dict
from transformers import Trainer, __version__
from transformers.trainer import FSDP_MODEL_NAME
from transformers.utils import ADAPTER_SAFE_WEIGHTS_NAME, CONFIG_NAME, is_peft_available

from hf_dsd.engine.sharding import reshard_
from hf_dsd.files import read_json
from hf_dsd.runs.weights import has_weights, read_weights

from .sharding import is_sharded

logger = logging.getLogger(__name__)


def restore_weights_(trainer: Trainer, folder: str | os.PathLike[str], model: nn.Module | None = None) -> bool:
    """Loads the weights in a checkpoint's or a phase's folder into the trainer's model, in place.

    Every rank must call. Not for adapters (PEFT's folders hold no whole model), FSDP's own files, and trainers that
    load by a method of their own, such as sentence-transformers'. `model` is the wrapped one, where that is not the
    trainer's.

    Returns:
        False, with nothing done, if the trainer's inherited method must load this folder.

    Raises:
        FileNotFoundError: If there are none.
        ValueError: If the weights are not this model's.
    """
    path = Path(folder)
    patterns = ("*.safetensors", "*model*.bin", "*.distcp")
    if not any(file.is_file() for pattern in patterns for file in path.rglob(pattern)):
        raise FileNotFoundError(f"{path} holds no weights: restore them, or train the phase again")
    _check_adapter(trainer.model, path)
    if not has_weights(path) or _holds_fsdp_files(path) or _loads_its_own_way(trainer):
        return False
    load_weights_(trainer.model if model is None else model, path)
    return True


def load_weights_(model: nn.Module, folder: Path) -> None:
    """Loads a whole model's weights into a model, in place; wrapped, compiled or sharded, on every rank.

    Raises:
        FileNotFoundError: If there are none.
        ValueError: If a weight is missing, unexpected or of another shape, and the class declares it neither tied nor
            ignorable.
    """
    _warn_of_other_version(folder)
    if is_sharded(model):
        _load_shards_(model, folder)
        return
    inner = extract_model_from_parallel(model, keep_torch_compile=False)
    inner.load_state_dict(read_weights(folder, inner), strict=False)  # read_weights has been strict, but for ties


def tensors_of(model: nn.Module) -> dict[str, Tensor]:
    """A model's parameters and buffers by name, every name of a shared one included."""
    return dict(model.named_parameters(remove_duplicate=False)) | dict(model.named_buffers(remove_duplicate=False))


def copy_weights_(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Copies tensors into parameters and buffers of the same names, in place."""
    tensors = tensors_of(model)
    with torch.no_grad():
        for name, tensor in weights.items():
            if name in tensors:
                tensors[name].copy_(tensor)


@contextmanager
def kept_weights(model: nn.Module) -> Iterator[None]:
    """Gives a model its weights and buffers back after the block, in place, bit for bit, also after an error."""
    own = {name: tensor.detach().clone() for name, tensor in tensors_of(model).items()}
    try:
        yield
    finally:
        copy_weights_(model, own)


def _load_shards_(model: nn.Module, folder: Path) -> None:
    """Rank 0 reads, the others are sent their blocks."""
    reshard_(model)
    state: dict[str, Any] = {}
    fault: list[Exception | None] = [None]
    if dist.get_rank() == 0:
        try:
            state = read_weights(folder, model)
        except (OSError, ValueError) as error:
            fault = [error]
    dist.broadcast_object_list(fault)  # or the others would wait for blocks that never come
    if fault[0] is not None:
        raise fault[0]
    options = StateDictOptions(full_state_dict=True, broadcast_from_rank0=True, strict=False)  # tied weights: one entry
    set_model_state_dict(model, state, options=options)


def _check_adapter(model: nn.Module, folder: Path) -> None:
    """PEFT loads what it finds in an adapter's file and says nothing of the rest."""
    file = folder / ADAPTER_SAFE_WEIGHTS_NAME
    if not (file.is_file() and is_peft_available()):
        return
    from peft import PeftModel, get_peft_model_state_dict

    inner = extract_model_from_parallel(model, keep_torch_compile=False)
    if not isinstance(inner, PeftModel):
        return
    with safe_open(file, framework="pt") as opened:
        stored = set(opened.keys())
    missing = sorted(get_peft_model_state_dict(inner, save_embedding_layers=False).keys() - stored)
    if missing:
        raise ValueError(
            f"{file} lacks {', '.join(missing[:5])} ({len(missing)} in all): give the model the adapter that was "
            "saved, or choose another folder"
        )


def _holds_fsdp_files(folder: Path) -> bool:
    return any(name.startswith(FSDP_MODEL_NAME) for name in os.listdir(folder))


def _loads_its_own_way(trainer: Trainer) -> bool:
    """True if the Trainer class that DSD was mixed into overrides how checkpoints are loaded."""
    owners = [owner for owner in type(trainer).__mro__ if "_load_from_checkpoint" in vars(owner)]
    return not owners[-2].__module__.startswith("hf_dsd.")


def _warn_of_other_version(folder: Path) -> None:
    config = read_json(folder / CONFIG_NAME, "restore it, or choose another checkpoint") or {}
    saved = config.get("transformers_version")
    if saved not in (None, __version__):
        logger.warning("%s was saved by transformers %s, this is %s: results may differ", folder, saved, __version__)
