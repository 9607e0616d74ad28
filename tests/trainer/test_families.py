"""DSD on architectures of every kind: exact zeros, weights that come back, equal resumes, equal accumulation."""

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest
from families import TESTED, Family, check


@pytest.fixture(scope="module", autouse=True)
def quick_collections() -> Iterator[None]:
    """The Trainer collects garbage at each start, through all that transformers has loaded: here that is set aside."""
    yield
    gc.unfreeze()


@pytest.mark.parametrize("family", TESTED, ids=lambda family: family.name)
def test_family(tmp_path: Path, family: Family) -> None:
    family.build()  # imports what it needs
    gc.freeze()
    found = check(family, tmp_path)
    assert found == dict.fromkeys(found, True)
