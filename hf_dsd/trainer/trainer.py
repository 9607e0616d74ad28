"""DSD for any Hugging Face Trainer, through its events and a few small overrides.

The Trainer's loop, with the places where DSD acts; `Lifecycle` does the work, `DSDCallback` carries the events to it:

    create_scheduler              `build_engine`, then each phase gets its own learning-rate curve
    for every optimizer step:
        on_step_begin             masks are built, or dropped
        training_step             backward; mask_gradients=True: pruned weights leave the norm before clipping
        optimizer.step()
        on_optimizer_step         DSDTrainer.optimizer_step(): W <- W * Mask
        on_step_end               at a phase's last step: ask for an evaluation, save the phase's model
        evaluate, save            the weights already carry their zeros; the masks are saved beside the optimizer

`on_optimizer_step` fires once per optimizer step, so nothing here divides by `gradient_accumulation_steps`.
"""

from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import Seq2SeqTrainer, Trainer

from hf_dsd.engine.dsd import DSD
from hf_dsd.engine.schedule import Schedule
from hf_dsd.runs.checkpoints import find_checkpoint, seal, unseal
from hf_dsd.runs.run import finished_models

from .callback import DSDCallback
from .checks import check_label_smoothing, check_model, check_optimizer, refuse_unsupported, uses_zero3
from .facts import check_optimizer_state
from .host import begin_life, signature_beneath
from .lifecycle import Lifecycle
from .loading import restore_weights_
from .loss_scaling import LossScaling
from .lr_scheduler import PhasedLR
from .push import PushMixin
from .restart import Start, begin_anew
from .sharding import load_whole_optimizer, on_main_process, replicas_of_trainer
from .summary import RunSummary
from .training_args import DSDArgumentsMixin


class DSDMixin(PushMixin, Trainer):
    """Adds Dense-Sparse-Dense training to any Trainer subclass: `class MyTrainer(DSDMixin, SomeTrainer)`.

    Takes the Trainer's own arguments, with `args` a `DSDTrainingArguments` (or any arguments class with
    `DSDArgumentsMixin`). `train(resume_from_checkpoint=...)` continues in whichever phase the checkpoint lies.

    Attributes:
        life: The current or last `train()`, step by step; None before the first.
        resumed_from: The checkpoint that it went on from.

    Raises:
        TypeError: If `args` lacks the DSD fields.
        ValueError: If the model or the distributed set-up cannot be trained by DSD (see `plan_targets`).
    """

    lr_scheduler: Any
    model: Any
    optimizer: Any
    _trial: Any = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Lets `help` and editors show the arguments of the Trainer beneath."""
        super().__init_subclass__(**kwargs)
        cls.__signature__ = signature_beneath(cls, DSDMixin)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not isinstance(self.args, DSDArgumentsMixin):
            raise TypeError(
                f"args must be DSDTrainingArguments, got {type(self.args).__name__}: change the class's name"
            )
        refuse_unsupported(self)
        check_model(self.model, self.args)
        self.resumed_from: Path | None = None
        self._own_optimizer = self.optimizer is not None
        self._loss_scaling = LossScaling()
        self._smoothing_fits = self.label_smoother is None
        self._no_summary = RunSummary()
        self._steps_per_epoch = 0
        self._start: Start | None = None
        self._events = DSDCallback(self)
        self.add_callback(self._events)

    # Overridable

    def optimizer_step(self) -> None:
        """Re-applies the layerwise masks after an optimizer update: W <- W * Mask (Algorithm 1)."""
        self._life.engine.optimizer_step()

    def build_engine(self, schedule: Schedule, optimizer: torch.optim.Optimizer) -> DSD:
        """Builds the engine of a run, now that model and optimizer are prepared.

        Raises:
            ValueError: If a sparse phase could not be trained: it would prune nothing, or what is not trained.
        """
        engine = DSD(
            self.model,
            optimizer,
            schedule,
            dense_modules=self.args.dense_modules,
            sparsity_overrides=self.args.sparsity_overrides,
            mask_criterion=self.args.mask_criterion,
            reset_optimizer_state=self.args.reset_optimizer_state,
            seed=self.args.seed,
        )
        engine.replicas = replicas_of_trainer(self)
        engine.check()
        return engine

    # For users

    @property
    def dsd(self) -> DSD | None:
        """The engine of the current or last `train()`; None before the first."""
        return None if self.life is None else self.life.engine

    @property
    def summary(self) -> RunSummary:
        """What is written to `dsd_summary.json`; empty before the first `train()`."""
        return self._no_summary if self.life is None else self.life.recorder

    @property
    def run_folder(self) -> Path:
        """Where the run's phases and summary go: `output_dir`, or the trial's `output_dir/run-N` within a search."""
        return Path(self._get_output_dir(self._trial))

    def load_phase(self, name: str) -> None:
        """Loads the model as a phase left it, in place, from `run_folder/name` (such as `phase-1-sparse`).

        Averages of the last phase (`weight_averages`) are loaded by their names, too: `phase-2-dense-ema`.

        Raises:
            FileNotFoundError: If this run has not finished such a phase.
            ValueError: Under ZeRO 3, whose parameters no file can be loaded into.
        """
        done = finished_models(self.run_folder)
        if name not in done:
            raise FileNotFoundError(
                f"{self.run_folder} holds no finished {name}, only {done or 'no phase'}: give one of these"
            )
        if uses_zero3(self):
            raise ValueError(
                f"ZeRO 3 cannot load a phase in place: use from_pretrained({str(self.run_folder / name)!r})"
            )
        self._load_from_checkpoint(str(self.run_folder / name))

    def load_best_weights(self) -> None:
        """Loads the model of the best checkpoint, in place (`load_best_model_at_end`).

        The Trainer has done so by the names in the file, which need not be the model's: see `restore_weights_`.
        """
        if not self.is_deepspeed_enabled:
            restore_weights_(self, str(self.state.best_model_checkpoint))

    # Small overrides of the Trainer

    def train(self, resume_from_checkpoint: str | bool | None = None, *args: Any, **kwargs: Any) -> Any:
        """The Trainer's own; `True` (or "true", of a command line) resumes from the newest checkpoint that is whole.

        Raises:
            FileNotFoundError: If there is no such checkpoint.
            ValueError: If the one that was named is damaged or was not written to its end.
        """
        found = on_main_process(lambda: find_checkpoint(resume_from_checkpoint, self.args.output_dir))
        self.resumed_from = None if found is None else Path(found)
        self._start = None
        return super().train(found, *args, **kwargs)

    def set_initial_training_values(self, args: Any, *more: Any, **kwargs: Any) -> Any:
        """Remembers the optimizer steps of an epoch, which turn `phase_epochs` into steps; a retry begins anew."""
        if args.auto_find_batch_size:
            self._start = begin_anew(self, self._start)
        values = super().set_initial_training_values(args, *more, **kwargs)
        self._steps_per_epoch = values[1]
        return values

    def create_scheduler(self, num_training_steps: int, optimizer: torch.optim.Optimizer | None = None) -> Any:
        """Begins a run: its engine and, unless the user passed a scheduler, the phases' learning-rate schedule."""
        optimizer = self.optimizer if optimizer is None else optimizer
        own_scheduler = self.lr_scheduler is not None and not isinstance(self.lr_scheduler, PhasedLR)
        check_optimizer(self.args, optimizer, own_optimizer=self._own_optimizer, own_scheduler=own_scheduler)
        schedule = self.args.build_schedule(num_training_steps, self._steps_per_epoch)
        engine = self.build_engine(schedule.without_learning_rates() if own_scheduler else schedule, optimizer)
        if self.lr_scheduler is None:
            self.lr_scheduler = PhasedLR(
                optimizer,
                lambda: engine.schedule,
                base_learning_rate=self.args.learning_rate,
                lr_scheduler_type=self.args.lr_scheduler_type,
                warmup_steps=self.args.get_warmup_steps,
                lr_scheduler_kwargs=self.args.lr_scheduler_kwargs,
            )
            self._created_lr_scheduler = True
        self.life = begin_life(self, engine, None if own_scheduler else self.lr_scheduler, self._steps_per_epoch)
        return self.lr_scheduler

    def get_batch_samples(self, *args: Any, **kwargs: Any) -> Any:
        """The Trainer's own; the number of items is left out where the loss does not divide by it."""
        if self.control.should_training_stop:  # a finished run that is resumed would take one step more
            return [], None
        batches, count = super().get_batch_samples(*args, **kwargs)
        return batches, self._loss_scaling.items(self, batches, count) if batches else count

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
        **kwargs: Any,
    ) -> Any:
        """The Trainer's own; the first batch shows whether label smoothing fits, an evaluation's as a step's count."""
        if not self._smoothing_fits:
            check_label_smoothing(self, model, inputs)
            self._smoothing_fits = True
        if not torch.is_grad_enabled():
            num_items_in_batch = self._loss_scaling.items(self, [inputs], num_items_in_batch)
        return super().compute_loss(model, inputs, return_outputs, num_items_in_batch, **kwargs)

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """The Trainer's own; clipping follows after the last micro-batch of a step, when the gradients are whole."""
        loss: torch.Tensor = super().training_step(*args, **kwargs)
        if self.args.mask_gradients and self.accelerator.sync_gradients:
            self._life.engine.mask_gradients()
        return loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Adds `dsd_phase` (index) and `dsd_sparsity` (fraction of the targets pruned now) to a run's log lines."""
        dsd = self.dsd
        if dsd is not None and self.is_in_train:  # later the model may be another phase's
            phase = dsd.phase or dsd.schedule.phase_at(0)
            logs |= {"dsd_phase": phase.index, "dsd_sparsity": dsd.sparsity}
        super().log(logs, start_time)
        for key in ("dsd_phase", "dsd_sparsity"):  # not metrics: a hyperparameter search would add them up
            logs.pop(key, None)

    def _evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """The training loop's evaluation may find the phase converged.

        Not `evaluate`: question answering trainers have one that never calls the Trainer's, and callbacks call it for
        other data sets.
        """
        metrics: dict[str, float] = super()._evaluate(*args, **kwargs)
        if self._life.after_evaluation(metrics, self.state.global_step):
            self.control.should_save |= self._life.keeps_checkpoint
            self._events.follow_schedule(self.args, self.state, self.control)
        return metrics

    def _hp_search_setup(self, trial: Any) -> None:
        """Lets a trial set the sparsity, the phases and their rates as it sets any other argument."""
        if self.hp_search_backend is None or trial is None:
            super()._hp_search_setup(trial)
            return
        with self.args.changing_phases():
            super()._hp_search_setup(trial)

    def _save_rng_state(self, output_dir: str) -> None:
        """The last that every rank writes, before the Trainer's state: the run's own state comes with it."""
        if self.args.should_save:
            unseal(Path(output_dir))
        super()._save_rng_state(output_dir)
        self._life.save(Path(output_dir), self.state.global_step)
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            seal(Path(output_dir))  # once more with the Trainer's state, after which older checkpoints may be gone

    def _load_from_checkpoint(self, resume_from_checkpoint: str, *model: nn.Module) -> None:
        # A variable number, because sentence-transformers' override takes no model.
        if not restore_weights_(self, resume_from_checkpoint, *model):
            super()._load_from_checkpoint(resume_from_checkpoint, *model)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is not None:
            self._life.load(Path(checkpoint), self.state.global_step)  # refuses another recipe before it is loaded
        if checkpoint is None or not load_whole_optimizer(self, checkpoint):
            super()._load_optimizer_and_scheduler(checkpoint)
        check_optimizer_state(self.optimizer)

    # Small helpers

    @property
    def _life(self) -> Lifecycle:
        if self.life is None:
            raise RuntimeError(
                f"the run of {type(self).__name__} has not begun: train() begins it, in create_scheduler; one of your "
                "own must set self.lr_scheduler and return super().create_scheduler(num_training_steps, optimizer)"
            )
        return self.life


class DSDTrainer(DSDMixin, Trainer):
    """`transformers.Trainer` with Dense-Sparse-Dense training; see `DSDMixin`."""


class DSDSeq2SeqTrainer(DSDMixin, Seq2SeqTrainer):
    """`transformers.Seq2SeqTrainer` with Dense-Sparse-Dense training; see `DSDMixin`."""
