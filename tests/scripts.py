"""Runs a script of the project as a user would: in a process of its own."""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).parent.parent


def run(*command: str | Path, **variables: str) -> str:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", **variables}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout
