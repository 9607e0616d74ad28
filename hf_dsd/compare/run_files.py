"""The file in which a comparison notes how a run ended, `seed-S/ARM.json`."""

from pathlib import Path
from typing import Any

from hf_dsd.files import read_json


def status_file(out: Path, seed: int, arm: str) -> Path:
    """Where the runner notes how an arm's run with a seed ended."""
    return out / f"seed-{seed}" / f"{arm}.json"


def read_status(out: Path, seed: int, arm: str) -> dict[str, Any]:
    """How a run ended when it was last at work; empty if it never was.

    Raises:
        ValueError: If the file is damaged.
    """
    return read_json(status_file(out, seed, arm), "remove it, and the same command goes on with that run") or {}
