"""One run or one comparison as a self-contained page, `report.html`, and as figures for a paper."""

import typing as _typing
from importlib import import_module as _import_module

if _typing.TYPE_CHECKING:
    from .landscape import Landscape, Line
    from .measure_landscape import loss_landscape, measure_run_landscape
    from .page import write_report

__all__ = ["Landscape", "Line", "loss_landscape", "measure_run_landscape", "write_report"]

_MODULES = {"write_report": "page", "Landscape": "landscape", "Line": "landscape"}


def __getattr__(name: str) -> _typing.Any:
    """Loads a name when it is first used: a page is written without the trainer that measuring needs."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = _import_module(f".{_MODULES.get(name, 'measure_landscape')}", __name__)
    return globals().setdefault(name, getattr(module, name))


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
