"""What may leave the machine of a command line, a file's content or an error: no folder's name.

Layer: plain Python.
"""

import re
from typing import Any

# A path from the root (not an address such as https://host/x) or from a Windows drive, up to its last name.
_ABSOLUTE = re.compile(r"(?<![\w.:/~*<-])/(?:[^\s/'\"\\]+/)+(?=[^\s/'\"\\])|\b[A-Za-z]:\\(?:[^\s\\'\"]+\\)*")


def without_folders(text: str) -> str:
    """A text whose absolute paths are cut to their last name: `--data_dir /home/me/an4` becomes `--data_dir an4`."""
    return _ABSOLUTE.sub("", text)


def without_paths(value: Any) -> Any:
    """JSON content whose texts name no folder of this machine; keys stay as they are."""
    if isinstance(value, dict):
        return {key: without_paths(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_paths(item) for item in value]
    return without_folders(value) if isinstance(value, str) else value
