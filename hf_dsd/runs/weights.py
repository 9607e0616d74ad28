"""The weights in a model's folder as `save_pretrained` writes it: one safetensors file, or shards with an index.

Layer: safetensors.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from safetensors import safe_open
from torch import Tensor
from transformers.utils import SAFE_WEIGHTS_INDEX_NAME, SAFE_WEIGHTS_NAME

from hf_dsd.files import read_json_object


class WeightFile:
    """The tensors of a model's folder, read when asked for; `model.safetensors` or its shards.

    Args:
        tensors: Name -> how to read it.
    """

    def __init__(self, tensors: Mapping[str, Any]) -> None:
        self._tensors = tensors

    def names(self) -> list[str]:
        """Names of the tensors, in the order of the file."""
        return list(self._tensors)

    def __contains__(self, name: str) -> bool:
        return name in self._tensors

    def read(self, name: str) -> Tensor:
        """One tensor, in the file's type."""
        tensor: Tensor = self._tensors[name]()
        return tensor


@contextmanager
def open_weights(folder: Path) -> Iterator[WeightFile]:
    """Opens the weights of a model's folder.

    Raises:
        FileNotFoundError: If there are none.
        ValueError: If the index of the shards is damaged, or names a file elsewhere.
    """
    index = folder / SAFE_WEIGHTS_INDEX_NAME
    if index.is_file():
        weight_map = read_json_object(index).get("weight_map")
        named = list(weight_map.values()) if isinstance(weight_map, dict) else [None]
        if not all(isinstance(file, str) and file == Path(file).name for file in named):
            raise ValueError(f"its {SAFE_WEIGHTS_INDEX_NAME} must map names to files beside it")
        files = sorted(set(named))
    else:
        files = [SAFE_WEIGHTS_NAME]
    if not all((folder / file).is_file() for file in files):
        raise FileNotFoundError(f"{folder} has no {SAFE_WEIGHTS_NAME}: save the model as safetensors")
    with ExitStack() as stack:
        tensors: dict[str, Any] = {}
        for file in files:
            opened = stack.enter_context(safe_open(folder / file, framework="pt"))
            tensors |= {name: partial(opened.get_tensor, name) for name in opened.keys()}  # noqa: SIM118 (no mapping)
        yield WeightFile(tensors)


def read_weights(folder: Path) -> dict[str, Tensor]:
    """All tensors of a model's folder.

    Raises:
        FileNotFoundError: If there are none.
    """
    with open_weights(folder) as file:
        return {name: file.read(name) for name in file.names()}


def has_weights(folder: Path) -> bool:
    """True if the folder holds a model's weights."""
    return any((folder / name).is_file() for name in (SAFE_WEIGHTS_NAME, SAFE_WEIGHTS_INDEX_NAME))
