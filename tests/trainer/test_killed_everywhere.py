"""Runs and commands that are killed at their file events, and started again: each ends like what nobody killed."""

import subprocess
import sys
from pathlib import Path

EVERY = 67  # of about 1,500 events; tests/benchmarks/kill_everywhere.py takes all of them
KINDS = 11


def test_what_is_killed_at_a_file_event_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    """In a process of its own: its forks must not inherit the threads of this one."""
    script = Path(__file__).parents[1] / "benchmarks" / "kill_everywhere.py"
    done = subprocess.run(
        [sys.executable, script, tmp_path, str(EVERY)], capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(" file events, 0 differ") == KINDS
