"""Reads the JSON files of a comparison's folder, which a person or a full disk may have damaged.

Layer: files only.
"""

import json
from pathlib import Path
from typing import Any


def read_json(path: Path, remedy: str) -> dict[str, Any] | None:
    """The object that a file holds; None where there is no file.

    Args:
        path: The file.
        remedy: What to do about a damaged one, for the error.

    Raises:
        ValueError: If it is no JSON, or no JSON object.
    """
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is damaged ({error}): {remedy}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} must hold a JSON object, got {type(content).__name__}: {remedy}")
    return content
