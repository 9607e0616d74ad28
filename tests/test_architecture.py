"""The package's architecture as a test: who may import whom, and what from outside."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "hf_dsd"

# Folder or file -> those of ours that it may import: arrows point down the house.
RUN = {"files", "engine", "runs", "trainer"}
PARTS = {"models", "metrics", "data"}
ALLOWED: dict[str, set[str]] = {
    "files": set(),
    "engine": {"files"},
    "runs": {"files", "engine"},
    "models": set(),
    "metrics": set(),
    "data": {"files"},
    "registration": {"models"},
    "trainer": {"files", "engine", "runs", "metrics"},
    "command_error": set(),
    "inspection": {"engine", "models", "runs"},
    "compare": RUN | PARTS | {"command_error"},
    "sensitivity": RUN | PARTS | {"command_error"},
    "report": RUN | PARTS | {"compare"},
    "hub": RUN | PARTS | {"compare", "report", "command_error"},
    "demo": RUN | PARTS | {"compare", "report"},
    "cli": RUN | PARTS | {"command_error", "inspection", "sensitivity", "compare", "report", "hub", "demo"},
    "__main__": {"cli"},
}

# Folder or file -> the packages that it may import; one that is not here may import any.
OUTSIDE: dict[str, set[str]] = {
    "command_error": {"typer", "rich"},
    "files": set(),
    "registration": set(),
    "engine": {"torch", "numpy", "safetensors", "deepspeed"},
}


def owner(file: Path) -> str:
    """The module or subpackage of hf_dsd that a file belongs to."""
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


def files_of(module: str) -> list[Path]:
    folder = PACKAGE / module
    return sorted(folder.rglob("*.py")) if folder.is_dir() else [PACKAGE / f"{module}.py"]


def imports(source: str, file: Path) -> set[str]:
    """Absolute dotted names of everything that a source imports, wherever in it: `hf_dsd.x` for `from .x import y`.

    Names are cut where the module ends and the object begins only for our own modules: `from . import x` is `hf_dsd.x`.
    """
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = file.relative_to(ROOT).parts[: -node.level] if node.level else ()
            module = ".".join((*above, *filter(None, [node.module])))
            names |= {f"{module}.{alias.name}" for alias in node.names} if module == "hf_dsd" else {module}
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) in DYNAMIC:
            names |= {arg.value for arg in node.args[:1] if isinstance(arg, ast.Constant)}
    return names


DYNAMIC = {"import_module", "__import__"}


def ours(names: set[str]) -> set[str]:
    """Of imported names, the modules of ours (`hf_dsd` itself where the package's root is imported)."""
    return {name.split(".")[1] if "." in name else name for name in names if name.split(".")[0] == "hf_dsd"}


def outside(names: set[str]) -> set[str]:
    """Of imported names, the packages that are neither ours nor Python's own."""
    return {name.split(".")[0] for name in names} - {"hf_dsd"} - sys.stdlib_module_names


@pytest.mark.parametrize(
    ("source", "file", "expected"),
    [
        ("from .masks import x", "engine.py", {"masks"}),
        ("from . import masks, DSD", "engine.py", {"masks", "DSD"}),
        ("import hf_dsd", "engine.py", {"hf_dsd"}),
        ("import hf_dsd.trainer.trainer as t", "engine.py", {"trainer"}),
        ("from hf_dsd.trainer.trainer import y", "engine.py", {"trainer"}),
        ("from hf_dsd import DSDTrainer", "engine.py", {"DSDTrainer"}),
        ("from .a import x", "models/neuraltalk/b.py", {"models"}),
        ("from ...engine import DSD", "models/neuraltalk/b.py", {"engine"}),
        ("from ... import engine", "models/neuraltalk/b.py", {"engine"}),
        ("from ..trainer import x", "data/__init__.py", {"trainer"}),
        ("def f():\n    if True:\n        from .trainer import x", "masks.py", {"trainer"}),
        ("importlib.import_module('hf_dsd.trainer.trainer')", "masks.py", {"trainer"}),
        ("import torch, json\nfrom os import path", "masks.py", set()),
    ],
    ids=lambda value: value if isinstance(value, str) and "import" in value else "",
)
def test_every_way_to_import_is_seen(source, file, expected):
    assert ours(imports(source, PACKAGE / file)) == expected


def test_packages_from_outside_are_seen():
    assert outside(imports("import torch.nn, json\nfrom numpy import x\nfrom .a import b", PACKAGE / "masks.py")) == {
        "torch",
        "numpy",
    }


def test_every_module_has_a_rule():
    modules = {owner(file) for file in PACKAGE.rglob("*.py")} - {"__init__"}
    assert sorted(modules - ALLOWED.keys()) == []


@pytest.mark.parametrize("module", [module for module in ALLOWED if files_of(module)[0].exists()])
def test_imports_point_down_the_house(module):
    for file in files_of(module):
        imported = ours(imports(file.read_text(encoding="utf-8"), file))
        assert sorted(imported - ALLOWED[module] - {module}) == [], file


@pytest.mark.parametrize("module", OUTSIDE)
def test_the_core_needs_little_from_outside(module):
    for file in files_of(module):
        assert sorted(outside(imports(file.read_text(encoding="utf-8"), file)) - OUTSIDE[module]) == [], file


def test_the_rules_have_no_cycle():
    placed: set[str] = set()
    while ready := {module for module in ALLOWED.keys() - placed if ALLOWED[module] <= placed}:
        placed |= ready
    assert sorted(ALLOWED.keys() - placed) == []


def test_no_file_is_named_after_nothing():
    empty_names = {"utils", "util", "common", "base", "helpers", "misc"}
    folders = [PACKAGE, ROOT / "tests", ROOT / "examples"]
    assert [str(f) for folder in folders for f in folder.rglob("*") if f.stem in empty_names] == []


# Sizes: what a reader can hold in mind.


def lines_of(file: Path) -> int:
    return len(file.read_text(encoding="utf-8").splitlines())


def test_the_root_is_a_hall_and_no_corridor():
    assert len(list(PACKAGE.glob("*.py"))) <= 8


def test_the_trainer_forwards():
    assert lines_of(PACKAGE / "trainer" / "trainer.py") < 300


def test_no_class_is_over_300_lines():
    sizes = {
        f"{file.relative_to(PACKAGE)}: {node.name}": (node.end_lineno or 0) - node.lineno + 1
        for file in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
    }
    assert {name: size for name, size in sizes.items() if size > 300} == {}


def test_few_private_methods_of_the_trainer_are_overridden():
    """Each is a promise that transformers never made."""
    from transformers import Trainer

    from hf_dsd import DSDMixin

    ours = [base for base in DSDMixin.__mro__ if base.__module__.startswith("hf_dsd.")]
    names = {name for base in ours for name in vars(base) if name.startswith("_") and not name.startswith("__")}
    assert sorted(name for name in names if callable(getattr(Trainer, name, None))) == [
        "_evaluate",
        "_hp_search_setup",
        "_load_from_checkpoint",
        "_load_optimizer_and_scheduler",
        "_push_from_checkpoint",
        "_save_rng_state",
    ]


# Circles: of files, function-level imports included.


def file_of(module: str) -> Path | None:
    """The file of one of our modules or of the module that holds a name; None for other packages."""
    path = ROOT.joinpath(*module.split("."))
    for found in (path.with_suffix(".py"), path / "__init__.py"):
        if found.is_file():
            return found
    return file_of(module.rpartition(".")[0]) if "." in module else None


def file_imports(file: Path) -> set[Path]:
    """The files of ours that a file imports; packages' `__init__` only where a name of theirs is meant."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            above = file.relative_to(ROOT).parts[: -node.level] if node.level else ()
            module = ".".join((*above, *filter(None, [node.module])))
            if module.split(".")[0] == "hf_dsd":
                found |= {file_of(f"{module}.{alias.name}") for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {file_of(alias.name) for alias in node.names if alias.name.split(".")[0] == "hf_dsd"}
    return {path for path in found if path is not None and path != file}


def test_no_file_is_in_a_circle():
    waiting = {file: file_imports(file) for file in PACKAGE.rglob("*.py")}
    while ready := [file for file, needed in waiting.items() if not needed & waiting.keys()]:
        for file in ready:
            del waiting[file]
    assert sorted(str(file.relative_to(PACKAGE)) for file in waiting) == []


ENGINE = ("transformers", "datasets", "torch.distributed.tensor")  # the last takes half a second
READERS = ("transformers.trainer", "datasets", "evaluate", "peft")


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("hf_dsd.engine.dsd", ENGINE),
        ("hf_dsd.engine.zero_weights", ENGINE),
        ("hf_dsd.files", (*ENGINE, "torch")),
        ("hf_dsd.runs.run", READERS),
        ("hf_dsd.compare", READERS),
        ("hf_dsd.report.page", READERS),
        ("hf_dsd.hub", READERS),
    ],
)
def test_what_takes_seconds_to_load_is_loaded_by_who_needs_it(module, unwanted):
    code = f"import sys, {module}; print([name for name in {unwanted} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
