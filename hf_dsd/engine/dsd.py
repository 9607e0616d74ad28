"""DSD: walks a model through a schedule. Any training loop can drive it.

    rates = [1e-3, 1e-3, 1e-4]
    dsd = DSD(model, optimizer, Schedule.from_steps([500, 500, 500], sparsity=0.3, learning_rates=rates))
    scheduler = LambdaLR(optimizer, dsd.learning_rate_scale)       # each phase's rate, for every parameter group
    batches = chain.from_iterable(repeat(loader))                  # epoch after epoch: steps are counted across them
    for step, batch in zip(range(dsd.schedule.total_steps), batches):
        dsd.begin_step(step)         # a phase begins here: masks are built, or dropped
        loss(batch).backward()
        dsd.mask_gradients()         # optional, before clipping: pruned weights leave the gradient norm
        optimizer.step()
        dsd.optimizer_step()         # W <- W * Mask: momentum moves weights whose gradient is zero
        scheduler.step()
        optimizer.zero_grad()
    dsd.finish()                     # raises if a phase was never reached

The mask is applied to the weights after every optimizer step, as Algorithm 1 says. Masking gradients alone would not
do: momentum, Adam's moments and weight decay move a weight whose gradient is zero.
"""

import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from .mask_file import read_state_file, write_state_file
from .masks import CRITERIA, seed_of
from .optimizer_state import RESET_MODES, forget_optimizer_state_
from .phase_weights import bind_weights, build_masks, check_replicas, load_masks
from .schedule import Phase, Schedule
from .sharding import replicas_of
from .targets import log_changes, log_frozen, plan_targets
from .weights import MaskedWeight, MaskPass, not_finite
from .zero_weights import ZeroWeight

logger = logging.getLogger(__name__)

_STATE_VERSION = 1
_IF_DIVERGED = "; if the run has diverged, lower its learning rate or resume from an earlier checkpoint"


class DSD:
    """Dense-Sparse-Dense training of one model by one optimizer (Han et al., ICLR 2017, Algorithm 1).

    The caller must call `begin_step(step)` before every optimizer step, with steps counted from 0 to the schedule's end
    without gaps and across epochs, and `optimizer_step()` after it; a step is an optimizer step, never a micro-batch.
    Parameters are changed in place only: cuDNN's flat RNN weights, DDP buckets and CUDA graphs keep working.

    To resume, build the same object again and call `load_state_dict` (or `load`) after the model's weights are loaded;
    `accelerator.register_for_checkpointing(dsd)` does both.

    On several ranks every rank makes the same calls, in the same order. Masks are those of a single process: of DDP
    replicas they are compared at every build (see `check_agreement`), of weights that `fully_shard` shards they are
    chosen over the whole tensor and kept in blocks, and under DeepSpeed ZeRO its fp32 copies are masked (see
    `ZeroWeight`; there `reset_optimizer_state="all"` and `mask_gradients` are refused). A state saved on N ranks loads
    on M, sharded or not.

    Args:
        model: The model, wrapped or not.
        optimizer: The optimizer that trains it.
        schedule: The phases.
        dense_modules: See `plan_targets`, like the next one.
        sparsity_overrides: Regex -> sparsity.
        mask_criterion: `magnitude`; `random` as a control; or `zeros`, which trains a sparse model on under its own
            mask, in phases of lengths 0,S[,D]: its zeros must be as many as the sparsity prunes.
        reset_optimizer_state: What a re-dense phase forgets: `none`, `masked` (what belongs to the pruned weights, see
            `clear_masked_state_`) or `all`.
        seed: Decides what the random criterion prunes.

    Attributes:
        schedule: The schedule in force; phases left early (`leave_phase`) are shorter than planned.
        phase: The phase of the last `begin_step`, None before the first.
        left_early: Indices of the phases that `leave_phase` ended.
        gradients_masked: True once `mask_gradients` was called for the step that has begun.
        weights: The targets in the sparse phase in force, see `MaskedWeight`; empty outside sparse phases.
        replicas: The ranks that train copies of this model; to be set where only an outer wrapper is DDP.
        targets: Every parameter with its rule, see `plan_targets`.

    Raises:
        ValueError: If an option is out of range, a pattern matches nothing, or nothing is left to prune.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        schedule: Schedule,
        *,
        dense_modules: Sequence[str] | None = None,
        sparsity_overrides: Mapping[str, float] | None = None,
        mask_criterion: str = "magnitude",
        reset_optimizer_state: str = "masked",
        seed: int = 0,
    ) -> None:
        check_choice("mask_criterion", mask_criterion, CRITERIA)
        check_choice("reset_optimizer_state", reset_optimizer_state, RESET_MODES)
        _check_zeros_begin(mask_criterion, schedule)
        self.model, self.optimizer, self.schedule = model, optimizer, schedule
        self.mask_criterion, self.reset_optimizer_state, self.seed = mask_criterion, reset_optimizer_state, seed
        self.phase: Phase | None = None
        self.left_early: list[int] = []
        self._mask([])
        self.targets = plan_targets(model, dense_modules=dense_modules, sparsity_overrides=sparsity_overrides)
        log_frozen(self.targets)
        self.replicas = replicas_of(model)
        self._next_step: int | None = 0  # None after the load of a state that does not know it
        self._applied = self._applied_in_phase = False  # the masks, since the last `begin_step` and in this phase
        self.gradients_masked = False
        self._unverified = False

    def __repr__(self) -> str:
        now = "not begun" if self.phase is None else f"{self.phase.name}, {self.sparsity:.0%} zero"
        return f"DSD({now}; {self.target_weights:,} weights to prune; {self.schedule!r})"

    # What the loop calls

    def begin_step(self, step: int) -> bool:
        """Tells the engine that optimizer step `step` (from 0) begins; returns True where a phase begins with it.

        Costs a few integer comparisons inside a phase. At a phase's first step it builds or drops the masks. A step may
        begin again until `optimizer_step` ends it, so a loop may call this for every micro-batch.

        Raises:
            ValueError: If `step` is not the next one or lies past the schedule's end, a weight to prune is NaN or
                infinite, a target is not in the optimizer, or a sparse phase would prune nothing.
            RuntimeError: If replicas choose different masks, or `optimizer_step` was never called in a sparse phase.
        """
        if step != self._next_step or step >= self.schedule.total_steps:
            _check_order(step, self._next_step, self._applied, self.phase, self.schedule)
        began = self._change_phase(step)
        self._next_step, self._applied, self.gradients_masked = step + 1, False, False
        return began

    def optimizer_step(self) -> None:
        """Re-applies the masks after an optimizer step, in place; in dense phases it only counts the step."""
        self._applied = self._applied_in_phase = True
        self._mask_pass()

    def mask_gradients(self) -> None:
        """Multiplies gradients by the masks, in place; call it before clipping. The paper masks weights only.

        An infinite gradient of a pruned weight becomes NaN, so a GradScaler still sees the overflow.
        """
        self.gradients_masked = True
        for weight in self.weights:
            weight.mask_gradient_()

    def learning_rate_scale(self, step: int, *, decays: bool = False) -> float:
        """A phase's learning rate over the first phase's, for `LambdaLR(optimizer, dsd.learning_rate_scale)`.

        With `decays` it falls linearly towards 0 within every phase: `partial(dsd.learning_rate_scale, decays=True)`.

        Raises:
            ValueError: If the schedule has no learning rates, or the optimizer was not built with the first phase's.
        """
        built_with = [float(group.get("initial_lr", group["lr"])) for group in self.optimizer.param_groups]
        first = self.schedule.phases[0].learning_rate
        if first is not None and first not in built_with:
            raise ValueError(
                f"the optimizer was built with the learning rates {built_with}, and the schedule's first is {first}: "
                "phases scale the optimizer's rates, so give both the same"
            )
        return self.schedule.learning_rate_scale(step, decays=decays)

    def leave_phase(self, step: int) -> None:
        """Ends the current phase after `step` optimizer steps ("while not converged"); later phases move forward."""
        if self.phase is None or not self.phase.owns(step - 1):
            raise ValueError(f"leave_phase({step}) needs a phase that owns step {step - 1}, not {self.phase}")
        self.schedule = self.schedule.cut(step)
        self.phase = self.schedule.phases[self.phase.index]
        self.left_early.append(self.phase.index)

    def finish(self) -> None:
        """Call it after the last step; raises a RuntimeError if the schedule's last one has not begun."""
        _check_finished(self._next_step, self.phase, self.schedule)

    def check(self) -> None:
        """Raises now the ValueError that a sparse phase would raise hours later, see `bind_weights`."""
        for phase in self.schedule.phases:
            if phase.is_sparse:
                self._bind(phase)

    # What others read

    @property
    def masks(self) -> dict[str, Tensor]:
        """Parameter name -> bool mask, True = kept; empty outside sparse phases. This rank's block of a sharded one."""
        return {weight.name: weight.mask for weight in self.weights if weight.mask is not None}

    @property
    def sparsity(self) -> float:
        """Fraction of the targets' weights that the current masks prune, in [0, 1); 0.0 outside sparse phases."""
        return sum(weight.pruned for weight in self.weights) / self.target_weights

    @property
    def target_weights(self) -> int:
        """Number of weights in all pruned parameters."""
        return sum(target.numel for target in self.targets if target.is_pruned)

    def revived_weights(self) -> dict[str, int]:
        """Pruned weights that are not exactly zero now, by parameter (empty when all is well; synchronises).

        Where `not_finite_weights` names the parameter, too, the run has diverged: NaN times 0 is NaN (of 16 bits 0).
        Otherwise something writes weights after `optimizer_step`. Of sharded weights the whole's number: every rank
        must call it.
        """
        return {weight.name: count for weight in self.weights if (count := weight.revived())}

    def not_finite_weights(self) -> list[str]:
        """Names of all the model's parameters that hold NaN or infinity, on whichever rank; every rank must call it."""
        return not_finite(self.model, self.replicas)

    # Checkpoints

    def state_dict(self) -> dict[str, Any]:
        """The state after the current step: `meta` (JSON-ready) and the bit-packed `masks`, whole.

        Where weights are sharded every rank must call it, whichever of them saves.
        """
        masked = [weight for weight in self.weights if weight.mask is not None]
        step = self._next_step
        return {
            "masks": {weight.name: weight.pack() for weight in masked},
            "meta": {
                "version": _STATE_VERSION,
                "schedule": self.schedule.to_dict(),
                "phase": None if self.phase is None else self.phase.index,
                "step": step if step is None or self.phase is None or self._applied else step - 1,
                "left_early": list(self.left_early),
                "mask_criterion": self.mask_criterion,
                "shapes": {weight.name: list(weight.shape) for weight in masked},
            },
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores what `state_dict` returned; the model's weights are checked against it at the next `begin_step`.

        Phases that had begun must be the ones of this object's schedule (except that they may have ended early); phases
        that had not may differ, so a finished dense phase can be continued by several recipes.

        Raises:
            ValueError: If the state is of another version, schedule, criterion or model.
        """
        meta = state["meta"]
        if (version := meta["version"]) != _STATE_VERSION:
            raise ValueError(f"DSD state has version {version}, this hf_dsd reads {_STATE_VERSION}: upgrade hf_dsd")
        self.schedule, self.phase = _continue_schedule(self.schedule, meta)
        self.left_early = list(meta["left_early"])
        weights = self._bind(self.phase) if self.phase is not None and self.phase.is_sparse else []
        load_masks(weights, state["masks"], meta["shapes"])
        self._mask(weights)
        if self.weights and meta["mask_criterion"] != self.mask_criterion:
            raise ValueError(f"mask_criterion is {self.mask_criterion}, the checkpoint's is {meta['mask_criterion']}")
        self._next_step = 0 if self.phase is None else meta.get("step")  # version 0.1.0 kept no step
        self._applied = self._applied_in_phase = True
        self._unverified = bool(self.weights)

    def save(
        self, folder: str | os.PathLike[str], extra: Mapping[str, Any] | None = None, *, write: bool = True
    ) -> None:
        """Writes the state into `folder`: `dsd_masks.safetensors`, and `dsd_state.json` with JSON-ready `extra` in it.

        Args:
            folder: The checkpoint.
            extra: What else the state should hold.
            write: False on the ranks that only take part: where weights are sharded every rank must call it.
        """
        state = self.state_dict()
        if write:
            write_state_file(folder, state["masks"], {**state["meta"], "extra": dict(extra or {})})

    def load(self, folder: str | os.PathLike[str]) -> dict[str, Any]:
        """Reads what `save` wrote and returns its `extra`.

        Raises:
            FileNotFoundError: If the folder lacks one of the files.
            ValueError: If a file is damaged or belongs to another run (see `load_state_dict`).
        """
        masks, meta = read_state_file(folder)
        extra: dict[str, Any] = meta.pop("extra", {})
        self.load_state_dict({"masks": masks, "meta": meta})
        return extra

    # Phase changes

    def _change_phase(self, step: int) -> bool:
        if self._unverified:
            self._verify_loaded()
        if self.phase is not None and self.phase.owns(step):
            return False
        if self.phase is not None and self.masks and not self._applied_in_phase:
            raise RuntimeError(
                f"optimizer_step() was never called in {self.phase.name}, so its masks were not applied to the "
                "weights: call dsd.optimizer_step() after every optimizer.step()"
            )
        phase = self.schedule.phase_at(step)
        if phase.is_sparse:
            self._begin_sparse(phase)
        else:
            self._begin_dense()
        self.phase, self._applied_in_phase = phase, False
        return True

    def _begin_sparse(self, phase: Phase) -> None:
        log_changes(self.targets, self.model)
        weights = self._bind(phase)
        errors = build_masks(weights, self.mask_criterion, lambda name: seed_of(self.seed, phase.index, name))
        check_replicas(weights, errors, self.replicas)
        for name, error in errors.items():
            remedy = "" if self.mask_criterion == "zeros" else _IF_DIVERGED
            raise ValueError(f"{name} cannot be pruned at optimizer step {phase.start}: {error}{remedy}") from error
        self._mask(weights)
        self._mask_pass()
        pruned, of = sum(weight.pruned for weight in weights), self.target_weights
        logger.info("%s: pruned %d of %d weights in %d parameters", phase.name, pruned, of, len(weights))

    def _begin_dense(self) -> None:
        if self.weights and self.reset_optimizer_state == "all":
            forget_optimizer_state_(self.optimizer)
        elif self.reset_optimizer_state == "masked":
            for weight in self.weights:
                weight.forget_(self.optimizer)
        self._mask([])

    def _mask(self, weights: list[MaskedWeight]) -> None:
        self.weights, self._mask_pass = weights, MaskPass(weights)

    def _bind(self, phase: Phase) -> list[MaskedWeight]:
        targets = [target for target in self.targets if target.is_pruned]
        weights = bind_weights(self.model, self.optimizer, targets, phase)
        if self.reset_optimizer_state == "all" and any(isinstance(weight, ZeroWeight) for weight in weights):
            raise ValueError('reset_optimizer_state="all" does not work under DeepSpeed ZeRO: use "masked" or "none"')
        return weights

    def _verify_loaded(self) -> None:
        self._unverified = False
        if revived := sorted(self.revived_weights()):
            raise ValueError(
                f"the loaded masks do not belong to the model's weights: pruned entries of {revived[:5]} are not zero; "
                "load the weights of the same checkpoint"
            )


def _check_zeros_begin(criterion: str, schedule: Schedule) -> None:
    if criterion == "zeros" and any(phase.is_sparse and phase.start for phase in schedule.phases):
        raise ValueError(
            'mask_criterion="zeros" keeps the zeros of the model as it is given, so its one sparse phase must begin at '
            "step 0: give phases of lengths 0,S or 0,S,D, or another criterion"
        )


def _check_order(step: int, expected: int | None, applied: bool, phase: Phase | None, schedule: Schedule) -> None:
    """Refuses a step that is not the next one; the last may begin again until it is applied."""
    if step >= schedule.total_steps:
        raise ValueError(
            f"begin_step({step}) lies past the schedule's {schedule.total_steps} steps: end the loop there "
            "(range(dsd.schedule.total_steps)), or plan longer phases"
        )
    if phase is not None and expected is None and phase.start < step <= phase.end:
        return
    if phase is not None and expected is not None and step == expected - 1 and not applied:
        return
    known = f"step {expected}" if expected is not None else f"a step after the first of {phase and phase.name}"
    raise ValueError(
        f"begin_step({step}) is not the next step, which is {known}: count optimizer steps from 0 without gaps and "
        "across epochs, and load the engine's state to resume"
    )


def _check_finished(done: int | None, phase: Phase | None, schedule: Schedule) -> None:
    if done is not None and done >= schedule.total_steps:
        return
    reached = -1 if phase is None else phase.index
    missed = ", ".join(phase.name for phase in schedule.phases[reached + 1 :]) or "the end of the last"
    raise RuntimeError(
        f"training ended after {done or 0} of the schedule's {schedule.total_steps} steps and never reached {missed}: "
        "train on, counting optimizer steps across epochs, or plan shorter phases"
    )


def _continue_schedule(planned: Schedule, meta: Mapping[str, Any]) -> tuple[Schedule, Phase | None]:
    """The schedule of a resumed run and the phase it is in: the past as it was, the future as planned now."""
    if meta["phase"] is None:
        return planned, None
    schedule = planned
    for old in Schedule.from_dict(meta["schedule"]).phases[: meta["phase"] + 1]:
        if old.index >= len(schedule.phases):
            raise ValueError(f"the checkpoint lies in {old.name}, this schedule has {len(schedule.phases)} phases")
        if old.index in meta["left_early"] and old.steps < schedule.phases[old.index].steps:
            schedule = schedule.cut(old.end)
        new = schedule.phases[old.index]
        if old != new:
            raise ValueError(
                f"the checkpoint's {old.name} was {_in_words(old)}, this run plans {_in_words(new)}: resume with the "
                "same phase lengths, sparsity and learning rates, or start a new run"
            )
    return schedule, schedule.phases[meta["phase"]]


def _in_words(phase: Phase) -> str:
    rate = "" if phase.learning_rate is None else f", learning rate {phase.learning_rate}"
    return f"steps {phase.start} to {phase.end}, sparsity {phase.sparsity}{rate}"


def check_choice(field: str, value: str, choices: Sequence[str]) -> None:
    """Checks an enumerated option.

    Raises:
        ValueError: If `value` is not one of `choices`.
    """
    if value not in choices:
        raise ValueError(f"{field} must be one of {', '.join(choices)}, got {value!r}")
