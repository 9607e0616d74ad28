"""One recipe, several arms (DSD and its controls), several seeds, one honest table."""

from .comparison import ArmSummary, Comparison, Difference
from .run_results import ARMS, RunResult
from .verdict import Verdict

__all__ = ["ARMS", "ArmSummary", "Comparison", "Difference", "RunResult", "Verdict"]
