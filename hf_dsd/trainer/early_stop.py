"""The model that early stopping would have ended with: the practitioner's rival of a long run.

A run with `keep_early_stop` trains exactly as it would without. The weights of its best evaluation, over all phases,
are kept in `early-stop/`, go into every checkpoint, and are `phase-2-dense-early` once the run has ended, beside the
last phase's own model.
"""

import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hf_dsd.engine.schedule import Schedule
from hf_dsd.files import copy_folder_whole
from hf_dsd.runs.folder import EARLY, EARLY_FOLDER

from .phase_monitor import PhaseMonitor

logger = logging.getLogger(__name__)


class EarlyStop:
    """Follows a whole run's evaluations.

    Args:
        monitor: Compares the evaluations; it is never told of a phase's beginning.
        folder: The run's folder.
        writes: True on the rank that writes files.
    """

    def __init__(self, monitor: PhaseMonitor, folder: Path, *, writes: bool) -> None:
        self.monitor, self._folder, self._writes = monitor, folder / EARLY_FOLDER, writes

    def observe(self, metrics: dict[str, float], step: int, save_model: Callable[[Path], None]) -> None:
        """Keeps the model that trains if the evaluation after `step` optimizer steps is the run's best."""
        if self.monitor.observe(metrics, step):
            save_model(self._folder)

    def save(self, checkpoint: Path) -> None:
        """Puts the kept model into a checkpoint, so that a run goes on from any of them."""
        if self.monitor.best is not None and self._writes:
            copy_folder_whole(self._folder, checkpoint / EARLY_FOLDER)

    def load(self, checkpoint: Path, state: dict[str, Any] | None) -> None:
        """Takes the model and the monitor's `state` back from a checkpoint.

        Raises:
            FileNotFoundError: If the checkpoint has evaluations behind it that were not followed.
        """
        if state is None or (state["best"] is not None and not (checkpoint / EARLY_FOLDER).is_dir()):
            raise FileNotFoundError(
                f"{checkpoint / EARLY_FOLDER} is missing: the checkpoint was trained without keep_early_stop; leave it "
                "out, or train from the first step"
            )
        self.monitor.load_state_dict(state)
        if state["best"] is not None and self._writes:
            copy_folder_whole(checkpoint / EARLY_FOLDER, self._folder)

    def finish(self, schedule: Schedule) -> dict[str, Any] | None:
        """Names the kept model after the last phase of a run that has ended, and says which evaluation it is.

        Returns:
            Phase, step, metric and value of the best evaluation; None (and a warning) if there was none.
        """
        if self.monitor.best is None:
            logger.warning("keep_early_stop kept no model: the run has had no evaluation whose metric is a number")
            return None
        last = schedule.phases[-1].name
        if self._writes:
            copy_folder_whole(self._folder, self._folder.with_name(f"{last}-{EARLY}"))
            shutil.rmtree(self._folder)
        step = self.monitor.best_step
        phase = schedule.phase_at(max(step - 1, 0)).name
        return {"phase": phase, "step": step, "metric": self.monitor.metric, "value": self.monitor.best}
