"""A network's published weights, in a file as torchvision or timm have them, become those of its transformers model."""

import pickle
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from transformers import PreTrainedModel

from .modeling_torchvision import TorchvisionForImageClassification

_SHOWN = 3


def load_pretrained_weights(model: PreTrainedModel, path: str | Path) -> list[str]:
    """Copies the weights of a file into a network; the head of another number of classes keeps what it was drawn.

    torchvision's GoogLeNet and Inception v3 shift their input with published weights, and do not without: from here on
    they do, also when the model is saved and loaded.

    Args:
        model: From `build_named_classifier`; changed in place, or not at all.
        path: A state dict of that network in its own library, `.safetensors` or `.pth` (read as tensors alone).

    Returns:
        Names of the tensors that the file has for another number of classes.

    Raises:
        ValueError: If the file is no state dict, or that of another network.
        OSError: If the file cannot be read.
    """
    of_torchvision = isinstance(model, TorchvisionForImageClassification)
    network = model.network if of_torchvision else model.timm_model
    own, given = network.state_dict(), _read(Path(path))
    heads = [name for name in own if name in given and _is_other_head(own[name], given[name], model.config.num_labels)]
    body = {name: tensor for name, tensor in given.items() if name not in heads}
    wrong = list(_differences(own, body, heads))
    if wrong:
        more = f" and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        raise ValueError(
            f"pretrained_weights must be those of {model.config.architecture}, got {path}: {', '.join(wrong[:_SHOWN])}"
            f"{more}; give model_name the network that they were saved from, and model_name_or_path what is a folder"
        )
    network.load_state_dict(body, strict=False)
    if of_torchvision and hasattr(network, "transform_input"):
        network.transform_input = True
        model.config.model_args = {**(model.config.model_args or {}), "transform_input": True}
    return heads


def _read(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, EOFError, RuntimeError, SafetensorError) as error:
        raise ValueError(
            f"pretrained_weights must be a file of tensors alone, got {path}, which does not read as one "
            f"({type(error).__name__}); save model.state_dict() by torch.save"
        ) from error
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        found = (
            f"with the keys {', '.join(map(str, state))[:80]}" if isinstance(state, Mapping) else type(state).__name__
        )
        raise ValueError(
            f"pretrained_weights must hold a state dict, name -> tensor, got {path}: {found}; save "
            "model.state_dict() alone"
        )
    return dict(state)


def _is_other_head(own: Tensor, given: Tensor, classes: int) -> bool:
    """True for the weight or bias of a classifier that the file has for another number of classes."""
    return own.shape != given.shape and own.shape[:1] == (classes,) and own.shape[1:] == given.shape[1:]


def _differences(own: Mapping[str, Tensor], given: Mapping[str, Tensor], heads: list[str]) -> Iterator[str]:
    """What makes them two networks; files of old torch lack the batch norms' counters."""
    for name, tensor in own.items():
        if name not in given and name not in heads and not name.endswith("num_batches_tracked"):
            yield f"it lacks {name}"
        elif name in given and given[name].shape != tensor.shape:
            yield f"its {name} is {tuple(given[name].shape)}, not {tuple(tensor.shape)}"
    yield from (f"it holds {name}" for name in given if name not in own)


__all__ = ["load_pretrained_weights"]
