"""How much a trained model loses by pruning alone, layer by layer: what to know before choosing a sparsity."""

from .bench import evaluate_pruned
from .measurement import measure_sensitivity
from .result import Curve, Point, Sensitivity, Suggestion
from .run_sensitivity import SensitivityOptions, measure_run_sensitivity

__all__ = [
    "Curve",
    "Point",
    "Sensitivity",
    "SensitivityOptions",
    "Suggestion",
    "evaluate_pruned",
    "measure_run_sensitivity",
    "measure_sensitivity",
]
