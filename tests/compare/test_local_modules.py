"""Which files beside a script decide what it does, and that a change of one is another recipe."""

from pathlib import Path

import pytest

from hf_dsd.compare import ScriptRuns
from hf_dsd.compare.recipe import module_digests

FILES = {
    "train.py": "import json, helper as h\nfrom package.part import x\ndef f():\n    from late import y\n",
    "helper.py": "import train\nimport deep.er\nimport torch\n",  # a circle ends
    "late.py": "",
    "unused.py": "",
    "json.txt": "",
    "deep/er.py": "",
    "package/__init__.py": "from . import beside\n",
    "package/part.py": "from .beside import z\nfrom ..above import w\nfrom . import other\n",
    "package/beside.py": "",
    "package/other.py": "def broken(:\n",
    "package/unused.py": "",
    "above.py": "",
}


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """A script with modules of its own."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path / "train.py"


def test_imported_files_of_the_scripts_folder(script: Path) -> None:
    found = list(module_digests(script))
    parts = ["package/__init__.py", "package/beside.py", "package/other.py", "package/part.py"]
    assert found == ["above.py", "deep/er.py", "helper.py", "late.py", *parts]


def test_a_script_by_itself_has_none(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("import json, torch.nn\nfrom hf_dsd import DSDTrainer\n")
    assert module_digests(tmp_path / "train.py") == {}


def test_a_changed_module_is_another_recipe(script: Path, tmp_path: Path) -> None:
    def look() -> list[str]:
        runs = ScriptRuns([str(script), "--lr", "0.1"], ["dsd"], [1], tmp_path / "out")
        return [job.digest for job in runs.plan()]

    first = look()
    (tmp_path / "out" / "seed-1" / "dsd").mkdir(parents=True)
    (tmp_path / "unused.py").write_text("LR = 1\n")
    assert look() == first
    (tmp_path / "deep" / "er.py").write_text("LR = 1\n")
    (tmp_path / "late.py").unlink()
    with pytest.raises(ValueError, match=r"another recipe \(the local modules deep/er\.py, late\.py changed\)"):
        look()
