"""One run or one comparison as a self-contained page, `report.html`, and as figures for a paper."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .landscape import Landscape, Line
    from .measure_landscape import loss_landscape, measure_run_landscape
    from .page import write_report

__all__ = ["Landscape", "Line", "loss_landscape", "measure_run_landscape", "write_report"]

_MODULES = {"write_report": "page", "Landscape": "landscape", "Line": "landscape"}


def __getattr__(name: str) -> Any:
    """Loads a name when it is first used: a page is written without the trainer that measuring needs."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULES.get(name, 'measure_landscape')}", __name__), name)
