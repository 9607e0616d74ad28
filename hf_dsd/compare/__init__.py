"""One recipe, several arms (DSD and its controls), several seeds, one honest table."""

from .comparison import ArmSummary, Comparison, Difference
from .in_process import compare
from .run_results import ARMS, RunResult
from .runner import ScriptRuns, compare_script
from .table import print_comparison, to_markdown
from .verdict import Verdict

__all__ = [
    "ARMS",
    "ArmSummary",
    "Comparison",
    "Difference",
    "RunResult",
    "ScriptRuns",
    "Verdict",
    "compare",
    "compare_script",
    "print_comparison",
    "to_markdown",
]
