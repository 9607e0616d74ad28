"""Files that are written whole, and what killed processes left of them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hf_dsd.files import folder_written_whole, read_json, write_json


def test_a_writer_removes_what_a_killed_one_left_of_the_same_file(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    left = [f".a[1].json.{ended.pid}.partial", f".a[1].json.{10**30}.partial"]
    kept = [
        f".a[1].json.{os.getppid()}.partial",  # a process that lives may be at work on it
        f".b.json.{ended.pid}.partial",
        ".a[1].json.x.partial",
        ".a[1].json.partial",
    ]
    for name in left + kept:
        (tmp_path / name).write_text("{")
    write_json(tmp_path / "a[1].json", {"x": 1})
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*kept, "a[1].json"])


def test_a_pipe_is_named_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.json")
    with pytest.raises(ValueError, match=r"x\.json is damaged \(.*it is a pipe\): restore it"):
        read_json(tmp_path / "x.json", "restore it")


@pytest.mark.parametrize("target", ["itself", "nowhere", "away", ""])
def test_a_folder_is_written_over_whatever_is_in_its_place(tmp_path: Path, target: str) -> None:
    (tmp_path / "away").mkdir()
    place = tmp_path / "itself"
    place.symlink_to(target) if target else place.write_text("x")
    with folder_written_whole(place) as partial:
        partial.mkdir()
    assert (place.is_dir(), place.is_symlink()) == (True, False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["away", "itself"]
