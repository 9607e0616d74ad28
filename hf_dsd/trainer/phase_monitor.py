"""Algorithm 1's "while not converged": a phase's best evaluation, and when to stop waiting for a better one."""

import math
from dataclasses import asdict, dataclass
from typing import Any


@dataclass
class PhaseMonitor:
    """Watches one metric through one phase."""

    metric: str  # its name in the evaluation's metrics, with or without the `eval_` prefix
    greater_is_better: bool
    patience: int | None = None  # evaluations without improvement after which the phase has converged; None: for ever
    best: float | None = None  # of this phase; None before its first evaluation that is a number
    best_step: int = 0  # optimizer steps done at the best value
    stale: int = 0  # evaluations since then

    def begin_phase(self) -> None:
        """Forgets the previous phase."""
        self.best, self.best_step, self.stale = None, 0, 0

    def observe(self, metrics: dict[str, float], step: int) -> bool:
        """Takes one evaluation's metrics after `step` optimizer steps; returns True if it is the best of the phase.

        NaN is never the best: the run has diverged, and patience counts on.

        Raises:
            ValueError: If the metrics lack `metric`.
        """
        key = self.metric if self.metric.startswith("eval_") else f"eval_{self.metric}"
        if key not in metrics:
            raise ValueError(f"metric_for_best_model must be one of {sorted(metrics)}, got {self.metric!r}")
        value = float(metrics[key])
        if self._is_best(value):
            self.best, self.best_step, self.stale = value, step, 0
            return True
        self.stale += 1
        return False

    def _is_best(self, value: float) -> bool:
        if self.best is None:
            return not math.isnan(value)
        return value > self.best if self.greater_is_better else value < self.best

    @property
    def has_converged(self) -> bool:
        """True once `patience` evaluations have passed without improvement."""
        return self.patience is not None and self.stale >= self.patience

    def state_dict(self) -> dict[str, Any]:
        """The phase's progress, JSON-ready."""
        return {key: value for key, value in asdict(self).items() if key in ("best", "best_step", "stale")}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores `state_dict`."""
        self.best, self.best_step, self.stale = state["best"], state["best_step"], state["stale"]
