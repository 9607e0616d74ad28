"""Fails if what is installed for this Python is not pinned so: python .ci/check_pins.py constraints.txt."""

import importlib.metadata
import re
import sys
from pathlib import Path

OWN = {"hf-dsd", "pip", "setuptools", "wheel"}  # the package itself, and what a new virtual environment may come with


def normalised(name: str) -> str:
    """A package's name as PyPI compares names."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned(lock: Path) -> dict[str, str]:
    """Name -> version of a lock file."""
    lines = [line for line in lock.read_text().splitlines() if line and not line.startswith("#")]
    return {normalised(name): version for name, version in (line.split("==") for line in lines)}


def installed() -> dict[str, str]:
    """Name -> version of every package that this Python sees."""
    found = importlib.metadata.distributions()
    return {normalised(each.metadata["Name"]): each.version.split("+")[0] for each in found}  # 2.13.0+cpu is 2.13.0


def main() -> None:
    """Compares the two."""
    lock = Path(sys.argv[1])
    pins = pinned(lock)
    wrong = [
        f"{name}=={version}" + (f" (pinned: {pins[name]})" if name in pins else " (not pinned)")
        for name, version in sorted(installed().items())
        if name not in OWN and pins.get(name) != version
    ]
    if wrong:
        sys.exit(f"installed, but not as {lock} says: {', '.join(wrong)}")


if __name__ == "__main__":
    main()
