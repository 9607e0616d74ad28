"""A file that must hold a JSON object.

Layer: files only.
"""

import json
from pathlib import Path
from typing import Any


def read_json_object(path: Path) -> dict[str, Any]:
    """Reads it.

    Raises:
        ValueError: If the file is cut off, is no text, or holds something else; the message says what, not where.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"it must hold a JSON object, got {type(content).__name__}")
    return content
