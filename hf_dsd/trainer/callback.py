"""The Trainer's events, carried to the run's `Lifecycle`."""

from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState

from hf_dsd.runs.checkpoints import finish_rotation, remove_litter, remove_set_aside, seal
from hf_dsd.runs.folder import CHECKPOINT_PREFIX

from .lifecycle import Lifecycle


class DSDCallback(TrainerCallback):
    """Carries the Trainer's events to a `DSDMixin`; it has no state of its own, so resuming cannot lose any.

    Args:
        trainer: The `DSDMixin`; its `optimizer_step` is the one that a subclass may override.
    """

    def __init__(self, trainer: Any) -> None:
        self._trainer = trainer

    @property
    def _life(self) -> Lifecycle:
        life: Lifecycle = self._trainer._life
        return life

    def on_train_begin(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """A resumed run may have been killed at any moment, or have left a phase early."""
        if args.should_save:
            folder, resumed_from = self._life.host.folder, self._trainer.resumed_from
            remove_litter(folder)
            step, limit, best = state.global_step, args.save_total_limit, state.best_model_checkpoint
            finish_rotation(folder, step, resumed_from, limit, best)
        self._life.begin(state.global_step, self._trainer.resumed_from)
        self.follow_schedule(args, state, control)

    def on_epoch_begin(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Tells the data its epoch, for augmentation; where a run resumes amid one, accelerate forgets to."""
        if hasattr(self._trainer.train_dataset, "set_epoch"):
            self._trainer.train_dataset.set_epoch(int((state.epoch or 0.0) + 1e-6))

    def on_step_begin(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Masks are built or dropped where a phase begins."""
        if self._life.begin_step(state.global_step) or state.global_step == self._life.started_step:
            self._show_phase()

    def on_optimizer_step(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """After every optimizer step, also one that an fp16 overflow skipped: then the masks change nothing."""
        if getattr(args, "mask_gradients", False) and not self._life.engine.gradients_masked:
            name = type(self._trainer).__name__
            raise RuntimeError(
                f"mask_gradients=True has masked no gradient: {name}.training_step does not call DSDMixin's; return "
                "super().training_step(...) there, or call self.dsd.mask_gradients() after its backward pass"
            )
        self._trainer.optimizer_step()

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """A phase ends with a log line, an evaluation and, where it is to be kept, a checkpoint."""
        if self._life.end_step(state.global_step):
            control.should_log = True
            control.should_evaluate |= self._trainer.eval_dataset is not None
            control.should_save |= self._life.keeps_checkpoint
        # The Trainer evaluates an epoch after it has left its last step, and with it a checkpoint, behind.
        epoch = state.epoch or 0.0
        if args.eval_strategy == "epoch" and 0 < epoch == int(epoch) and epoch >= args.eval_delay:
            control.should_evaluate = True

    def on_epoch_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Once is enough: a checkpoint written again would be destroyed before the new one is whole."""
        if self._life.evaluated_step == state.global_step:
            control.should_evaluate = False
        if self._life.saved_step == state.global_step:
            control.should_save = False

    def on_save(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """The Trainer has written its state, the last file of a checkpoint."""
        folder = self._life.host.folder / f"{CHECKPOINT_PREFIX}-{state.global_step}"
        if args.should_save and not args.save_only_model:
            seal(folder)
            remove_set_aside(folder.parent)
        self._life.keep_checkpoint(state.global_step, folder)

    def on_train_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Says what the run leaves behind."""
        if args.load_best_model_at_end and state.best_model_checkpoint is not None:
            self._trainer.load_best_weights()
        self._life.end(state.global_step, state.best_global_step if args.load_best_model_at_end else None)

    def on_evaluate(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """After training the summary keeps the metrics; during training `DSDMixin._evaluate` takes them."""
        self._show_phase_in_table()
        if self._trainer.life is not None and not self._trainer.is_in_train:
            self._life.record_evaluation(kwargs["metrics"])

    def on_predict(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """As `on_evaluate`."""
        self.on_evaluate(args, state, control, **kwargs)

    def on_log(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Without evaluations a notebook's table has a row per log line; with them, its last row is an older one."""
        if args.eval_strategy == "no":
            self._show_phase_in_table()

    def follow_schedule(self, args: Any, state: TrainerState, control: TrainerControl) -> None:
        """Tells the Trainer that the run ends earlier, where a phase was left early."""
        state.max_steps = self._life.total_steps
        if state.global_step >= state.max_steps:
            control.should_training_stop = True
            control.should_save |= args.save_strategy != "no"

    @property
    def _phase_text(self) -> str:
        engine = self._life.engine
        return f"{self._life.phase.name}{f' {engine.sparsity:.0%}' if engine.masks else ''}"

    def _show_phase(self) -> None:
        """Writes the phase before the progress bar, whichever callback draws one."""
        for callback in self._trainer.callback_handler.callbacks:
            bar: Any = getattr(callback, "training_bar", None)
            if hasattr(bar, "set_description"):
                bar.set_description(self._phase_text)
            elif (tracker := getattr(callback, "training_tracker", None)) is not None:
                tracker.prefix = self._phase_text

    def _show_phase_in_table(self) -> None:
        """Adds the phase to the row that a notebook's callback has just written."""
        for callback in self._trainer.callback_handler.callbacks:
            tracker: Any = getattr(callback, "training_tracker", None)
            if tracker is not None and self._trainer.is_in_train and len(tracker.inner_table or ()) > 1:
                tracker.write_line({tracker.inner_table[0][0]: tracker.inner_table[-1][0], "Phase": self._phase_text})
