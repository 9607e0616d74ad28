"""DSD for any Hugging Face Trainer, through its events and a few small overrides.

The Trainer's loop, with the places where DSD acts:

    create_scheduler              each phase gets its own learning-rate curve; the engine binds to the prepared
    optimizer for every optimizer step:
        on_step_begin             DSD.begin_step(global_step): masks are built, or dropped
        backward (per micro-batch)
        _clip_grad_norm           mask_gradients=True: pruned weights leave the norm
        optimizer.step()
        on_optimizer_step         DSDTrainer.optimizer_step(): W <- W * Mask
        on_step_end               at a phase's last step: ask for an evaluation, save the phase's model
                                  (at an epoch's last step too, so that an evaluation always precedes a checkpoint)
        evaluate, save            the weights already carry their zeros; the masks are saved beside the optimizer

`on_optimizer_step` fires once per optimizer step, so nothing here divides by `gradient_accumulation_steps`. It fires
for steps that an fp16 overflow skipped, too: then applying the mask changes nothing.
"""

import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import Seq2SeqTrainer, Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from hf_dsd.engine.dsd import DSD
from hf_dsd.engine.optimizer_state import forget_optimizer_state_
from hf_dsd.engine.schedule import Phase
from hf_dsd.engine.targets import plan_targets
from hf_dsd.runs.checkpoints import last_whole_checkpoint
from hf_dsd.runs.run import finished_models

from .checks import check_label_smoothing, check_zero, uses_zero3
from .loading import restore_weights_
from .loss_scaling import LossScaling
from .lr_scheduler import PhasedLR
from .phase_monitor import PhaseMonitor
from .push import PushMixin
from .sharding import (
    is_sharded,
    load_whole_optimizer,
    refuse_flattening,
    replicas_of_trainer,
    save_whole_model,
)
from .summary import RunSummary
from .training_args import DSDArgumentsMixin
from .weight_averaging import WeightAverages

logger = logging.getLogger(__name__)


class DSDMixin(PushMixin, Trainer):
    """Adds Dense-Sparse-Dense training to any Trainer subclass: `class MyTrainer(DSDMixin, SomeTrainer)`.

    Takes the Trainer's own arguments, with `args` a `DSDTrainingArguments` (or any arguments class with
    `DSDArgumentsMixin`). `train(resume_from_checkpoint=...)` continues in whichever phase the checkpoint lies.

    Attributes:
        dsd: The engine of the current or last `train()`; None before the first.
        summary: What is written to `dsd_summary.json`.

    Raises:
        TypeError: If `args` lacks the DSD fields.
        ValueError: If the model or the distributed set-up cannot be trained by DSD (see `plan_targets`).
    """

    dsd: DSD | None = None
    lr_scheduler: Any
    model: Any
    _trial: Any = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not isinstance(self.args, DSDArgumentsMixin):
            raise TypeError(
                f"args must be DSDTrainingArguments, got {type(self.args).__name__}: change the class's name"
            )
        _refuse_unsupported(self)
        self._plan()
        self._own_optimizer = self.optimizer is not None
        self._loss_scaling = LossScaling()
        self._smoothing_fits = self.label_smoother is None
        self._steps_per_epoch = 0
        self._evaluated_step = -1
        self._monitor = self._new_monitor()
        self._averages: WeightAverages | None = None  # of the last phase, if asked for
        self.summary = RunSummary()
        self.add_callback(_DSDCallback(self))

    # Overridable

    def optimizer_step(self) -> None:
        """Re-applies the layerwise masks after an optimizer update: W <- W * Mask (Algorithm 1)."""
        self._engine.optimizer_step()

    # For users

    def load_phase(self, name: str) -> None:
        """Loads the model as a phase left it, in place, from `run_folder/name` (such as `phase-1-sparse`).

        Averages of the last phase (`weight_averages`) are loaded by their names, too: `phase-2-dense-ema`.

        Raises:
            FileNotFoundError: If this run has not finished such a phase.
            ValueError: Under ZeRO 3, whose parameters no file can be loaded into.
        """
        done = finished_models(self.run_folder)
        if name not in done:
            raise FileNotFoundError(f"{self.run_folder} holds no finished {name}, only {done or 'no phase'}")
        if uses_zero3(self):
            raise ValueError(
                f"ZeRO 3 cannot load a phase in place: use from_pretrained({str(self.run_folder / name)!r})"
            )
        self._load_from_checkpoint(str(self.run_folder / name))

    @property
    def run_folder(self) -> Path:
        """Where the run's phases and summary go: `output_dir`, or the trial's `output_dir/run-N` within a search."""
        return Path(self._get_output_dir(self._trial))

    # Small overrides of the Trainer

    def train(self, resume_from_checkpoint: str | bool | None = None, *args: Any, **kwargs: Any) -> Any:
        """The Trainer's own; `True` resumes from the newest checkpoint that was written to its end."""
        if resume_from_checkpoint is True:
            resume_from_checkpoint = last_whole_checkpoint(self.args.output_dir)
        return super().train(resume_from_checkpoint, *args, **kwargs)

    def compute_loss(self, model: nn.Module, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """The Trainer's own; the first batch shows whether its label smoothing fits the model's loss."""
        if not self._smoothing_fits:
            check_label_smoothing(self, model, inputs)
            self._smoothing_fits = True
        return super().compute_loss(model, inputs, *args, **kwargs)

    def set_initial_training_values(self, *args: Any, **kwargs: Any) -> Any:
        """Remembers the optimizer steps of an epoch, which turn `phase_epochs` into steps."""
        values = super().set_initial_training_values(*args, **kwargs)
        self._steps_per_epoch = values[1]
        return values

    def create_scheduler(self, num_training_steps: int, optimizer: torch.optim.Optimizer | None = None) -> Any:
        """Builds the engine and, unless the user passed a scheduler, the phases' learning-rate schedule."""
        optimizer = self.optimizer if optimizer is None else optimizer
        schedule = self.args.build_schedule(num_training_steps, self._steps_per_epoch)
        own_scheduler = self.lr_scheduler is not None and not isinstance(self.lr_scheduler, PhasedLR)
        if own_scheduler:
            schedule = schedule.without_learning_rates()
        self._check_optimizer(optimizer, own_scheduler)
        self._monitor, self.summary = self._new_monitor(), RunSummary()
        self._evaluated_step, self._averages = -1, None
        self.dsd = DSD(
            self.model,
            optimizer,
            schedule,
            dense_modules=self.args.dense_modules,
            sparsity_overrides=self.args.sparsity_overrides,
            mask_criterion=self.args.mask_criterion,
            reset_optimizer_state=self.args.reset_optimizer_state,
            seed=self.args.seed,
        )
        self.dsd.replicas = replicas_of_trainer(self)
        self.dsd.check()
        if self.lr_scheduler is None:
            self.lr_scheduler = PhasedLR(
                optimizer,
                lambda: self._engine.schedule,
                base_learning_rate=self.args.learning_rate,
                lr_scheduler_type=self.args.lr_scheduler_type,
                warmup_steps=self.args.get_warmup_steps,
                lr_scheduler_kwargs=self.args.lr_scheduler_kwargs,
            )
            self._created_lr_scheduler = True
        return self.lr_scheduler

    def _hp_search_setup(self, trial: Any) -> None:
        """Lets a trial set the sparsity, the phases and their rates as it sets any other argument."""
        if self.hp_search_backend is None or trial is None:
            super()._hp_search_setup(trial)
            return
        with self.args.changing_phases():
            super()._hp_search_setup(trial)

    def _clip_grad_norm(self, model: nn.Module) -> Any:
        if self.args.mask_gradients:
            self._engine.mask_gradients()
        return super()._clip_grad_norm(model)

    def _get_grad_norm(self, model: nn.Module, grad_norm: Any = None) -> Any:
        if self.args.mask_gradients and grad_norm is None:  # no clipping, so _clip_grad_norm was not called
            self._engine.mask_gradients()
        return super()._get_grad_norm(model, grad_norm=grad_norm)

    def _evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        metrics: dict[str, float] = super()._evaluate(*args, **kwargs)
        self._evaluated_step = self.state.global_step
        self._after_evaluation(metrics)
        return metrics

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        super()._save_optimizer_and_scheduler(output_dir)
        extra = {"monitor": self._monitor.state_dict(), "summary": self.summary.state_dict()}
        self._engine.save(output_dir, extra, write=self.args.should_save)  # gathers the masks of sharded weights
        if self._averages is not None and self.args.should_save:
            self._averages.save(output_dir)

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        """The Trainer's own, which writes its state last: a checkpoint written anew is not whole before that."""
        if self.args.should_save:
            folder = Path(self._get_output_dir(trial)) / f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}"
            (folder / TRAINER_STATE_NAME).unlink(missing_ok=True)
        super()._save_checkpoint(model, trial)

    def _save_rng_state(self, output_dir: str) -> None:
        super()._save_rng_state(output_dir)
        self.accelerator.wait_for_everyone()  # every rank writes its own, and the state comes after all of them

    def _load_from_checkpoint(self, resume_from_checkpoint: str, *model: nn.Module) -> None:
        # A variable number, because sentence-transformers' override takes no model.
        if not restore_weights_(self, resume_from_checkpoint, *model):
            super()._load_from_checkpoint(resume_from_checkpoint, *model)

    def _load_best_model(self) -> None:
        if self.is_deepspeed_enabled or not restore_weights_(self, self.state.best_model_checkpoint):
            super()._load_best_model()

    def _get_num_items_in_batch(self, batch_samples: list[Any], device: torch.device) -> Any:
        counted = super()._get_num_items_in_batch(batch_samples, device)
        return self._loss_scaling.items(self, batch_samples, counted)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is None or not load_whole_optimizer(self, checkpoint):
            super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is not None:
            extra = self._engine.load(checkpoint)
            if extra:  # a file that an engine of a hand-written loop saved has none
                self._monitor.load_state_dict(extra["monitor"])
                self.summary.load_state_dict(extra["summary"])
            self._begin_averages()
            if self._averages is not None:
                self._averages.load(checkpoint)
            if self.args.phase_start == "best":
                self._check_best_weights()

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Adds `dsd_phase` (index) and `dsd_sparsity` (fraction of the targets pruned now) to a run's log lines."""
        if self.dsd is not None and self.is_in_train:  # later the model may be another phase's
            phase = self.dsd.phase or self.dsd.schedule.phase_at(0)
            logs |= {"dsd_phase": phase.index, "dsd_sparsity": self.dsd.sparsity}
        super().log(logs, start_time)
        for key in ("dsd_phase", "dsd_sparsity"):  # not metrics: a hyperparameter search would add them up
            logs.pop(key, None)

    # What the callback asks for

    def _begin_step(self, step: int) -> None:
        dsd = self._engine
        if self.args.phase_start == "best" and dsd.phase is not None and not dsd.phase.owns(step):
            self._return_to_best(dsd.phase)
        if not dsd.begin_step(step):
            return
        planned_rates: list[tuple[int, float]] = []
        if isinstance(self.lr_scheduler, PhasedLR):
            self.lr_scheduler.begin_phase(step)
            planned_rates = self.lr_scheduler.planned_curve(self._phase)
        self._monitor.begin_phase()
        self.summary.begin_phase(self._phase, dsd, planned_rates)
        self._begin_averages()

    def _begin_averages(self) -> None:
        if self.args.weight_averages and is_sharded(self.model):
            raise ValueError("weight_averages needs whole weights on every rank: train without FSDP, or leave it out")
        if self.args.weight_averages and self._engine.phase == self._engine.schedule.phases[-1]:
            self._averages = WeightAverages(self.model, self.args.weight_averages)

    def _finish_phase(self) -> None:
        """At a phase's last step: proves the zeros, saves the phase's model, closes its record."""
        self._check_zeros()
        self._save_phase_model(self._phase.name)
        for kind, averaged in self._averages.models.items() if self._averages is not None else ():
            with self._holding(averaged):
                self._save_phase_model(f"{self._phase.name}-{kind}")
        self.control.should_save |= self._keeps_checkpoint(self._phase)
        self.summary.finish_phase(self._phase, left_early=self._phase.index in self._engine.left_early)
        self._write_summary()

    def _check_zeros(self) -> None:
        revived = self._engine.revived_weights()
        if revived:
            raise RuntimeError(
                f"pruned weights are not zero in {self._phase.name} after step {self.state.global_step} ({revived}): "
                "something else writes them after DSDTrainer.optimizer_step(); remove that callback or override"
            )

    def _after_evaluation(self, metrics: dict[str, float]) -> None:
        """Takes the metrics of an evaluation during training; may find the phase converged."""
        step = self.state.global_step
        if step == self._initial_global_step:  # eval_on_start: the checkpoint has counted this evaluation
            return
        if self.args.phase_patience is not None or self.args.phase_start == "best":
            if self._monitor.observe(metrics, step) and self.args.phase_start == "best":
                self._save_phase_model(self._best_folder(self._phase).name)
            if self._monitor.has_converged and step < self._phase.end:
                self._engine.leave_phase(step)
                self._finish_phase()
                self._shorten_run()
        if step == self._phase.end:
            self.summary.record_metrics(metrics)
            self._write_summary()

    def _shorten_run(self) -> None:
        """Tells the Trainer that the run ends earlier, because a phase was left."""
        self.state.max_steps = self._engine.schedule.total_steps
        if self.state.global_step >= self.state.max_steps:
            self.control.should_training_stop = True
            self.control.should_save |= self.args.save_strategy != "no" and self.is_in_train

    def _return_to_best(self, ended: Phase) -> None:
        """Loads the best evaluation's weights of the phase that ended, in place; its optimizer state no longer fits."""
        if self._monitor.best is None:
            raise ValueError(f'phase_start="best" needs an evaluation within {ended.name}: lower eval_steps')
        if self._monitor.best_step == ended.end:
            return
        logger.info("%s: back to the weights of step %d", ended.name, self._monitor.best_step)
        self._load_from_checkpoint(str(self._best_folder(ended)))
        forget_optimizer_state_(self.optimizer)

    def _check_best_weights(self) -> None:
        """Fails at the start of a resumed run, not at its next boundary, if the best weights are not there."""
        phase, best_step = self._engine.phase, self._monitor.best_step
        if phase is None or self._monitor.best is None or best_step == phase.end:
            return
        if not self._best_folder(phase).is_dir():
            raise FileNotFoundError(
                f'{self._best_folder(phase)} is missing: phase_start="best" needs the weights of the best evaluation '
                f"(step {best_step}); resume with the same output_dir"
            )

    def _best_folder(self, phase: Phase) -> Path:
        return self.run_folder / f"{phase.name}-best-{self._monitor.best_step}"

    def _report_end(self) -> None:
        """Says what a finished `train()` leaves behind where it is not the end of the last phase."""
        schedule, step = self._engine.schedule, self.state.global_step
        if step < schedule.total_steps:
            logger.warning(
                "training stopped in %s at step %d of %d: the model is not the schedule's last dense one",
                schedule.phase_at(step - 1).name if step else "its first phase",
                step,
                schedule.total_steps,
            )
        best_step = self.state.best_global_step
        if self.args.load_best_model_at_end and best_step:
            phase = schedule.phase_at(best_step - 1)
            self.summary.best_model = {"phase": phase.name, "step": best_step}
            note = ": its pruned weights are zero" if phase.is_sparse else ""
            logger.warning("load_best_model_at_end took the model of step %d, in %s%s", best_step, phase.name, note)
        self._write_summary()

    # Files

    def _save_phase_model(self, name: str) -> None:
        """Saves the model as `run_folder/name`, whole or not at all, outside `save_total_limit`."""
        folder = self.run_folder / name
        partial = folder.with_name(f".{name}.partial")
        if self.args.should_save:
            shutil.rmtree(partial, ignore_errors=True)
        save_whole_model(self, partial)
        if self.args.should_save:
            if folder.exists():
                shutil.rmtree(folder)
            os.replace(partial, folder)
        self.accelerator.wait_for_everyone()  # other ranks may read the folder next

    @contextmanager
    def _holding(self, model: nn.Module) -> Iterator[None]:
        """Has the Trainer save another model of the same class as its own."""
        own = self.model
        self.model = model
        try:
            yield
        finally:
            self.model = own

    def _keeps_checkpoint(self, phase: Phase) -> bool:
        return phase.index in (self.args.keep_phase_checkpoints or ())

    def _keep_checkpoint(self, step: int) -> None:
        """Copies the checkpoint just written at a phase's end to where it is not rotated away."""
        if step != self._phase.end or not self._keeps_checkpoint(self._phase):
            return
        self.accelerator.wait_for_everyone()  # each rank writes a part
        if not self.args.should_save:
            return
        source = self.run_folder / f"{PREFIX_CHECKPOINT_DIR}-{step}"
        kept = source.with_name(f"{self._phase.name}-checkpoint")
        partial = kept.with_name(f".{kept.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        shutil.copytree(source, partial)  # no links: the Trainer may write the same checkpoint again
        if kept.exists():  # of an earlier run, or of the step's end where an epoch ends with the phase
            shutil.rmtree(kept)
        os.replace(partial, kept)

    def _write_summary(self) -> None:
        if self.args.should_save:
            self.summary.write(self.run_folder, self._engine, self._facts())

    def _facts(self) -> dict[str, Any]:
        args = self.args
        model = self.accelerator.unwrap_model(self.model, keep_torch_compile=False)
        return {
            "model": type(model).__name__.removeprefix("FSDP"),  # fully_shard renames the class
            "arm": _arm(args),
            "seed": args.seed,
            "data_seed": args.data_seed,
            "world_size": args.world_size,
            "optimizer": type(getattr(self.optimizer, "optimizer", self.optimizer)).__name__,
            "lr_scheduler_type": str(getattr(args.lr_scheduler_type, "value", args.lr_scheduler_type)),
            "batch_size": args.train_batch_size * args.gradient_accumulation_steps * args.world_size,
            "steps_per_epoch": self._steps_per_epoch,
            "mask_criterion": args.mask_criterion,
            "reset_optimizer_state": args.reset_optimizer_state,
            "mask_gradients": args.mask_gradients,
            "weight_averages": list(args.weight_averages or ()),
        }

    # Small helpers

    @property
    def _engine(self) -> DSD:
        if self.dsd is None:
            raise RuntimeError("DSDTrainer has no engine before train()")
        return self.dsd

    @property
    def _phase(self) -> Phase:
        phase = self._engine.phase
        if phase is None:
            raise RuntimeError("DSDTrainer has no phase before its first step")
        return phase

    def _is_at_epoch_end(self) -> bool:
        epoch = self.state.epoch or 0.0
        return epoch > 0 and epoch == int(epoch)

    def _run_epoch(self, *args: Any, **kwargs: Any) -> None:
        if not self.control.should_training_stop:  # a finished run that is resumed would take one step more
            super()._run_epoch(*args, **kwargs)

    def _new_monitor(self) -> PhaseMonitor:
        metric = self.args.metric_for_best_model or "loss"
        greater = self.args.greater_is_better
        return PhaseMonitor(
            metric, not metric.endswith("loss") if greater is None else greater, self.args.phase_patience
        )

    def _check_optimizer(self, optimizer: Any, own_scheduler: bool) -> None:
        """Refuses optimizers and rates of the user's own that would not do what the arguments say."""
        inner = getattr(optimizer, "optimizer", optimizer)
        if hasattr(inner, "train") and hasattr(inner, "eval"):
            raise ValueError(
                f"{type(inner).__name__} evaluates other weights than it trains, which masks cannot reach: use another"
            )
        rates = [group.get("initial_lr", group["lr"]) for group in optimizer.param_groups]
        if own_scheduler:
            if self.args.phase_learning_rates is not None:
                raise ValueError("phase_learning_rates has no effect with a scheduler of your own: pass one of the two")
            logger.warning("the learning rate follows the scheduler you passed, not DSD's phases")
        elif self._own_optimizer and self.lr_scheduler is None and self.args.learning_rate not in rates:
            raise ValueError(
                f"learning_rate is {self.args.learning_rate} but your optimizer was built with {rates}: phases scale "
                "its rates by learning_rate, so give both the same"
            )

    def _plan(self) -> None:
        """Fails now, not after the data is loaded, if the model or the patterns do not fit."""
        shared = len(list(self.model.named_parameters(remove_duplicate=False))) > len(list(self.model.parameters()))
        if shared and not hasattr(self.model, "save_pretrained"):
            raise ValueError(
                f"{type(self.model).__name__} ties weights and is no PreTrainedModel, which the Trainer cannot save "
                f"at a "
                "phase's end: subclass PreTrainedModel"
            )
        plan_targets(self.model, dense_modules=self.args.dense_modules, sparsity_overrides=self.args.sparsity_overrides)


class _DSDCallback(TrainerCallback):
    """Carries the Trainer's events to a `DSDMixin`; it has no state of its own, so resuming cannot lose any."""

    def __init__(self, trainer: DSDMixin) -> None:
        self._trainer = trainer

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._trainer._shorten_run()  # a resumed run may have left a phase early

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        trainer = self._trainer
        before = trainer._engine.phase
        trainer._begin_step(state.global_step)
        if trainer._engine.phase is not before or state.global_step == trainer._initial_global_step:
            self._show_phase()

    def on_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._trainer.optimizer_step()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        trainer = self._trainer
        if trainer._averages is not None:
            trainer._averages.update()
        if state.global_step == trainer._phase.end:
            control.should_log = True
            control.should_evaluate |= trainer.eval_dataset is not None
            trainer._finish_phase()
        elif state.global_step == trainer._phase.start + 1:
            trainer._check_zeros()
        # The Trainer evaluates an epoch after it has left its last step, and with it a checkpoint, behind.
        if args.eval_strategy == "epoch" and trainer._is_at_epoch_end() and (state.epoch or 0) >= args.eval_delay:
            control.should_evaluate = True

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if self._trainer._evaluated_step == state.global_step:  # once is enough
            control.should_evaluate = False

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self._trainer._keep_checkpoint(state.global_step)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._trainer._report_end()

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self._record_evaluation(kwargs["metrics"])

    def on_predict(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self._record_evaluation(kwargs["metrics"])

    def _record_evaluation(self, metrics: dict[str, float]) -> None:
        trainer = self._trainer
        if trainer.dsd is not None and trainer.dsd.phase is not None and not trainer.is_in_train:
            trainer.summary.record_evaluation(metrics)
            trainer._write_summary()

    def _show_phase(self) -> None:
        """Writes the phase before the progress bar, whichever callback draws one."""
        phase, dsd = self._trainer._phase, self._trainer._engine
        masked = f" {dsd.sparsity:.0%}" if dsd.masks else ""
        for callback in self._trainer.callback_handler.callbacks:
            bar: Any = getattr(callback, "training_bar", None)
            if hasattr(bar, "set_description"):
                bar.set_description(f"{phase.name}{masked}")


def _arm(args: Any) -> str:
    """How a comparison calls this run: the dense control, DSD, or DSD with another criterion."""
    if args.dsd_control:
        return "dense"
    return "dsd" if args.mask_criterion == "magnitude" else str(args.mask_criterion)


def _refuse_unsupported(trainer: Trainer) -> None:
    """Refuses by name what would train without masks or with the wrong ones."""
    if trainer.is_deepspeed_enabled:
        check_zero(trainer.accelerator.state.deepspeed_plugin.deepspeed_config, trainer.args)
    refuse_flattening(trainer)
    started = int(os.environ.get("WORLD_SIZE", "1")) if "LOCAL_RANK" in os.environ else 1
    if started > trainer.args.world_size == 1:
        raise ValueError(
            f"{started} processes were launched but each would train alone, into the same output_dir: without GPUs set "
            "use_cpu=True (--use_cpu true, or ACCELERATE_USE_CPU=true before the command), which joins them by gloo"
        )


class DSDTrainer(DSDMixin, Trainer):
    """`transformers.Trainer` with Dense-Sparse-Dense training; see `DSDMixin`."""


class DSDSeq2SeqTrainer(DSDMixin, Seq2SeqTrainer):
    """`transformers.Seq2SeqTrainer` with Dense-Sparse-Dense training; see `DSDMixin`."""
