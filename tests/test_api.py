"""What users import: complete, documented."""

import ast
import importlib
from pathlib import Path
from types import ModuleType

import pytest

import hf_dsd

PACKAGE = Path(hf_dsd.__file__).parent
SUBPACKAGES = [
    ".".join(("hf_dsd", *file.parent.relative_to(PACKAGE).parts)) for file in sorted(PACKAGE.rglob("__init__.py"))
]
FILES = sorted(PACKAGE.rglob("*.py"))


def public_names(module: ModuleType) -> set[str]:
    """Names without an underscore that hold something of ours, submodules aside."""
    return {
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and not isinstance(value, ModuleType)
        and str(getattr(value, "__module__", "hf_dsd")).startswith("hf_dsd")
    }


@pytest.mark.parametrize("name", SUBPACKAGES)
def test_all_names_each_public_name_once(name):
    module = importlib.import_module(name)
    names = getattr(module, "__all__", [])  # a room within has none: its files are not what users import
    assert len(names) == len(set(names))  # their order is the linter's business (RUF022)
    assert set(names) == public_names(module)


def test_names_that_users_type():
    stable = {
        "DSD",
        "DSDTrainer",
        "DSDTrainingArguments",
        "DSDSeq2SeqTrainer",
        "DSDSeq2SeqTrainingArguments",
        "Schedule",
    }
    assert stable <= set(hf_dsd.__all__)


def undocumented(tree: ast.Module) -> list[str]:
    """Public functions, classes and methods without a docstring."""
    found = [] if ast.get_docstring(tree) else ["module"]
    scopes: list[tuple[str, ast.Module | ast.ClassDef]] = [("", tree)]
    while scopes:
        prefix, scope = scopes.pop()
        for node in scope.body:
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) or node.name.startswith("_"):
                continue
            if not ast.get_docstring(node):
                found.append(prefix + node.name)
            if isinstance(node, ast.ClassDef):
                scopes.append((f"{prefix}{node.name}.", node))
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_everything_public_has_a_docstring(file):
    assert undocumented(ast.parse(file.read_text(encoding="utf-8"))) == []


def test_missing_docstrings_are_seen():
    source = (
        '"""M."""\ndef a(): ...\ndef _b(): ...\nclass C:\n    """C."""\n    def d(self): ...\n    def _e(self): ...\n'
    )
    assert undocumented(ast.parse(source)) == ["a", "C.d"]
