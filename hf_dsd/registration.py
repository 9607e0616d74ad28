"""Registers the package's models with transformers' Auto classes as soon as transformers has them, and not before.

`import hf_dsd` must not load transformers, and yet `AutoModelForCTC.from_pretrained(...)` must know our classes,
whichever of the two was imported first. So where transformers' auto modules are not there yet, an import hook waits.
"""

import importlib
import importlib.abc
import importlib.machinery
import sys
import threading
import warnings
from collections.abc import Callable, Sequence
from types import ModuleType

AUTO_MODULE = "transformers.models.auto.configuration_auto"
"""Every Auto class needs it."""


def register_models() -> None:
    """Registers now if transformers' Auto classes are loaded, else when they will be."""
    if AUTO_MODULE in sys.modules:
        _import_models()
    elif not any(isinstance(finder, _AutoClassesHook) for finder in sys.meta_path):
        sys.meta_path.insert(0, _AutoClassesHook())


def _import_models() -> None:
    """Imports `hf_dsd.models`, which registers its classes."""
    try:
        importlib.import_module("hf_dsd.models")
    except ImportError as error:
        # Raised here it would end an import of transformers that may have nothing to do with our models.
        warnings.warn(f"hf_dsd's models are not registered with transformers' Auto classes: {error}", stacklevel=2)


class _AutoClassesHook(importlib.abc.MetaPathFinder):
    """Follows imports inside transformers, and registers when the outermost one that loaded Auto classes has ended.

    Earlier would be too early: our modeling files import modules of transformers that are half executed until then.
    """

    def __init__(self) -> None:
        self._nesting = threading.local()

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Lets the other finders find a module of transformers, and counts while it is executed."""
        if name.partition(".")[0] != "transformers":
            return None
        for finder in sys.meta_path:
            spec = None if finder is self else finder.find_spec(name, path, target)
            if spec is not None:
                if spec.loader is not None:
                    # On the instance: whoever asks for a module's loader still gets one of the usual type.
                    spec.loader.exec_module = self._counted(spec.loader.exec_module)  # type: ignore[assignment, method-assign]
                return spec
        return None

    def _counted(self, execute: Callable[[ModuleType], None]) -> Callable[[ModuleType], None]:
        def exec_module(module: ModuleType) -> None:
            depth = getattr(self._nesting, "depth", 0)
            self._nesting.depth = depth + 1
            try:
                execute(module)
            finally:
                self._nesting.depth = depth
            if depth == 0 and AUTO_MODULE in sys.modules and self in sys.meta_path:
                sys.meta_path.remove(self)
                _import_models()

        return exec_module


__all__ = ["register_models"]
