"""One recipe, several arms (DSD and its controls), several seeds, one honest table."""

from .arms import ARMS, Arm
from .comparison import ArmSummary, Comparison
from .differences import Difference
from .in_process import compare
from .run_results import RunResult, read_runs
from .runner import ScriptRuns, compare_script
from .table import print_comparison, to_markdown
from .verdict import Verdict

__all__ = [
    "ARMS",
    "Arm",
    "ArmSummary",
    "Comparison",
    "Difference",
    "RunResult",
    "ScriptRuns",
    "Verdict",
    "compare",
    "compare_script",
    "print_comparison",
    "read_runs",
    "to_markdown",
]
