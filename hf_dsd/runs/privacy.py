"""What may leave the machine of a command line, a file's content or an error: no secret, no folder's name."""

import json
import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from hf_dsd.files import parse_json

HIDDEN = "***"
_SECRETS = {"token", "key", "apikey", "password", "passwd", "passphrase", "pwd", "secret", "auth"}
_SECRETS |= {"credential", "cred", "cookie", "bearer", "pat", "signature", "jwt", "sas", "otp", "pin", "passcode"}
_SECRETS |= {"psw", "pw", "session"}
_LOGINS = ("user", "login", "proxy")
"""Options whose value is a secret if it is a name and a password: `--user me:abc`."""
_ENDINGS = ("token", "apikey", "accesskey", "secretkey", "password", "passwd", "pwd", "secret", "authorization")
_OPTIONS = ("hub_token", "push_to_hub_token", "use_auth_token", "auth_token", "access_token", "api_key", "access_key")
_SHORT = {"-t", "-k", "-p", "-u"}
_SCHEMES = {"bearer", "basic", "token"}  # of the header `Authorization: Bearer ...`
_DIGESTS = re.compile(r"(revision|commit|sha\d*|hash|digest|checksum|md5)$")
_NAME_ALONE = re.compile(r"-{0,2}[A-Za-z][\w.-]*")
_PAIR = re.compile(
    r"(?<![\w.-])(?P<name>-{0,2}[A-Za-z][\w.-]*)(?P<sep>['\"]?\s*[=:]\s*)(?P<value>\"[^\"]*\"|'[^']*'|[^\s,;&'\"}\])]+)"
)
_OPTION_WITHIN = re.compile(r"(?<!\S)(--?[A-Za-z][\w.-]*)(\s+)(?!-)(\S+)")  # of a command line within an argument
_WORD = re.compile(r"[A-Za-z0-9_+=-]{8,}(?:\.[A-Za-z0-9_-]{8,})*")
_UUID = re.compile(r"(?i)\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
# Tokens that tell by their beginning whose they are: hf_ (also of organisations and of OAuth), OpenAI, GitHub, GitLab,
# Slack, AWS, Google, npm, PyPI, Stripe, and signed JSON. `hf_transfer` and `sk-learn` are none.
_BODY = r"(?:[A-Za-z0-9_-]{16,}|(?=[A-Za-z0-9_-]*(?:[A-Z]|\d\w*\d\w*\d))[A-Za-z0-9_-]{6,})"
_TOKENS = re.compile(
    rf"(?:(?<![A-Za-z0-9])|(?<=\\[nrt]))(?:hf_(?:[a-z]+_)?(?:[A-Za-z0-9]{{16,}}|(?=[A-Za-z0-9]*(?:[A-Z]|\d[A-Za-z]*\d[A-Za-z]*\d))"
    rf"[A-Za-z0-9]{{6,}})|(?:sk|glpat|xox[a-z]|pypi)-{_BODY}|(?:api_org|gh[a-z]|github_pat|npm|[sr]k_live|gsk|r8)_{_BODY}"
    r"|A[KS]IA[0-9A-Z]{12,}|AIza[\w-]{20,}|ya29\.[\w-]{8,}|eyJ[\w-]{8,}\.[\w-]{8,})"
)
_HUB_TOKEN = re.compile(r"hf_(?:[a-z]+_)?[A-Za-z0-9]{30,}")  # whatever stands before it, such as JSON's \u001b
# Before `token`: a symbol of a tokenizer's vocabulary, `--word_delimiter_token`, which decides what a run does.
_SYMBOLS = {"pad", "unk", "bos", "eos", "cls", "sep", "mask", "delimiter", "blank", "start", "end", "special"}
_SYMBOLS |= {"image", "audio", "video", "new", "added", "additional", "blank", "boi", "eoi", "prompt", "stop"}

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


def holds_token(text: str) -> bool:
    """Whether a text holds a token of a known kind, so long and mixed that no word of a text is taken for one."""
    found = (match[0] for match in _TOKENS.finditer(text))
    is_mixed = any(len(token) >= 20 and len(re.findall(r"\d", token)) > 1 for token in found)
    return is_mixed or _HUB_TOKEN.search(text) is not None


def without_secrets(arguments: Sequence[str]) -> list[str]:
    """A command line without tokens, keys and passwords, each replaced by `***`: what is recorded may be published.

    Names are judged and values are: a secret by its name is hidden whatever it looks like, and what looks like one is
    hidden whatever it is called. Numbers, paths, rates and the symbols of a tokenizer stay.
    """
    kept: list[str] = []
    hidden = ""  # what the next argument is the value of: a secret's name, or a key block that has not ended
    for argument in arguments:
        if "-----BEGIN" in argument or hidden == "block":
            kept.append(HIDDEN)
            hidden = "" if "-----END" in argument else "block"
            continue
        is_option = re.match(r"--?[A-Za-z]", argument) is not None
        if hidden and not is_option:
            kept.append(_without_values(argument) if _is_harmless(hidden, argument) else HIDDEN)
            hidden = hidden if hidden.lower().endswith("s") else ""
            hidden = "bearer" if argument.lower() in _SCHEMES else hidden
            continue
        name, equals, value = argument.partition("=")
        if equals and _NAME_ALONE.fullmatch(name) and _is_secret(name) and not _is_harmless(name, value):
            kept.append(f"{name}={HIDDEN}")
        else:
            of, text = (name, value) if equals else (kept[-1] if kept else "", argument)
            is_digest = _DIGESTS.search(of.lower()) and re.fullmatch("[0-9a-f]{7,64}", text)
            kept.append(argument if is_digest else _without_values(argument))
        is_waiting = not equals and (is_option or argument.endswith(":") or argument.lower() in _SCHEMES)
        hidden = argument.rstrip(":") if is_waiting and _is_secret(argument.rstrip(":")) else ""
    return kept


def _is_secret(name: str) -> bool:
    """By its last whole word: `--max_token_length`, `--tokenizer_name` and `--key_frames` decide what a run does."""
    if name in _SHORT or name.endswith(_LOGINS):
        return True
    plain = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name.lstrip("-")).lower()
    words = [word for word in re.split(r"[^a-z0-9]+", plain) if word]
    if words and words[-1] in {"value", "string", "str", "id"}:
        words.pop()
    last = words[-1] if words else ""
    before = words[-2] if len(words) > 1 else last.partition("tok")[0]
    if before in _SYMBOLS and last.removeprefix(before).startswith("tok"):
        return False
    # argparse takes every beginning of an option for the option: `--hub_t`, `--passw`.
    begins = any(option.startswith("_".join(words)) for option in _OPTIONS) and len(plain) > 2
    begun = len(last) > 2 and any(secret.startswith(last) for secret in _SECRETS)
    return begins or begun or last.removesuffix("s") in _SECRETS or last.removesuffix("s").endswith(_ENDINGS)


def _is_harmless(name: str, value: Any) -> bool:
    """Whether a value under a secret's name can be no secret: a flag, a fraction, a symbol's number, a count."""
    text = str(value).lower()
    if text in {"", "true", "false", "none", "null"}:
        return True
    if name.endswith(_LOGINS):
        return re.fullmatch(r"[^\s/:@]+:[^\s/]+", text) is None or (
            name.endswith("proxy") and re.fullmatch(r"[\w.-]+:\d{1,5}", text) is not None
        )
    if name.lower().endswith(("_id", "-id", "tokens", "keys")) or name in _SHORT:
        return re.fullmatch(r"-?\d{1,7}(\.\d+)?", text) is not None or (name == "-u" and ":" not in text)
    return isinstance(value, float) and 0 <= value <= 1  # a sparsity: {"attention.key": 0.5}


def _without_values(text: str) -> str:
    """An argument without what looks like a secret; JSON is looked into, and stays as it is written without any."""
    if text[:1] in ("{", "["):
        try:
            content = parse_json(text)
        except ValueError:  # of a key that appears twice, a dictionary would hide the first value from us
            pass
        else:
            public = _public_json(content)
            return text if public == content else json.dumps(public, ensure_ascii=False)
    text = re.sub(r"^(-[a-z])(\w{8,})$", lambda found: found[1] + _without_values(found[2]), text)
    text = re.sub(r"://[^/\s@]+@", f"://{HIDDEN}@", text)
    text = re.sub(r"(?<![\w.:/-])[\w.-]+:[^\s/:@]+@(?=[\w-]+[.:])", f"{HIDDEN}@", text)
    text = _OPTION_WITHIN.sub(lambda found: f"{found[1]}{found[2]}{_hidden(found[1], found[3])}", text)
    text = re.sub(r"(?i)\b(bearer)\s+[^\s'\"]+", rf"\1 {HIDDEN}", text)
    text = re.sub(r"(?i)\b((?:proxy-)?authorization|(?:set-)?cookie)(\s*[=:]\s*)[^'\"\n]+", rf"\1\2{HIDDEN}", text)
    return _WORD.sub(lambda found: HIDDEN if _looks_secret(found[0]) else found[0], _PAIR.sub(_public_pair, text))


def _hidden(name: str, value: str) -> str:
    return HIDDEN if _is_secret(name) and not _is_harmless(name, value) else value


def _public_json(content: Any, name: str = "") -> Any:
    if isinstance(content, dict):
        return {_without_values(key): _public_json(item, key) for key, item in content.items()}
    if isinstance(content, list):
        return [_public_json(item, name) for item in content]
    if name and _is_secret(name) and content is not None and not _is_harmless(name, content):
        return HIDDEN
    return _without_values(content) if isinstance(content, str) else content


def _public_pair(found: re.Match[str]) -> str:
    name, value = found["name"], found["value"]
    is_kept = not _is_secret(name) or _is_harmless(name, value.strip("'\""))
    return f"{name}{found['sep']}{_PAIR.sub(_public_pair, value) if is_kept else HIDDEN}"


def _looks_secret(word: str) -> bool:
    """Whether a word is a token of a known kind, or a long one that no person would have chosen."""
    if _TOKENS.search(word) or _UUID.search(word):
        return True
    return any(_is_random(part, 12) for part in re.split(r"[-_+=]", word) if len(part) >= 16) or _is_random(word, 22)


def _is_random(word: str, length: int) -> bool:
    """Whether what is left of a word without its pronounceable parts is long and changes its kind of letter often."""
    rest = re.sub(r"[^A-Za-z0-9]", "", re.sub(r"(?=[a-z]*[aeiouy])[a-z]{5,}", "", word))
    if len(word) >= 32 and word.isalpha() and word.islower():
        return True
    kinds = ["0" if letter.isdigit() else "A" if letter.isupper() else "a" for letter in rest]
    changes = sum(one != other for one, other in pairwise(kinds)) / max(len(kinds) - 1, 1)
    if kinds.count("0") < 2:
        return len(rest) >= length + 2 and min(kinds.count("A"), kinds.count("a")) >= 4 and changes >= 0.4
    return len(rest) >= length and len(set(kinds)) > 1 and changes >= (0.25 if length < 20 else 0.5)


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
