"""The configuration of the model that a user names, or what is there instead."""

from pathlib import Path

from huggingface_hub.errors import StrictDataclassError
from transformers import AutoConfig, PreTrainedConfig
from transformers.utils import CONFIG_NAME

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
        ValueError: If the configuration's model type is unknown, or a file is in the place of a folder.
    """
    folder = Path(name_or_path)
    if folder.is_file() and folder.suffix != ".json":
        raise ValueError(f"{folder} is a file, not a model's folder: give a folder that save_pretrained has written")
    if folder.is_dir() and not (folder / CONFIG_NAME).is_file():
        models = sorted(str(path.parent) for path in folder.glob(f"*/{CONFIG_NAME}"))
        remedy = f"give one of {', '.join(models)}" if models else "give a folder that save_pretrained has written"
        raise FileNotFoundError(f"{folder} holds no {CONFIG_NAME}: {remedy}")
    return AutoConfig.from_pretrained(name_or_path)
