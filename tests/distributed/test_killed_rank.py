"""A run of two processes under the real launcher, one of which is killed: nobody waits for it for ever.

That both go on, bit for bit, is in `tests/trainer/test_killed_everywhere.py`.
"""

from pathlib import Path

import killable_script
import pytest
from launch import launch


@pytest.mark.parametrize("rank", [0, 1])
def test_the_launcher_ends_the_other_rank(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rank: int) -> None:
    monkeypatch.setenv("KILL", f"run:{[60, 2][rank]}:{rank}")
    with pytest.raises(AssertionError, match=rf"(?s)exitcode *: -9.*rank *: {rank}|rank *: {rank}.*exitcode *: -9"):
        launch(2, Path(killable_script.__file__), *killable_script.OPTIONS, "--output_dir", tmp_path / "run")
    assert any((tmp_path / "run").iterdir())
