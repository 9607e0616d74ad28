"""What another recipe is, and what is left of the old one's runs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from run_folders import heard, write_run

from hf_dsd.compare import Comparison
from hf_dsd.compare.recipe import check_recipe

LAST = "phase-2-dense"


def base(rate: str) -> Mapping[str, Any]:
    return {"script": ["train.py", "--lr", rate], "source": "0"}


def write_compared_runs(out: Path) -> None:
    for arm, errors in (("dense", 3), ("dsd", 2)):
        write_run(out, 1, arm, {LAST: heard(errors)})
    Comparison.from_folder(out).write(out)


def test_a_verdict_goes_with_the_runs_that_it_counts(tmp_path: Path) -> None:
    arms: dict[str, dict[str, Any]] = {"dsd": {}, "dense": {"dsd_control": True}}
    check_recipe(tmp_path, base("0.1"), arms, force=False)
    write_compared_runs(tmp_path)
    check_recipe(tmp_path, base("0.1"), arms, force=True)  # the same recipe: nothing is removed
    assert (tmp_path / "comparison.json").is_file()
    check_recipe(tmp_path, base("0.2"), arms, force=True)
    assert not (tmp_path / "seed-1" / "dsd").exists()
    assert not (tmp_path / "comparison.json").exists()


def test_a_verdict_goes_with_runs_that_no_recipe_tells_of(tmp_path: Path) -> None:
    write_compared_runs(tmp_path)
    with pytest.raises(ValueError, match=r"holds runs that no recipe\.json tells of \(dense, dsd\)"):
        check_recipe(tmp_path, base("0.1"), {"dsd": {}}, force=False)
    assert (tmp_path / "comparison.json").is_file()
    check_recipe(tmp_path, base("0.1"), {"dsd": {}}, force=True)
    assert not (tmp_path / "comparison.json").exists()
