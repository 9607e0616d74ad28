"""A slice of the damaged folders of tests/benchmarks/check_bad_data.py."""

import runpy
from pathlib import Path

import pytest

CHECK = runpy.run_path(str(Path(__file__).parents[1] / "benchmarks" / "check_bad_data.py"))


@pytest.mark.parametrize("start", range(1000, 1040, 10))
def test_damaged_folders_are_refused_or_read_rightly(start):
    found = [CHECK["try_case"](seed) for seed in range(start, start + 10)]
    assert [case for case in found if case[1] not in ("clear", "right")] == []
