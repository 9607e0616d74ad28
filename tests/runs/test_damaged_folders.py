"""Damaged folders of runs: every command names the file, or passes over it and says so, or is right all the same."""

import re
import subprocess
import sys
from pathlib import Path

COUNT = 12  # tests/benchmarks/check_damaged_folders.py takes 300


def test_nothing_is_silent_and_nothing_bare(tmp_path: Path) -> None:
    """In a process of its own: its forks must not inherit the threads of this one."""
    script = Path(__file__).parents[1] / "benchmarks" / "check_damaged_folders.py"
    command = [sys.executable, script, tmp_path / "folders", str(COUNT), "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [line for line in done.stdout.splitlines() if line.startswith("| ")][1:]  # libraries may print, too
    counts = [re.findall(r"\d+", row) for row in rows]
    assert len(counts) == 9
    assert sum(int(number) for numbers in counts for number in numbers[:6]) == COUNT * 7
