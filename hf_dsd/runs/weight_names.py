"""From the names and layouts of a model's file to those of the model.

transformers saves many architectures under the names of their first release: `save_pretrained` renames, splits and
merges tensors (a mixture's experts are one tensor in the model and one file entry each), and `from_pretrained` turns
them back. Whoever reads a file by the model's names reads nothing, or a part. So every reader comes through here.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.core_model_loading import convert_and_load_state_dict_in_model
from transformers.modeling_utils import LoadStateDictConfig
from transformers.utils import logging as transformers_logging


@dataclass(frozen=True)
class NamedWeights:
    """A file's tensors under the names of a model.

    Attributes:
        values: Name in the model -> tensor, in the model's layout. Of tied names one is enough.
        missing: Names of the model that the file gives no value, less those that the class declares ignorable.
        unexpected: What is in the file and not in the model, less those that the class declares ignorable.
        misshapen: Name in the model -> `(shape in the file, shape in the model)`, or why its conversion failed.
    """

    values: Mapping[str, Tensor]
    missing: list[str]
    unexpected: list[str]
    misshapen: Mapping[str, str]


def name_as_model(model: nn.Module, stored: Mapping[str, Any]) -> NamedWeights:
    """Gives the tensors of a file the names and layouts that they have in `model`, which is left as it is.

    A `PreTrainedModel` is read by the conversion that its `from_pretrained` uses; any other module's file has the
    module's own names, as the Trainer writes it.

    Args:
        model: Live, or on the meta device; sharded parameters count as whole.
        stored: Name in the file -> tensor, or a safetensors slice, read when it is needed.
    """
    own = {name: held for name, held in model.state_dict(keep_vars=True).items() if isinstance(held, Tensor)}
    named = _convert(model, own, stored) if isinstance(model, PreTrainedModel) else _as_stored(own, stored)
    given = {id(own[name]) for name in named.values}
    # A parameter with two names has one entry in the file.
    missing = [name for name in named.missing if id(own.get(name)) not in given]
    return NamedWeights(named.values, missing, named.unexpected, named.misshapen)


def has_other_names(model: PreTrainedModel, stored: Mapping[str, Any]) -> bool:
    """True if the names or layouts of a file may differ from those of the model."""
    return bool(get_model_conversion_mapping(model, add_legacy=False)) or not stored.keys() <= model.state_dict().keys()


def _as_stored(own: Mapping[str, Tensor], stored: Mapping[str, Any]) -> NamedWeights:
    values = {name: tensor[...] for name, tensor in stored.items() if name in own}
    misshapen = {
        name: f"({tuple(tensor.shape)}, {tuple(own[name].shape)})"
        for name, tensor in values.items()
        if tensor.shape != own[name].shape
    }
    return NamedWeights(values, [n for n in own if n not in values], [n for n in stored if n not in own], misshapen)


def _convert(model: PreTrainedModel, own: Mapping[str, Tensor], stored: Mapping[str, Any]) -> NamedWeights:
    shadow = _shadow(model, own)
    rules = get_model_conversion_mapping(model)
    # Rules of the user's own (from_pretrained's key_mapping) were turned back at saving, too.
    known = {repr(rule) for rule in rules}
    rules = [rule for rule in getattr(model, "_weight_conversions", None) or () if repr(rule) not in known] + rules
    with _without_progress_bar():
        found, _ = convert_and_load_state_dict_in_model(shadow, dict(stored), LoadStateDictConfig(weight_mapping=rules))
    model._adjust_missing_and_unexpected_keys(found)
    values = {name: held.detach() for name, held in shadow.state_dict().items() if held.device.type != "meta"}
    unsaved = model._keys_to_ignore_on_save or ()
    return NamedWeights(
        values,
        sorted(name for name in found.missing_keys if not any(re.search(pattern, name) for pattern in unsaved)),
        sorted(found.unexpected_keys),
        {name: f"({tuple(got)}, {tuple(want)})" for name, got, want in sorted(found.mismatched_keys)}
        | {name: str(error) for name, error in found.conversion_errors.items()},
    )


def _shadow(model: PreTrainedModel, own: Mapping[str, Tensor]) -> Any:
    """Modules that hold nothing but meta tensors of a model's names, shapes and types.

    transformers' conversion puts new parameters in the place of old ones; in here, not in the model.
    """
    shadow: Any = nn.Module()
    for name, held in own.items():
        *path, leaf = name.split(".")
        module = shadow
        for part in path:
            if part not in module._modules:
                module.add_module(part, nn.Module())
            module = module._modules[part]
        empty = torch.empty(held.shape, dtype=held.dtype, device="meta")
        if isinstance(held, nn.Parameter):
            module.register_parameter(leaf, nn.Parameter(empty, requires_grad=False))
        else:
            module.register_buffer(leaf, empty)
    shadow.config, shadow.base_model_prefix = model.config, model.base_model_prefix
    return shadow


@contextmanager
def _without_progress_bar() -> Iterator[None]:
    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            transformers_logging.enable_progress_bar()
