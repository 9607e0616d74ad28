"""The Python files beside a training script that it imports: a change of one is a change of the recipe.

Layer: files only.
"""

import ast
import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path


def local_modules(script: Path) -> list[Path]:
    """The modules of the script's folder that it imports, anywhere in its text, and those that they import, sorted.

    Installed packages are not followed, nor is a module whose name is only known as the script runs.
    """
    root = script.resolve().parent
    found, unread = {script.resolve()}, [script.resolve()]
    while unread:
        new = set(_imported_files(unread.pop(), root)) - found
        found |= new
        unread += new
    return sorted(found - {script.resolve()})


def module_digests(script: Path) -> Mapping[str, str]:
    """Path of each local module, relative to the script's folder, -> SHA-256 of its text."""
    root = script.resolve().parent
    paths = local_modules(script)
    return {path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def _imported_files(file: Path, root: Path) -> Iterator[Path]:
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):  # the run will say it better, and its text is in the digest already
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _files_of(alias.name, root)
        elif isinstance(node, ast.ImportFrom):
            folder = file.parents[node.level - 1] if 0 < node.level <= len(file.parents) else root
            for alias in node.names:  # a name may be a module, too
                yield from _files_of(".".join(filter(None, [node.module, alias.name])), folder)


def _files_of(module: str, folder: Path) -> Iterator[Path]:
    """The files that importing `a.b.c` runs: each package's `__init__.py` and the module's own."""
    place = folder
    for name in module.split("."):
        place = place / name
        yield from (path for path in (place / "__init__.py", place.with_name(f"{name}.py")) if path.is_file())
