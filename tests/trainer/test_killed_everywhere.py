"""Runs that are killed at their file events, one after the other, and resumed: each ends like the unbroken one."""

import subprocess
import sys
from pathlib import Path

EVERY = 13  # of about 150 events each; tests/benchmarks/kill_everywhere.py takes all of them


def test_a_run_killed_at_a_file_event_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    """In a process of its own: its forks must not inherit the threads of this one."""
    script = Path(__file__).parents[1] / "benchmarks" / "kill_everywhere.py"
    done = subprocess.run([sys.executable, script, tmp_path, str(EVERY)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(" file events, 0 runs differ") == 2
