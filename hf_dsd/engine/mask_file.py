"""What a checkpoint holds to continue a DSD run: two files, written whole and read checked.

* `dsd_masks.safetensors`: the bit-packed masks of the phase that the checkpoint lies in (none in a dense phase); its
  header has the weights' shapes and a digest of it all;
* `dsd_state.json`: the engine's state and what its caller adds (`extra`), a digest of that, and the masks' digest, so
  that two files of different steps are not taken for one state.

Version 0.1.0 wrote one file, with the state in the header of the masks; it is read, too.
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

from hf_dsd.files import read_json, write_json, written_whole

from .masks import masks_digest

STATE_FILE_NAME = "dsd_masks.safetensors"
META_FILE_NAME = "dsd_state.json"
_REMEDY = "resume from an earlier checkpoint"


def write_state_file(folder: str | os.PathLike[str], masks: dict[str, Tensor], meta: dict[str, Any]) -> Path:
    """Writes packed masks (name -> uint8) and JSON-ready `meta` into a checkpoint's folder; returns the masks' path.

    The `shapes` of `meta` (parameter name -> shape) go into the masks' file.
    """
    folder = Path(folder)
    state = json.loads(json.dumps(meta))  # fails before a file is touched, and makes keys what a reader will get
    shapes = json.dumps(state.pop("shapes", {}))
    digest = _digest(masks, shapes)
    folder.mkdir(parents=True, exist_ok=True)
    with written_whole(folder / STATE_FILE_NAME) as partial:
        save_file(masks, partial, metadata={"format": "pt", "shapes": shapes, "digest": digest})
    state["masks_digest"] = digest
    write_json(folder / META_FILE_NAME, {**state, "digest": _state_digest(state)})
    return folder / STATE_FILE_NAME


def read_state_file(folder: str | os.PathLike[str]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Reads what `write_state_file` wrote: packed masks and state.

    Raises:
        FileNotFoundError: If the folder lacks one of the files.
        ValueError: If a file is damaged, was not written by hf_dsd, or belongs to the other one's earlier version.
    """
    path = Path(folder) / STATE_FILE_NAME
    masks, metadata = _read_masks(path)
    covered = metadata.get("shapes", metadata.get("dsd"))
    if covered is None or "digest" not in metadata:
        raise ValueError(f"{path} was not written by hf_dsd: resume from a checkpoint that DSDTrainer wrote")
    is_packed = all(mask.dtype == torch.uint8 for mask in masks.values())
    if not is_packed or metadata["digest"] != _digest(masks, covered):
        raise ValueError(f"{path} is damaged (its content does not match its digest): {_REMEDY}")
    if "shapes" not in metadata:  # version 0.1.0's
        return masks, json.loads(covered)
    state = _read_state(Path(folder) / META_FILE_NAME, metadata["digest"])
    return masks, {**state, "shapes": json.loads(covered)}


def _read_masks(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is missing: a DSD run cannot resume without its masks. Resume from a checkpoint that DSDTrainer "
            "wrote, or start from these weights with a first phase of length 0"
        )
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged ({error}): {_REMEDY}") from error


def _read_state(path: Path, digest_of_masks: str) -> dict[str, Any]:
    state = read_json(path, _REMEDY)
    if state is None:
        raise FileNotFoundError(
            f"{path} is missing: the masks beside it are only a part of a DSD run's state; {_REMEDY}"
        )
    if state.pop("digest", None) != _state_digest(state):
        raise ValueError(f"{path} is damaged (its content does not match its digest): {_REMEDY}")
    if state.pop("masks_digest", None) != digest_of_masks:
        raise ValueError(f"{path} is damaged (it belongs to other masks than {STATE_FILE_NAME} holds): {_REMEDY}")
    return state


def _digest(masks: dict[str, Tensor], text: str) -> str:
    return hashlib.sha256(f"{masks_digest(masks)}:{text}".encode()).hexdigest()


def _state_digest(state: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()
