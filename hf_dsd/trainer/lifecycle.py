"""What a run does at a step's begin and end, at an evaluation and at a checkpoint, whoever trains it.

`Lifecycle` ties together the engine (masks), the monitor (when is a phase converged), the averages of the last phase
and the record that becomes `dsd_summary.json`. How models are saved and loaded it is told by a `Host`.
"""

import logging
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from hf_dsd.engine.dsd import DSD
from hf_dsd.engine.optimizer_state import forget_optimizer_state_
from hf_dsd.engine.schedule import Phase
from hf_dsd.files import copy_folder_whole, folder_written_whole
from hf_dsd.runs.checkpoints import defect
from hf_dsd.runs.folder import DIVERGED, best_folder, has_finished, kept_checkpoint

from .early_stop import EarlyStop
from .facts import check_resumed
from .lr_scheduler import PhasedLR
from .phase_monitor import PhaseMonitor
from .summary import RunSummary
from .weight_averaging import WeightAverages

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Host:
    """What a life cycle asks of whoever trains."""

    folder: Path  # where the run's phases and summary go
    writes: bool  # true on the ranks that write files
    save_model: Callable[[Path, nn.Module | None], None]  # the model that trains, or another of its class; on all ranks
    load_model: Callable[[Path], None]  # a folder's weights into the model that trains, in place
    wait: Callable[[], None]  # returns when every rank has called it


class Lifecycle:
    """One run from its first step to its last. Every rank makes the same calls, in the same order.

    Args:
        engine: The run's masks and schedule.
        monitor: Watches a phase's evaluations.
        host: How models are saved and loaded, and where.
        facts: What the summary says of the run, and what a resumed run is compared by (see `run_facts`).
        rates: The phases' learning rates; None with a scheduler of the user's own.
        patient: Leave a phase when the monitor finds it converged.
        start_from_best: A phase begins from the best evaluation's weights of the one before, not from the last.
        averages: Kinds of averages over the last phase.
        early_stop: Keeps the model of the run's best evaluation.
        saved: Indices of the phases whose model is saved; None saves all.
        kept: Indices of the phases whose last checkpoint is kept outside the rotation.

    Attributes:
        recorder: Writes `dsd_summary.json`.
        averages: The last phase's, once it has begun and if asked for.
        started_step: Optimizer steps done when this training began, by runs before it.
        evaluated_step: The step of the last evaluation, which is not counted twice.
        saved_step: The step of the last checkpoint, which is not written twice.
    """

    def __init__(
        self,
        engine: DSD,
        monitor: PhaseMonitor,
        host: Host,
        facts: dict[str, Any],
        *,
        rates: PhasedLR | None = None,
        start_from_best: bool = False,
        averages: Sequence[str] = (),
        early_stop: EarlyStop | None = None,
        saved: Sequence[int] | None = None,
        kept: Sequence[int] = (),
    ) -> None:
        self.engine, self.monitor, self.host, self.facts = engine, monitor, host, facts
        self.rates, self.start_from_best, self.early_stop = rates, start_from_best, early_stop
        self.recorder = RunSummary()
        self.averages: WeightAverages | None = None
        self.started_step = self.evaluated_step = self.saved_step = -1
        self._average_kinds, self._saved, self._kept = tuple(averages), saved, tuple(kept)

    @property
    def phase(self) -> Phase:
        """The phase of the last step that began."""
        if self.engine.phase is None:
            raise RuntimeError("the run has no phase before its first step")
        return self.engine.phase

    @property
    def total_steps(self) -> int:
        """Optimizer steps of the run as it stands: fewer than planned once a phase was left early."""
        return self.engine.schedule.total_steps

    @property
    def has_finished(self) -> bool:
        """True once the last phase was trained to its end."""
        return has_finished(self.engine.schedule.to_dict(), self.recorder.phases)

    @property
    def keeps_checkpoint(self) -> bool:
        """True if the current phase's last checkpoint is kept."""
        return self.phase.index in self._kept

    # Steps

    def begin(self, step: int, resumed_from: Path | None = None) -> None:
        """Training begins, or goes on, after `step` optimizer steps; makes what a killed process had still to make."""
        self.started_step = self.evaluated_step = step  # an evaluation at the start is the checkpoint's once more
        self.saved_step = step if resumed_from is not None else -1
        if resumed_from is None or resumed_from.parent.resolve() != self.host.folder.resolve():
            return
        ended = self.engine.phase is not None and self.engine.phase.end == step
        if ended and self.keeps_checkpoint and defect(self._kept_folder) is not None:
            self.keep_checkpoint(step, resumed_from)

    def begin_step(self, step: int) -> bool:
        """Optimizer step `step` (from 0) begins; returns True where a phase begins with it."""
        ended = self.engine.phase
        if self.start_from_best and ended is not None and not ended.owns(step):
            self._return_to_best(ended)
        if not self.engine.begin_step(step):
            return False
        planned_rates: list[tuple[int, float]] = []
        if self.rates is not None:
            self.rates.begin_phase(step)
            planned_rates = self.rates.planned_curve(self.phase)
        self.monitor.begin_phase()
        self.recorder.begin_phase(self.phase, self.engine, planned_rates)
        self._begin_averages()
        return True

    def end_step(self, step: int) -> bool:
        """Optimizer step number `step` (from 1) is done; returns True where a phase ends with it."""
        if self.averages is not None:
            self.averages.update()
        if step == self.phase.end:
            self._finish_phase(step)
            return True
        if step == self.phase.start + 1:
            self._check_weights(step)
        return False

    def after_evaluation(self, metrics: dict[str, float], step: int) -> bool:
        """Takes the metrics of an evaluation after `step` steps; returns True if the phase was left for it."""
        if step == self.evaluated_step:
            return False
        self.evaluated_step = step
        left = False
        if self.monitor.patience is not None or self.start_from_best:
            if self.monitor.observe(metrics, step) and self.start_from_best:
                self._save_model(self._best_folder(self.phase))
            if self.monitor.has_converged and step < self.phase.end:
                self.engine.leave_phase(step)
                self._finish_phase(step)
                left = True
        if self.early_stop is not None:
            self.early_stop.observe(metrics, step, self._save_model)
        if step == self.phase.end:
            self.recorder.record_metrics(metrics)
            self.write_summary()
        return left

    def record_evaluation(self, metrics: dict[str, float]) -> None:
        """Keeps the metrics of an evaluation outside training."""
        if self.engine.phase is not None:
            self.recorder.record_evaluation(metrics)
            self.write_summary()

    def end(self, step: int, best_step: int | None = None) -> None:
        """Says what a finished training leaves behind where it is not the end of the last phase.

        Args:
            step: Optimizer steps done.
            best_step: The step whose model was loaded at the end instead of the last, if one was.
        """
        schedule = self.engine.schedule
        if step < self.total_steps:
            name = schedule.phase_at(step - 1).name if step else "its first phase"
            logger.warning(
                "training stopped in %s at step %d of %d: the model is not the one that the schedule ends with",
                name,
                step,
                self.total_steps,
            )
        if best_step:
            phase = schedule.phase_at(best_step - 1)
            self.recorder.best_model = {"phase": phase.name, "step": best_step}
            note = ": its pruned weights are zero" if phase.is_sparse else ""
            logger.warning("load_best_model_at_end took the model of step %d, in %s%s", best_step, phase.name, note)
        if self.early_stop is not None and self.has_finished:
            self.recorder.early_stop = self.early_stop.finish(schedule)
            self.host.wait()  # other ranks may read the folder next
        self.write_summary()

    # Checkpoints

    def save(self, folder: Path, step: int) -> None:
        """Writes the run's state into a checkpoint's folder; sharded masks are gathered, so every rank must call it."""
        self._refuse_divergence(step)  # before the checkpoints of before are rotated away for this one
        state = {"monitor": self.monitor.state_dict(), "summary": self.recorder.state_dict(), "facts": self.facts}
        if self.early_stop is not None:
            state["early_stop"] = self.early_stop.monitor.state_dict()
            self.early_stop.save(folder)
        self.engine.save(folder, state, write=self.host.writes)
        if self.averages is not None and self.host.writes:
            self.averages.save(folder)

    def load(self, folder: Path, step: int) -> None:
        """Restores what `save` wrote after `step` optimizer steps.

        Raises:
            ValueError: If the checkpoint's phases, or the settings of the one it lies in, are not this run's.
            FileNotFoundError: If a part of its state is missing.
        """
        state = self.engine.load(folder)
        if state:  # the file of a hand-written loop has none
            phase = self.engine.phase
            check_resumed(state.get("facts", {}), self.facts, phase if phase is not None and phase.owns(step) else None)
            self.monitor.load_state_dict(state["monitor"])
            self.recorder.load_state_dict(state["summary"])
        self._begin_averages()
        if self.averages is not None:
            self.averages.load(folder)
        if self.early_stop is not None:
            self.early_stop.load(folder, state.get("early_stop"))
        if self.start_from_best:
            self._check_best_weights()

    def keep_checkpoint(self, step: int, source: Path) -> None:
        """Copies the checkpoint just written to where it is not rotated away, if it is to be kept."""
        self.saved_step = step
        if step != self.phase.end or not self.keeps_checkpoint:
            return
        self.host.wait()  # each rank writes a part
        if self.host.writes:
            copy_folder_whole(source, self._kept_folder)

    def write_summary(self) -> None:
        """Writes `dsd_summary.json`."""
        if self.host.writes:
            self.recorder.write(self.host.folder, self.engine, self.facts)

    # Small helpers

    def _finish_phase(self, step: int) -> None:
        """At a phase's last step: proves the weights sound, saves the model if it is wanted, closes the record."""
        self._check_weights(step)
        if self._saved is None or self.phase.index in self._saved:
            self._save_model(self.host.folder / self.phase.name)
        elif self.host.writes:  # what an earlier run left there would be taken for this run's
            shutil.rmtree(self.host.folder / self.phase.name, ignore_errors=True)
        for kind, averaged in self.averages.models.items() if self.averages is not None else ():
            self._save_model(self.host.folder / f"{self.phase.name}-{kind}", averaged)
        self.recorder.finish_phase(self.phase, left_early=self.phase.index in self.engine.left_early)
        self.write_summary()

    def _save_model(self, folder: Path, model: nn.Module | None = None) -> None:
        """Saves the model that trains, or an average of it, whole or not at all."""
        if self.host.writes:
            with folder_written_whole(folder) as partial:
                self.host.save_model(partial, model)
        else:
            self.host.save_model(folder, model)  # takes part in gathering, writes nothing
        self.host.wait()  # other ranks may read the folder next

    def _begin_averages(self) -> None:
        if self._average_kinds and self.engine.phase == self.engine.schedule.phases[-1]:
            self.averages = WeightAverages(self.engine.model, self._average_kinds)

    def _check_weights(self, step: int) -> None:
        self._refuse_divergence(step)
        revived = self.engine.revived_weights()
        if revived:
            raise RuntimeError(
                f"pruned weights are not zero in {self.phase.name} after step {step} ({revived}): "
                "something else writes them after DSDTrainer.optimizer_step(); remove that callback or override"
            )

    def _refuse_divergence(self, step: int) -> None:
        broken = self.engine.not_finite_weights()
        if broken:
            raise RuntimeError(
                f"{DIVERGED}: {len(broken)} parameter(s) hold NaN or inf in {self.phase.name} after step "
                f"{step} ({', '.join(broken[:3])}): lower the learning rate or max_grad_norm, or look for a batch "
                "whose loss is not finite, and resume from an earlier checkpoint"
            )

    def _return_to_best(self, ended: Phase) -> None:
        """Loads the best evaluation's weights of the phase that ended, in place; its optimizer state no longer fits."""
        if self.monitor.best is None:
            raise ValueError(f'phase_start="best" needs an evaluation within {ended.name}: lower eval_steps')
        if self.monitor.best_step == ended.end:
            return
        logger.info("%s: back to the weights of step %d", ended.name, self.monitor.best_step)
        self.host.load_model(self._best_folder(ended))
        forget_optimizer_state_(self.engine.optimizer)

    def _check_best_weights(self) -> None:
        """Fails at the start of a resumed run, not at its next boundary, if the best weights are not there."""
        phase, best_step = self.engine.phase, self.monitor.best_step
        if phase is None or self.monitor.best is None or best_step == phase.end:
            return
        if not self._best_folder(phase).is_dir():
            raise FileNotFoundError(
                f'{self._best_folder(phase)} is missing: phase_start="best" needs the weights of the best evaluation '
                f"(step {best_step}); resume with the same output_dir"
            )

    def _best_folder(self, phase: Phase) -> Path:
        return best_folder(self.host.folder, phase.name, self.monitor.best_step)

    @property
    def _kept_folder(self) -> Path:
        return kept_checkpoint(self.host.folder, self.phase.name)
