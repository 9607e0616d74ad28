"""`dsd_masks.safetensors`: everything a checkpoint must hold to continue a DSD run, as one file.

The tensors are the bit-packed masks of the phase that the checkpoint lies in (none in a dense phase); the header's
metadata holds the rest as JSON, with a digest of it all. A file is written beside its final name and renamed, so a
reader never sees half of one.
"""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from hf_dsd.files import written_whole

from .masks import masks_digest

STATE_FILE_NAME = "dsd_masks.safetensors"


def write_state_file(folder: str | os.PathLike[str], masks: dict[str, Tensor], meta: dict[str, Any]) -> Path:
    """Writes packed masks (name -> uint8) and JSON-ready `meta` into `folder`, atomically; returns the file's path."""
    path = Path(folder) / STATE_FILE_NAME
    text = json.dumps(meta)
    metadata = {"format": "pt", "dsd": text, "digest": _digest(masks, text)}
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as partial:
        save_file(masks, partial, metadata=metadata)
    return path


def read_state_file(folder: str | os.PathLike[str]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Reads what `write_state_file` wrote: packed masks and metadata.

    Raises:
        FileNotFoundError: If the folder has no such file.
        ValueError: If the file is damaged or was not written by hf_dsd.
    """
    path = Path(folder) / STATE_FILE_NAME
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is missing: a DSD run cannot resume without its masks. Resume from a checkpoint that DSDTrainer "
            "wrote, or start from these weights with a first phase of length 0"
        )
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            masks = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged ({error}): resume from an earlier checkpoint") from error
    if "dsd" not in metadata or "digest" not in metadata:
        raise ValueError(f"{path} was not written by hf_dsd: resume from a checkpoint that DSDTrainer wrote")
    is_packed = all(mask.dtype == torch.uint8 for mask in masks.values())
    if not is_packed or metadata["digest"] != _digest(masks, metadata["dsd"]):
        raise ValueError(
            f"{path} is damaged (its content does not match its digest): resume from an earlier checkpoint"
        )
    return masks, json.loads(metadata["dsd"])


def _digest(masks: dict[str, Tensor], meta: str) -> str:
    return hashlib.sha256(f"{masks_digest(masks)}:{meta}".encode()).hexdigest()
