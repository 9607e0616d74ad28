"""Nothing private leaves the machine: paths are cut from the JSON files, and a token in any file is an error."""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .public_text import without_folders

# Files whose strings may be paths of this machine. Vocabularies are left alone: their entries may look like paths.
JSON_WITH_PATHS = (
    "config.json",
    "generation_config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "tokenizer_config.json",
    "adapter_config.json",
    "dsd_summary.json",
    "results.json",
)
_TOKEN = re.compile(rb"hf_[A-Za-z0-9]{30,}")


def without_paths(value: Any) -> Any:
    """JSON content whose texts name no folder of this machine."""
    if isinstance(value, dict):
        return {key: without_paths(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_paths(item) for item in value]
    return without_folders(value) if isinstance(value, str) else value


def clean_json(folder: Path) -> None:
    """Cuts the paths from a staged folder's JSON files; files without any stay as they are, to the byte."""
    for name in JSON_WITH_PATHS:
        path = folder / name
        if path.is_file():
            content = json.loads(path.read_text(encoding="utf-8"))
            if (public := without_paths(content)) != content:
                path.write_text(json.dumps(public, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def check_public(folder: Path, secrets: Iterable[str]) -> None:
    """Refuses to publish a file that holds a secret.

    Args:
        folder: Staged files; weights are not searched.
        secrets: Texts that may occur in none of them, such as the token in use and the run's own path.

    Raises:
        ValueError: Names the file, never the secret.
    """
    texts = [secret.encode() for secret in secrets if secret]
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or path.suffix == ".safetensors":
            continue
        content = path.read_bytes()
        if _TOKEN.search(content) or any(text in content for text in texts):
            raise ValueError(
                f"{path.relative_to(folder)} holds a token or a path of this machine: take it out of the run's folder "
                "(or of the file given with --results), then publish"
            )
