"""A lower bound in pyproject.toml is a promise: what it names is what the tests of the oldest versions install."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
REQUIREMENT = re.compile(r'"([A-Za-z0-9_.-]+)>=([0-9.]+)[^"]*"')
NOT_AT_THE_BOUND = {"torch"}  # the lock file's header says why
EXTRAS_TESTED = ("encoder", "test")


def pins(name: str) -> dict[str, str]:
    lines = (ROOT / name).read_text().splitlines()
    return {normalised(n): v for n, v in (line.split("==") for line in lines if line and not line.startswith("#"))}


def normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def bounds() -> list[tuple[str, str]]:
    text = (ROOT / "pyproject.toml").read_text()
    core = text.split("\ndependencies = [")[1].split("\n]")[0]
    extras = re.findall(rf"^(?:{'|'.join(EXTRAS_TESTED)}) = (\[.*\])", text, re.MULTILINE)
    assert len(extras) == len(EXTRAS_TESTED)
    return [(normalised(n), v) for n, v in REQUIREMENT.findall("\n".join([core, *extras]))]


def numbers(version: str) -> list[int]:
    parts = [int(part) for part in version.split(".")]
    return [*parts, *[0] * (4 - len(parts))]


def test_the_oldest_lock_file_is_at_the_lower_bounds():
    oldest = pins("constraints-oldest.txt")
    found = {name: oldest[name] for name, _ in bounds()}
    wrong = {n: (v, found[n]) for n, v in bounds() if n not in NOT_AT_THE_BOUND and numbers(found[n]) != numbers(v)}
    assert not wrong
    assert len(found) == len(bounds()) >= 20  # and nothing is named twice


def test_the_newest_lock_file_has_all_that_is_named():
    text = (ROOT / "pyproject.toml").read_text()
    named = {normalised(name) for name, _ in REQUIREMENT.findall(text)}
    assert named - pins("constraints.txt").keys() == {"torchvision", "timm"}
    assert named - pins("constraints-vision.txt").keys() == {"ipykernel", "nbclient"}  # of `dev`, which it installs not
