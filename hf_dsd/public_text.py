"""What may leave the machine of a command line, a file's content or an error: no folder's name.

Layer: plain Python.
"""

import re
from typing import Any

# A path's name ends at what ends it on a command line or in a list of paths: `/a/x.csv,/b/y.csv`, `PATH=/a/x:/b/y`.
_NAME = r"[^\s/'\"\\,:;()\[\]|]+"
# Folders, up to the last name: of a path from the root (not of an address such as https://host/x, but of file:///a/b,
# and after a compiler's -I or -L), of one in quotes, which may hold spaces, of a Windows drive and of a Windows server.
_FOLDERS = re.compile(
    r"(?<=['\"])/(?:[^/'\"\n]+/)+(?=[^/'\"\n])"
    r"|(?:(?<![\w./~*<-])|(?<=file://)|(?<=\s-[IL]))"
    rf"/(?:{_NAME}/)+(?=[^\s/'\"\\])"
    r"|\b(?:[A-Za-z]:\\|[A-Z]:/)(?:[^\s\\/'\"]+[\\/])*(?=[^\s\\/'\"])"
    r"|\\\\(?:[^\s\\'\"]+\\)+"
)
# A whole argument that is a path, spaces included.
_ARGUMENT = re.compile(r"(?P<option>-{1,2}[\w-]+=)?/(?:[^/\n]+/)+(?P<name>[^/\n]*)")


def without_folders(text: str) -> str:
    """A text whose absolute paths are cut to their last name: `--data_dir /home/me/an4` becomes `--data_dir an4`."""
    return _FOLDERS.sub("", text)


def without_paths(value: Any) -> Any:
    """JSON content whose texts name no folder of this machine; keys stay as they are."""
    if isinstance(value, dict):
        return {key: without_paths(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_argument(item) if isinstance(item, str) else without_paths(item) for item in value]
    return without_folders(value) if isinstance(value, str) else value


def _argument(text: str) -> str:
    found = _ARGUMENT.fullmatch(text) if " " in text else None
    return without_folders(text) if found is None else f"{found['option'] or ''}{found['name']}"
