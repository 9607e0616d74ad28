"""What may leave the machine of a command line, a file's content or an error: no secret, no folder's name."""

import re
from collections.abc import Sequence
from typing import Any

_SECRETS = {"token", "key", "apikey", "password", "passwd", "secret"}
# Before `token`: a symbol of a tokenizer's vocabulary, `--word_delimiter_token`, which decides what a run does.
_SYMBOLS = {"pad", "unk", "bos", "eos", "cls", "sep", "mask", "delimiter", "blank", "start", "end", "special"}
_SYMBOLS |= {"image", "audio", "video"}

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


def without_secrets(arguments: Sequence[str]) -> list[str]:
    """A command line whose tokens, keys and passwords are left out: the summary is made to be published."""
    kept, hide_next = [], False
    for argument in arguments:
        name, equals, _ = argument.partition("=")
        secret = _is_secret(name)
        kept.append(
            "***" if hide_next and not argument.startswith("-") else f"{name}=***" if secret and equals else argument
        )
        hide_next = secret and not equals
    return kept


def _is_secret(option: str) -> bool:
    """By its last whole word: `--max_token_length`, `--tokenizer_name` and `--key_frames` decide what a run does."""
    if not option.startswith("-"):
        return False
    *_, before, last = ["", *re.split("[-_]+", option.lower())]
    return last in _SECRETS and not (last == "token" and before in _SYMBOLS)


class SecretText(str):
    """A string that is pickled as None; copies within the process keep it."""

    def __reduce_ex__(self, protocol: Any) -> tuple[type, tuple[()]]:
        return type(None), ()

    def __copy__(self) -> "SecretText":
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> "SecretText":
        return self


def keep_out_of_pickles(owner: Any, field: str) -> None:
    """Makes a text field of an object one that is pickled as None."""
    value = getattr(owner, field)
    if value is not None:
        setattr(owner, field, SecretText(value))
