"""The configuration of the model that a user names, or what is there instead."""

import logging
import os
from pathlib import Path

from huggingface_hub.errors import StrictDataclassError
from huggingface_hub.utils import logging as hub_logging
from transformers import AutoConfig, PreTrainedConfig
from transformers.utils import CONFIG_NAME

logger = logging.getLogger(__name__)

UNUSABLE = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RuntimeError,
    StrictDataclassError,
)
"""What transformers raises on a configuration that is damaged, or is JSON and makes no model or processor."""


def read_config(name_or_path: str | Path) -> PreTrainedConfig:
    """Reads the configuration of a model, a folder's or one's on the Hub, by name.

    Raises:
        OSError: If there is no configuration; says which models a run's folder holds.
        ValueError: If the configuration's model type is unknown, or something else is in the place of a folder.
    """
    folder = Path(name_or_path)
    if os.path.lexists(folder) and not folder.is_dir() and folder.suffix != ".json":
        what = "a link to nowhere" if folder.is_symlink() else "a file"
        raise ValueError(f"{folder} is {what}, not a model's folder: give a folder that save_pretrained has written")
    if not os.path.lexists(folder) and (folder.is_absolute() or len(folder.parts) > 2):  # the Hub's are user/name
        raise FileNotFoundError(f"{folder} is not there: give a folder that save_pretrained has written")
    if folder.is_dir() and not (folder / CONFIG_NAME).is_file():
        models = sorted(str(path.parent) for path in folder.glob(f"*/{CONFIG_NAME}"))
        remedy = f"give one of {', '.join(models)}" if models else "give a folder that save_pretrained has written"
        raise FileNotFoundError(f"{folder} holds no {CONFIG_NAME}: {remedy}")
    if not os.path.lexists(folder):
        logger.warning("there is no folder %s: looking for a model of this name on the Hub", folder)
    told = hub_logging.get_verbosity()
    hub_logging.set_verbosity(logging.ERROR)  # a line for each of its retries; the error that follows says why
    try:
        return AutoConfig.from_pretrained(name_or_path)
    except OSError as error:
        if os.path.lexists(folder):
            raise
        raise OSError(f"there is no folder {folder}, and the Hub gave none: {error}") from error
    finally:
        hub_logging.set_verbosity(told)
