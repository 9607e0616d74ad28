"""`hf-dsd sensitivity`: runs a training script, which has the data, for its measurement alone."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

INTERRUPTED = 130


def sensitivity_command(script: Sequence[str], options: dict[str, Any]) -> int:
    """Runs `SCRIPT ITS_OPTIONS --sensitivity JSON`, which prints the table, and returns its exit status.

    The JSON holds those fields of `SensitivityOptions` that are not None.

    Raises:
        ValueError: If no script is given, or it is no file.
    """
    if not script:
        raise ValueError("give a training script and its arguments after --, as it was trained")
    if not Path(script[0]).is_file():
        raise ValueError(f"{script[0]} is no file: give a training script after --, with its arguments")
    given = {name: value for name, value in options.items() if value is not None}
    command = [sys.executable, *script, "--sensitivity", json.dumps(given)]
    try:
        return subprocess.run(command, check=False).returncode
    except KeyboardInterrupt:
        return INTERRUPTED


def fractions(text: str | None) -> list[float] | None:
    """Fractions that are written with spaces or commas between them; None of None.

    Raises:
        ValueError: If one is no number.
    """
    if text is None:
        return None
    try:
        return [float(word) for word in text.replace(",", " ").split()]
    except ValueError as error:
        raise ValueError(f"sparsities must be fractions such as '0.2 0.4 0.6', got {text!r}") from error
