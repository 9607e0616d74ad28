"""Each phase decays its own learning rate from its own start, as conventional training does (paper, section 2)."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import torch
from torch.optim.lr_scheduler import LRScheduler
from transformers import get_scheduler

from hf_dsd.engine.schedule import Phase, Schedule

Curve = Callable[[int], float]

CURVE_POINTS = 60
"""Of a phase, at most: enough to draw it."""


class PhasedLR(LRScheduler):
    """Runs one of transformers' learning-rate schedules, warm-up included, inside every phase of a DSD schedule.

    The rate of optimizer step t in phase p is `peak(p) * curve_p(t - start(p))`. A parameter group whose own rate
    differs from `base_learning_rate` keeps that ratio in every phase.

    Args:
        optimizer: The optimizer to drive.
        schedule: Returns the schedule in force; called at every step because a phase may be left early.
        base_learning_rate: The rate that the optimizer was built with, > 0.
        lr_scheduler_type: A transformers `SchedulerType` whose value depends on the step only.
        warmup_steps: Phase length -> number of warm-up steps of that phase.
        lr_scheduler_kwargs: Passed to transformers' `get_scheduler`.

    Raises:
        ValueError: If a phase is shorter than its warm-up.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        schedule: Callable[[], Schedule],
        *,
        base_learning_rate: float,
        lr_scheduler_type: str,
        warmup_steps: Callable[[int], int],
        lr_scheduler_kwargs: dict[str, Any] | None = None,
    ) -> None:
        self._schedule = schedule
        self._base_learning_rate = base_learning_rate
        for phase in schedule().phases:
            if phase.steps and warmup_steps(phase.steps) > phase.steps:
                raise ValueError(
                    f"warmup_steps must not exceed a phase, got {warmup_steps(phase.steps)} for the {phase.steps} "
                    f"steps of {phase.name}: every phase warms up; give a fraction such as 0.1"
                )
        # A phase left early keeps the curve of its planned length, as if it had been interrupted.
        self._curves = [
            _curve(self._peak(phase), phase.steps, lr_scheduler_type, warmup_steps(phase.steps), lr_scheduler_kwargs)
            for phase in schedule().phases
        ]
        super().__init__(optimizer)

    def get_lr(self) -> list[float | torch.Tensor]:
        """The learning rate of each parameter group at step `last_epoch` (torch's name for the step count)."""
        phase = self._schedule().phase_at(self.last_epoch)
        peak = self._peak(phase)
        factor = self._curves[phase.index](self.last_epoch - phase.start)
        return [
            (peak if base == self._base_learning_rate else base * (peak / self._base_learning_rate)) * factor
            for base in self.base_lrs
        ]

    def _peak(self, phase: Phase) -> float:
        return self._base_learning_rate if phase.learning_rate is None else phase.learning_rate

    def planned_curve(self, phase: Phase) -> list[tuple[int, float]]:
        """The planned rates of a phase for a drawing: (optimizer step, rate), its first and last step included."""
        count = min(CURVE_POINTS, phase.steps)
        offsets = {round(index * (phase.steps - 1) / max(count - 1, 1)) for index in range(count)}
        curve, peak = self._curves[phase.index], self._peak(phase)
        return [(phase.start + offset, peak * curve(offset)) for offset in sorted(offsets)]

    def begin_phase(self, step: int) -> None:
        """Sets the rates for optimizer step `step`, the first of a phase.

        Needed where the count of scheduler steps is not the step: a phase that was left early, or steps that an fp16
        overflow skipped.
        """
        self.last_epoch = step
        for group, rate in zip(self.optimizer.param_groups, self.get_lr(), strict=True):
            if isinstance(group["lr"], torch.Tensor):  # a captured or compiled step reads this very tensor
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate
        self._last_lr = [deepcopy(group["lr"]) for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """The step count and rates; the schedule and curves are rebuilt from the arguments."""
        return {
            key: value for key, value in super().state_dict().items() if key in ("last_epoch", "base_lrs", "_last_lr")
        }


def _curve(peak: float, steps: int, lr_scheduler_type: str, warmup_steps: int, kwargs: dict[str, Any] | None) -> Curve:
    """Transformers' own multiplier over a phase, read off a scheduler of a throw-away optimizer."""
    throwaway = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=peak)
    scheduler = get_scheduler(
        lr_scheduler_type,
        optimizer=throwaway,
        num_warmup_steps=warmup_steps,
        num_training_steps=max(steps, 1),
        scheduler_specific_kwargs=kwargs,
    )
    curve: Curve = scheduler.lr_lambdas[0]
    return curve
