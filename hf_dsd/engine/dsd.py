"""DSD: walks a model through a schedule. Any training loop can drive it.

    dsd = DSD(model, optimizer, Schedule.from_steps([500, 500, 500], sparsity=0.3))
    for step, batch in enumerate(loader):
        dsd.begin_step(step)         # a phase begins here: masks are built, or dropped
        loss(batch).backward()
        dsd.mask_gradients()         # optional, before clipping: pruned weights leave the gradient norm
        optimizer.step()
        dsd.optimizer_step()         # W <- W * Mask: momentum moves weights whose gradient is zero
        optimizer.zero_grad()

The mask is applied to the weights after every optimizer step, as Algorithm 1 says. Masking gradients alone would not
do: momentum, Adam's moments and weight decay move a weight whose gradient is zero.
"""

import hashlib
import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.optim import Optimizer

from .agreement import check_agreement
from .mask_file import read_state_file, write_state_file
from .masks import CRITERIA, BuiltMask, apply_masks_, build_mask, pack_mask, seed_of, unpack_mask
from .optimizer_state import RESET_MODES, reset_optimizer_state_
from .schedule import Phase, Schedule
from .selection import prune_count
from .sharding import layout_of, local_part, replicas_of, reshard_
from .targets import canonical_name, log_frozen, plan_targets

logger = logging.getLogger(__name__)

_STATE_VERSION = 1


class DSD:
    """Dense-Sparse-Dense training of one model by one optimizer (Han et al., ICLR 2017, Algorithm 1).

    The caller must call `begin_step(step)` before every optimizer step, with steps counted from 0 without gaps, and
    `optimizer_step()` after it; a step is an optimizer step, never a micro-batch. Parameters are changed in place only:
    their identity and storage stay, so cuDNN's flat RNN weights, DDP buckets and CUDA graphs keep working.

    To resume, build the same object again and call `load_state_dict` (or `load`) after the model's weights are loaded;
    `accelerator.register_for_checkpointing(dsd)` does both.

    On several ranks every rank makes the same calls, in the same order. Masks are those of a single process: of DDP
    replicas they are compared at every build (see `check_agreement`), of weights that `fully_shard` shards they are
    chosen over the whole tensor and kept in blocks. A state saved on N ranks loads on M, sharded or not.

    Args:
        model: The model, wrapped or not.
        optimizer: The optimizer that trains it.
        schedule: The phases.
        dense_modules: See `plan_targets`.
        sparsity_overrides: See `plan_targets`.
        mask_criterion: `magnitude`, or `random` as a control.
        reset_optimizer_state: `none`, `masked` or `all`, see `reset_optimizer_state_`.
        seed: Of the random criterion.

    Attributes:
        schedule: The schedule in force; phases left early (`leave_phase`) are shorter than planned.
        phase: The phase of the last `begin_step`, None before the first.
        left_early: Indices of the phases that `leave_phase` ended.
        masks: Parameter name -> bool mask, True = kept; empty outside sparse phases. This rank's block of it where the
            parameter is sharded.
        replicas: The ranks that train copies of this model; found where `model` is a `DistributedDataParallel`, to be
            set where only an outer wrapper is one.
        targets: Every parameter with its rule, see `plan_targets`.
        built: Parameter name -> `BuiltMask` for the masks that this process built, newest phase only.

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
        self.model = model
        self.optimizer = optimizer
        self.schedule = schedule
        self.mask_criterion = mask_criterion
        self.reset_optimizer_state = reset_optimizer_state
        self.seed = seed
        self.phase: Phase | None = None
        self.left_early: list[int] = []
        self.masks: dict[str, Tensor] = {}
        self.built: dict[str, BuiltMask] = {}
        self.targets = plan_targets(model, dense_modules=dense_modules, sparsity_overrides=sparsity_overrides)
        log_frozen(self.targets)
        self.replicas = replicas_of(model)
        self._pairs: list[tuple[Tensor, Tensor]] = []
        self._pruned = 0
        self._unverified = False

    # What the loop calls

    def begin_step(self, step: int) -> bool:
        """Tells the engine that optimizer step `step` (from 0) begins; returns True where a phase begins with it.

        Costs two integer comparisons inside a phase. At a phase's first step it builds or drops the masks.

        Raises:
            ValueError: If steps are skipped, a weight to prune is NaN or infinite, a target is not in the optimizer, or
                a sparse phase would prune nothing.
            RuntimeError: If replicas choose different masks.
        """
        if self.phase is not None and self.phase.owns(step) and not self._unverified:
            return False
        if self._unverified:
            self._verify_loaded()
        phase = self.schedule.phase_at(step)
        if self.phase is not None and phase.index == self.phase.index:
            return False
        expected = self.phase.index + 1 if self.phase is not None else self.schedule.phase_at(0).index
        if step != phase.start or phase.index != expected:
            raise ValueError(
                f"begin_step({step}) lies inside {phase.name} (steps {phase.start}..{phase.end - 1}), whose first "
                f"step the "
                "engine did not see: count optimizer steps from 0 without gaps, and load the engine's state to resume"
            )
        if phase.is_sparse:
            self._begin_sparse(phase)
        else:
            self._begin_dense()
        self.phase = phase
        return True

    def check(self) -> None:
        """Raises now what a sparse phase would raise hours later: untrained targets, a sparsity that prunes nothing.

        Raises:
            ValueError: In those two cases.
        """
        for phase in self.schedule.phases:
            if phase.is_sparse:
                self._bind(self._sparsities(phase))

    def optimizer_step(self) -> None:
        """Re-applies the masks after an optimizer step, in place (cost: see `apply_masks_`); no-op in dense phases."""
        apply_masks_(self._pairs)

    @torch.no_grad()
    def mask_gradients(self) -> None:
        """Multiplies gradients by the masks, in place; call it before clipping. The paper masks weights only.

        An infinite gradient of a pruned weight becomes NaN, so a GradScaler still sees the overflow.
        """
        for parameter, mask in self._pairs:
            if parameter.grad is not None:
                local_part(parameter.grad).mul_(mask.view(torch.uint8))

    def leave_phase(self, step: int) -> None:
        """Ends the current phase after `step` optimizer steps ("while not converged"); later phases move forward."""
        if self.phase is None or not self.phase.owns(step - 1):
            raise ValueError(
                f"leave_phase({step}) needs a phase that owns step {step - 1}, the current is {self.phase}"
            )
        self.schedule = self.schedule.cut(step)
        self.phase = self.schedule.phases[self.phase.index]
        self.left_early.append(self.phase.index)

    # What others read

    @property
    def sparsity(self) -> float:
        """Fraction of the targets' weights that the current masks prune, in [0, 1); 0.0 outside sparse phases."""
        return self._pruned / self.target_weights if self._pruned else 0.0

    @property
    def target_weights(self) -> int:
        """Number of weights in all pruned parameters."""
        return sum(target.numel for target in self.targets if target.is_pruned)

    @torch.no_grad()
    def revived_weights(self) -> dict[str, int]:
        """Pruned weights that are not exactly zero now, by parameter (empty when all is well; synchronises).

        Of sharded weights the whole's number: every rank must call it.
        """
        counts = {}
        for name, parameter in self._bind(self.masks).items():
            revived = torch.count_nonzero(local_part(parameter.detach()).masked_fill(self.masks[name], 0))
            if count := int(layout_of(parameter).all_sum(revived)):
                counts[name] = count
        return counts

    # Checkpoints

    def state_dict(self) -> dict[str, Any]:
        """The state after the current step: `meta` (JSON-ready) and the bit-packed `masks`, whole.

        Where weights are sharded every rank must call it, whichever of them saves.
        """
        parameters = self._bind(self.masks)
        return {
            "masks": {name: pack_mask(mask, layout_of(parameters[name])) for name, mask in self.masks.items()},
            "meta": {
                "version": _STATE_VERSION,
                "schedule": self.schedule.to_dict(),
                "phase": None if self.phase is None else self.phase.index,
                "left_early": list(self.left_early),
                "mask_criterion": self.mask_criterion,
                "shapes": {name: list(parameter.shape) for name, parameter in parameters.items()},
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
        if meta["version"] != _STATE_VERSION:
            raise ValueError(
                f"DSD state has version {meta['version']}, this hf_dsd reads {_STATE_VERSION}: upgrade hf_dsd"
            )
        self.schedule, self.phase = _continue_schedule(self.schedule, meta)
        self.left_early = list(meta["left_early"])
        masks = self._unpack(state["masks"], meta["shapes"])
        if masks and meta["mask_criterion"] != self.mask_criterion:
            raise ValueError(f"mask_criterion is {self.mask_criterion}, the checkpoint's is {meta['mask_criterion']}")
        self._set_masks(masks)
        self._unverified = bool(masks)

    def save(
        self, folder: str | os.PathLike[str], extra: Mapping[str, Any] | None = None, *, write: bool = True
    ) -> None:
        """Writes the state as `dsd_masks.safetensors` into `folder`, atomically, with JSON-ready `extra` beside it.

        Args:
            folder: The checkpoint.
            extra: What else the file should hold.
            write: False on the ranks that only take part: where weights are sharded every rank must call it.
        """
        state = self.state_dict()
        if write:
            write_state_file(folder, state["masks"], {**state["meta"], "extra": dict(extra or {})})

    def load(self, folder: str | os.PathLike[str]) -> dict[str, Any]:
        """Reads what `save` wrote and returns its `extra`.

        Raises:
            FileNotFoundError: If the folder has no `dsd_masks.safetensors`.
            ValueError: If the file is damaged or belongs to another run (see `load_state_dict`).
        """
        masks, meta = read_state_file(folder)
        extra: dict[str, Any] = meta.pop("extra", {})
        self.load_state_dict({"masks": masks, "meta": meta})
        return extra

    # Phase changes

    def _begin_sparse(self, phase: Phase) -> None:
        self.built = self._build_masks(phase, self._sparsities(phase))
        self._set_masks({name: mask.mask for name, mask in self.built.items() if mask.pruned})
        apply_masks_(self._pairs)
        logger.info(
            "%s: pruned %d of %d weights in %d parameters",
            phase.name,
            self._pruned,
            self.target_weights,
            len(self.built),
        )

    def _build_masks(self, phase: Phase, sparsities: Mapping[str, float]) -> dict[str, BuiltMask]:
        """The masks of a sparse phase; an error on one replica ends the build on all of them."""
        parameters, built = self._bind(sparsities), {}
        digests, failure = dict.fromkeys(parameters, ""), None
        for name, parameter in parameters.items():
            seed = seed_of(self.seed, phase.index, name)
            try:
                built[name] = build_mask(parameter, sparsities[name], criterion=self.mask_criterion, seed=seed)
            except ValueError as error:
                digests[name], failure = f"error: {error}", error
                break
            if self._replicas_of(parameter):
                digests[name] = hashlib.sha256(pack_mask(built[name].mask).numpy().tobytes()).hexdigest()
        self._check_replicas(parameters, digests)
        if failure is not None:
            raise ValueError(f"{name} holds NaN or inf at optimizer step {phase.start}; {failure}") from failure
        return built

    def _replicas_of(self, parameter: Tensor) -> tuple[dist.ProcessGroup, ...]:
        """The groups of ranks that hold the same weights of a parameter as this one."""
        return layout_of(parameter).replicas or (() if self.replicas is None else (self.replicas,))

    def _check_replicas(self, parameters: Mapping[str, Tensor], digests: Mapping[str, str]) -> None:
        """Compares the masks with the replicas' (see `check_agreement`): one message for each group of ranks."""
        held: dict[dist.ProcessGroup, dict[str, str]] = {}
        for name, parameter in parameters.items():
            for group in self._replicas_of(parameter):
                held.setdefault(group, {})[name] = digests[name]
        for group, own in held.items():
            layout = layout_of(parameters[next(iter(own))])
            check_agreement(own, group, layout.device, layout.group)

    def _sparsities(self, phase: Phase) -> dict[str, float]:
        """The fraction that a sparse phase prunes of each target; a phase that would prune nothing is an error."""
        pruned = {t: t.sparsity(phase.sparsity) for t in self.targets if t.is_pruned}
        if max(pruned.values()) > 0 and not any(prune_count(value, t.numel) for t, value in pruned.items()):
            raise ValueError(
                f"{phase.name} would prune nothing: sparsity {phase.sparsity} rounds to 0 weights in each of "
                f"{len(pruned)} parameter(s); raise sparsity"
            )
        return {target.name: value for target, value in pruned.items()}

    def _begin_dense(self) -> None:
        reset_optimizer_state_(self.optimizer, self._bind(self.masks), self.masks, self.reset_optimizer_state)
        self.built = {}
        self._set_masks({})

    def _set_masks(self, masks: dict[str, Tensor]) -> None:
        parameters = self._bind(masks)
        self.masks = masks
        self._pairs = [(parameter, masks[name]) for name, parameter in parameters.items()]
        pruned = {name: mask.numel() - torch.count_nonzero(mask) for name, mask in masks.items()}
        self._pruned = sum(int(layout_of(parameters[name]).all_sum(count)) for name, count in pruned.items())

    def _bind(self, names: Mapping[str, Any]) -> dict[str, nn.Parameter]:
        """The optimizer's own parameters by name, looked up anew: accelerate may have replaced the first ones."""
        if not names:
            return {}
        reshard_(self.model)
        trained = {id(p) for group in self.optimizer.param_groups for p in group["params"]}
        found = {canonical_name(name): p for name, p in self.model.named_parameters()}
        untrained = [name for name in names if name not in found or id(found[name]) not in trained]
        if untrained:
            raise ValueError(
                f"the optimizer does not train {untrained[:5]}, so the weights could never come back: give these "
                "parameters to the optimizer, freeze them, or list them in dense_modules"
            )
        return {name: found[name] for name in names}

    def _unpack(self, packed: Mapping[str, Tensor], shapes: Mapping[str, Sequence[int]]) -> dict[str, Tensor]:
        if not packed:
            return {}
        targets = {target.name: target for target in self.targets if target.is_pruned}
        phase_sparsity = self.phase.sparsity if self.phase is not None else 0.0
        expected = {n for n, t in targets.items() if prune_count(t.sparsity(phase_sparsity), t.numel)}
        if expected != set(packed):
            differing = sorted(expected ^ set(packed))
            raise ValueError(
                f"the checkpoint masks other parameters than this run would: {differing[:5]} differ; resume with the "
                f"same "
                "model, dense_modules and sparsity_overrides"
            )
        masks, parameters = {}, self._bind(packed)
        for name, bits in packed.items():
            if list(shapes[name]) != list(targets[name].shape):
                raise ValueError(f"{name} has shape {targets[name].shape}, the checkpoint's mask {tuple(shapes[name])}")
            mask = unpack_mask(bits, torch.Size(shapes[name]), parameters[name].device)
            kept = mask.numel() - prune_count(targets[name].sparsity(phase_sparsity), mask.numel())
            if int(torch.count_nonzero(mask)) != kept:
                raise ValueError(
                    f"the checkpoint's mask of {name} keeps {int(torch.count_nonzero(mask))}, not {kept} weights"
                )
            masks[name] = layout_of(parameters[name]).part_of(mask)
        return masks

    def _verify_loaded(self) -> None:
        self._unverified = False
        revived = self.revived_weights()
        if revived:
            raise ValueError(
                f"the loaded masks do not belong to the model's weights: pruned entries of {sorted(revived)[:5]} are "
                f"not "
                "zero; load the weights of the same checkpoint"
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
        if old != schedule.phases[old.index]:
            raise ValueError(
                f"the checkpoint's {old.name} was {old}, this run plans {schedule.phases[old.index]}: resume with the "
                "same phase lengths, sparsity and learning rates, or start a new run"
            )
    return schedule, schedule.phases[meta["phase"]]


def check_choice(field: str, value: str, choices: Sequence[str]) -> None:
    """Checks an enumerated option.

    Raises:
        ValueError: If `value` is not one of `choices`.
    """
    if value not in choices:
        raise ValueError(f"{field} must be one of {', '.join(choices)}, got {value!r}")
