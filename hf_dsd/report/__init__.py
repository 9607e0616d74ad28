"""One run or one comparison as a self-contained page, `report.html`, and as figures for a paper.

Layer: on top of the trainer, the scores and the comparison.
"""

from .landscape import Landscape, Line, loss_landscape
from .page import write_report
from .run_landscape import measure_run_landscape

__all__ = ["Landscape", "Line", "loss_landscape", "measure_run_landscape", "write_report"]
