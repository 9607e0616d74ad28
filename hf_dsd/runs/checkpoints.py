"""Which checkpoint of a run is whole: a process can die at any moment of writing one."""

import json
import logging
import os
from pathlib import Path
from typing import Any

from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_utils import sort_checkpoints

logger = logging.getLogger(__name__)


def last_whole_checkpoint(output_dir: str | os.PathLike[str]) -> str:
    """The newest checkpoint of a run that was written to its end.

    The Trainer writes a checkpoint's state last, after weights, optimizer, masks and random states, so a checkpoint
    without a readable `trainer_state.json` is one whose writer died. transformers' own `get_last_checkpoint` would take
    it and fail, or worse, train on with what is there.

    Args:
        output_dir: The run's folder; it may not exist.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
    """
    folders = [Path(folder) for folder in reversed(sort_checkpoints(output_dir=str(output_dir)))]
    for folder in folders:
        if read_trainer_state(folder) is not None:
            return str(folder)
        logger.warning("%s was not written to its end and is passed over", folder)
    if not folders:
        raise FileNotFoundError(f"{output_dir} holds no checkpoint: train without resume_from_checkpoint")
    names = [folder.name for folder in folders]
    raise FileNotFoundError(
        f"no checkpoint in {output_dir} was written to its end, of {names}: train without resume_from_checkpoint"
    )


def read_trainer_state(checkpoint: Path) -> dict[str, Any] | None:
    """A checkpoint's `trainer_state.json`; None where there is none that can be read, so that it is not whole.

    A run at work may be writing or removing it at this moment.
    """
    try:
        state: dict[str, Any] = json.loads((checkpoint / TRAINER_STATE_NAME).read_text(encoding="utf-8"))
    except (FileNotFoundError, UnicodeDecodeError, json.JSONDecodeError):
        return None
    return state
