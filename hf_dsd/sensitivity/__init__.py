"""How much a trained model loses by pruning alone, layer by layer: what to know before choosing a sparsity."""

from .measurement import measure_sensitivity
from .pruned_model import evaluate_pruned
from .result import Curve, Point, Sensitivity, Suggestion

__all__ = ["Curve", "Point", "Sensitivity", "Suggestion", "evaluate_pruned", "measure_sensitivity"]
