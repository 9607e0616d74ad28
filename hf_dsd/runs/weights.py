"""The weights in a model's folder, under the names that they have in the model.

A folder is what `save_pretrained` or the Trainer writes: one safetensors file, or shards with an index, or the
`pytorch_model.bin` of former days.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from pickle import PickleError
from typing import Any

import torch
import transformers
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.utils import CONFIG_NAME, SAFE_WEIGHTS_INDEX_NAME, SAFE_WEIGHTS_NAME, WEIGHTS_INDEX_NAME, WEIGHTS_NAME

from hf_dsd.files import read_json, read_json_object

from .weight_names import has_other_names, name_as_model

_REMEDY = "restore it, or train the phase again"
_PIPELINE = "modules.json"
"""Of sentence-transformers."""
# What safetensors and, of a pytorch_model.bin, torch.load make of a file that is damaged.
_DAMAGES = (SafetensorError, OSError, ValueError, KeyError, TypeError, RuntimeError, EOFError, PickleError)
_KINDS = ((SAFE_WEIGHTS_NAME, SAFE_WEIGHTS_INDEX_NAME), (WEIGHTS_NAME, WEIGHTS_INDEX_NAME))


# What a class of the user's own may raise that needs more than a configuration.
_UNBUILT = (AttributeError, KeyError, RuntimeError, TypeError, ValueError, StrictDataclassError)


class DamagedWeightsError(ValueError):
    """A file of weights that cannot be read.

    Args:
        file: Its path.
        error: What its reader said.

    Attributes:
        reason: The same without the file's name, for who names its folder.
    """

    def __init__(self, file: Path, error: Exception) -> None:
        first = str(error).partition("\n")[0].partition(". ")[0]  # torch goes on: load it as code, file an issue
        self.reason = f"{type(error).__name__}: {first}"
        super().__init__(f"{file} is damaged ({self.reason}): {_REMEDY}")


class WeightFile:
    """The tensors of a model's folder under the model's names, both names of a tied weight included.

    Args:
        folder: Where they lie.
        tensors: Name -> the tensor, or a safetensors slice of it, which is read when asked for.
        excuse: Why the names are the file's, which need not be the model's; "" where they are the model's.
    """

    def __init__(self, folder: Path, tensors: Mapping[str, Any], excuse: str = "") -> None:
        self._folder, self._tensors, self._excuse = folder, tensors, excuse

    def names(self) -> list[str]:
        """Names of the tensors."""
        return list(self._tensors)

    def __contains__(self, name: str) -> bool:
        if name not in self._tensors and self._excuse:
            # It may well be there under a name of the file's own: to say "no" would leave it out of every figure.
            raise ValueError(f"{self._folder} holds no weights called {name}: {self._excuse}")
        return name in self._tensors

    def shape(self, name: str) -> tuple[int, ...]:
        """A tensor's, without reading it."""
        tensor = self._tensors[name]
        return tuple(tensor.shape if isinstance(tensor, Tensor) else tensor.get_shape())

    def read(self, name: str) -> Tensor:
        """One tensor, or a ValueError; in the file's type unless it had to be converted, then in the model's."""
        if name not in self:
            raise ValueError(f"{self._folder} holds no weights called {name}, only {self.names()[:5]} ...")
        tensor: Tensor = self._tensors[name][...]
        return tensor


@contextmanager
def open_weights(folder: Path) -> Iterator[WeightFile]:
    """Opens the weights of a model's folder.

    The model's class is asked for its names: built from the folder's `config.json` on the meta device, where it holds
    no numbers. Weights of an architecture whose file has other names than the model are converted, all at once, as the
    folder is opened; others are read one by one.

    Raises:
        FileNotFoundError: If there are none.
        ValueError: If they do not fit the class that `config.json` names.
    """
    with _stored(folder) as stored:
        class_name = _class_name(folder)
        skeleton = _skeleton(class_name, (folder / CONFIG_NAME).read_text(encoding="utf-8")) if class_name else None
        if skeleton is None:
            yield WeightFile(folder, stored, _excuse(folder, class_name))
        else:
            named = _converted(folder, skeleton, stored) if has_other_names(skeleton, stored) else stored
            yield WeightFile(folder, _with_tied_names(skeleton.state_dict(keep_vars=True), named))


def _excuse(folder: Path, class_name: str) -> str:
    if (folder / _PIPELINE).is_file():
        return "its files have the names of a pipeline's modules, not the pipeline's, and cannot be drawn"
    if class_name:
        return f"the class {class_name} is unknown here: import its module first, and the file is understood"
    return ""


def _converted(folder: Path, skeleton: PreTrainedModel, stored: Mapping[str, Any]) -> dict[str, Any]:
    found = name_as_model(skeleton, stored)
    # A model that was changed after it was built has names and shapes that its class has not; the file has them.
    own = {name: stored[name] for name in (*found.unexpected, *found.misshapen) if name in stored}
    lost = [f"{name} {fault}" for name, fault in found.misshapen.items() if name not in own]
    if lost:
        raise ValueError(f"{folder} does not fit {type(skeleton).__name__}: {', '.join(lost[:5])}")
    return own | dict(found.values)


def read_weights(folder: Path, model: nn.Module) -> dict[str, Tensor]:
    """All tensors of a model's folder, under the names and in the layouts that they have in an unwrapped `model`.

    The folder is what `save_pretrained`, or the Trainer for any other module, wrote; the model is left as it is.

    Raises:
        FileNotFoundError: If there are none.
        ValueError: If some are missing, unexpected or of another shape, and the class does not declare that it may be.
    """
    with _stored(folder) as stored:
        named = name_as_model(model, stored)
    misshapen = [f"{name} {fault}" for name, fault in named.misshapen.items()]
    faults = {"lacks": named.missing, "holds unknown": named.unexpected, "has other shapes of": misshapen}
    found = [f"{verb} {', '.join(names[:5])}{_more(names)}" for verb, names in faults.items() if names]
    if found:
        raise ValueError(
            f"{folder} does not fit {type(model).__name__}: it {' and '.join(found)}. Build the model as it was when "
            "these weights were saved, or choose a folder of this model"
        )
    return dict(sorted(named.values.items()))


def stored_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """Shapes of a folder's weights by their names in the file; only the heads of safetensors files are read.

    Empty where there are none that can be read: who has no need of the weights is not stopped by their damage.
    """
    with suppress(ValueError, OSError):
        if all(file.suffix == ".safetensors" for file in _files(folder)):
            with _stored(folder) as stored:
                return {name: tuple(tensor.get_shape()) for name, tensor in stored.items()}
    return {}


def has_weights(folder: Path) -> bool:
    """True if the folder holds a whole model's weights."""
    return any((folder / name).is_file() for kind in _KINDS for name in kind)


def _more(names: list[str]) -> str:
    return f" and {len(names) - 5} more" if len(names) > 5 else ""


@contextmanager
def _stored(folder: Path) -> Iterator[dict[str, Any]]:
    """The tensors under the file's names, safetensors' as slices that are read when they are needed."""
    files = _files(folder)
    with ExitStack() as stack:
        tensors: dict[str, Any] = {}
        for file in files:
            try:
                if file.suffix == ".safetensors":
                    opened = stack.enter_context(safe_open(file, framework="pt"))
                    tensors |= {name: opened.get_slice(name) for name in opened.keys()}  # noqa: SIM118 (no mapping)
                else:
                    tensors |= torch.load(file, map_location="cpu", weights_only=True)
            except _DAMAGES as error:
                raise DamagedWeightsError(file, error) from error
        yield {name.removeprefix("_orig_mod."): tensor for name, tensor in tensors.items()}  # torch.compile's


def _files(folder: Path) -> list[Path]:
    for single, index in _KINDS:
        if (folder / index).is_file():
            files = _shards(folder / index)
        elif (folder / single).is_file():
            files = [single]
        else:
            continue
        if lacking := [file for file in files if not (folder / file).is_file()]:
            raise FileNotFoundError(f"{folder} lacks {lacking[0]}, a part of its weights: restore it")
        return [folder / file for file in files]
    raise FileNotFoundError(f"{folder} has no {SAFE_WEIGHTS_NAME}: save the model as safetensors")


def _shards(index: Path) -> list[str]:
    weight_map = read_json_object(index).get("weight_map")
    named = list(weight_map.values()) if isinstance(weight_map, dict) else [None]
    if not all(isinstance(file, str) and file == Path(file).name for file in named):
        raise ValueError(f"{index} must map the names of weights to files beside it: {_REMEDY}")
    return sorted({str(file) for file in named})


def _class_name(folder: Path) -> str:
    """The class of a model that saved itself; "" for any other module, whose file the Trainer writes."""
    if (folder / _PIPELINE).is_file():
        return ""
    named = (read_json(folder / CONFIG_NAME, _REMEDY) or {}).get("architectures")
    return named[0] if isinstance(named, list) and named and isinstance(named[0], str) else ""


@lru_cache(maxsize=8)
def _skeleton(class_name: str, config_text: str) -> PreTrainedModel | None:
    """A model on the meta device; None if its class is not at hand, or needs more than a configuration.

    The class name is as `config.json` has it: a class of transformers, or one that is loaded.
    """
    model_class: Any = getattr(transformers, class_name, None) or _loaded_class(PreTrainedModel, class_name)
    if model_class is None or not getattr(model_class, "config_class", None):
        return None
    try:
        config = model_class.config_class.from_dict(json.loads(config_text))
        with torch.device("meta"):
            model: PreTrainedModel = model_class(config)
    except _UNBUILT:
        return None
    model.tie_weights()
    return model


def _with_tied_names(own: Mapping[str, Tensor], named: Mapping[str, Any]) -> dict[str, Any]:
    by_parameter = {id(held): named[name] for name, held in own.items() if name in named}
    tied = {name: by_parameter[id(held)] for name, held in own.items() if id(held) in by_parameter}
    return tied | dict(named)


def _loaded_class(base: type[Any], name: str) -> type[Any] | None:
    found: type[Any]
    for found in base.__subclasses__():
        if found.__name__ == name:
            return found
        if (below := _loaded_class(found, name)) is not None:
            return below
    return None
