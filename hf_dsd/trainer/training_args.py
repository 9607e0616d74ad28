"""Every knob of a DSD run: one dataclass mixin over transformers' `TrainingArguments`, ready for `HfArgumentParser`."""

import logging
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from transformers import Seq2SeqTrainingArguments, TrainingArguments
from transformers.trainer_utils import SchedulerType

from hf_dsd.engine.dsd import check_choice
from hf_dsd.engine.masks import CRITERIA
from hf_dsd.engine.optimizer_state import RESET_MODES
from hf_dsd.engine.schedule import Schedule, check_learning_rates, check_lengths, check_sparsity, default_learning_rates
from hf_dsd.runs import metric_names
from hf_dsd.runs.folder import AVERAGES
from hf_dsd.runs.privacy import keep_out_of_pickles

from .argument_types import FIELD_TYPES, read_field

# Python callers may write one number; HfArgumentParser takes only one type per field and reads a list.
# The mixin is no TrainingArguments itself, so that any subclass can have it; to a type checker it is one.
if TYPE_CHECKING:
    from transformers import TrainingArguments as _Arguments

    Fractions = float | Sequence[float]
else:
    Fractions = list[float]
    _Arguments = object

logger = logging.getLogger(__name__)

_DERIVED = {"phase_epochs": "num_train_epochs", "phase_steps": "max_steps", "phase_learning_rates": "learning_rate"}
_METRIC_SCHEDULERS = (SchedulerType.REDUCE_ON_PLATEAU, SchedulerType.GREEDY)


def _option(default: Any, text: str) -> Any:
    return field(default=default, metadata={"help": text})


@dataclass
class DSDArgumentsMixin(_Arguments):
    """The fields that DSD adds to any `TrainingArguments` subclass.

    Without `phase_epochs` or `phase_steps` the run's `num_train_epochs` or `max_steps` is divided into equal phases:
    D, S, D, and two more for each further `sparsity`. With them, the run is as long as they say.

    What each field means is its help, which `--help` prints, too.
    """

    sparsity: Fractions = field(
        default_factory=lambda: [0.3],
        metadata={"help": "Fraction of every pruned layer that is zero in a sparse phase, [0, 1); several: one per S."},
    )
    phase_epochs: list[float] | None = _option(
        None,
        "Epochs of D S [D S ...], fractions allowed; a first 0 starts from an already trained model. D S D is the "
        "paper's method, D S ends with a sparse model.",
    )
    phase_steps: list[int] | None = _option(None, "Optimizer steps of D S [D S ...], instead of --phase_epochs.")
    phase_learning_rates: list[float] | None = _option(
        None, "Peak learning rate of each phase. Default: lr, lr, lr/10, and a further tenth after each further S."
    )
    phase_patience: int | None = _option(
        None, "Leave a phase after N evaluations without improvement of metric_for_best_model."
    )
    phase_start: Literal["last", "best"] = _option(
        "last", "Which weights of a phase the next one begins from: the last, or the best evaluation's."
    )
    dense_modules: list[str] | None = _option(
        None,
        "Regexes of parameters kept dense: head replaces the default list, which is the model's own; +head adds to it.",
    )
    sparsity_overrides: dict[str, float] | str | None = _option(
        None, 'Regex -> sparsity as a dictionary or JSON, e.g. \'{"lstm": 0.5, "decoder": 0}\'.'
    )
    mask_criterion: Literal["magnitude", "random", "zeros"] = _option(
        "magnitude",
        "Which weights are pruned: the smallest; random ones, as a control; or zeros, with phases 0 S [D]: a sparse "
        "model trains on under its own mask; sparsity and sparsity_overrides must be those that it was trained with.",
    )
    reset_optimizer_state: Literal["none", "masked", "all"] = _option(
        "masked", "What the optimizer forgets when pruned weights come back: nothing, their entries, or all its state."
    )
    mask_gradients: bool = _option(False, "Keep pruned weights' gradients out of the clipping norm.")
    dsd_control: bool = _option(
        False, "Train the equal-budget dense control: the same lengths and learning rates, no masks."
    )
    weight_averages: list[str] | None = _option(
        None, "ema and/or swa: also average the weights over the last phase, see WeightAverages."
    )
    keep_early_stop: bool = _option(
        False,
        "Also keep the model of the run's best evaluation by metric_for_best_model, as phase-N-KIND-early: what early "
        "stopping would have ended with, see EarlyStop.",
    )
    keep_phases: list[int] | None = _option(
        None, "Phases (from 0) whose model is saved, the last among them. Default: all."
    )
    keep_phase_checkpoints: list[int] | None = _option(
        None,
        "Phases (from 0) whose end is kept as a full checkpoint outside save_total_limit, phase-N-KIND-checkpoint, "
        "from which other runs can start by resume_from_checkpoint.",
    )

    def __post_init__(self) -> None:
        """Validates the fields and makes the run as long as its phases."""
        self.resolve_phases()
        check_choice("phase_start", self.phase_start, ("last", "best"))
        check_choice("mask_criterion", self.mask_criterion, CRITERIA)
        check_choice("reset_optimizer_state", self.reset_optimizer_state, RESET_MODES)
        if self.phase_patience is not None and self.phase_patience < 1:
            raise ValueError(f"phase_patience must be at least 1 evaluation, got {self.phase_patience}")
        for kind in self.weight_averages or ():
            check_choice("weight_averages", kind, AVERAGES)
        self._check_combinations()
        self._check_kept()
        if self.metric_for_best_model is not None:  # else transformers would guess, by the end of the name
            self.greater_is_better: bool | None = self.monitored_metric[1]
        super().__post_init__()
        keep_out_of_pickles(self, "hub_token")

    def resolve_phases(self) -> None:
        """Checks the phases' numbers and sets `num_train_epochs`, `max_steps` and `learning_rate` to agree with them.

        Raises:
            ValueError: If a field has another type than `FIELD_TYPES` says, a number is out of range, or two fields
                contradict each other.
        """
        for name in FIELD_TYPES:
            setattr(self, name, read_field(name, getattr(self, name)))
        self.sparsity = check_sparsity(self.sparsity)
        if self.phase_epochs is not None and self.phase_steps is not None:
            raise ValueError(f"give phase_epochs or phase_steps, not both: {self.phase_epochs} and {self.phase_steps}")
        if self.phase_epochs is not None:
            check_lengths("phase_epochs", self.phase_epochs, self.sparsity)
            self._agree("num_train_epochs", sum(self.phase_epochs), "phase_epochs")
            if self.max_steps > 0:
                raise ValueError(f"max_steps is {self.max_steps} but phase_epochs sets the length: use phase_steps")
        if self.phase_steps is not None:
            total = Schedule.from_steps(self.phase_steps, self.sparsity, prefix="phase_").total_steps
            self._agree("max_steps", total, "phase_steps")
        check_learning_rates(self.phase_learning_rates, self.phase_count)
        if self.phase_learning_rates is not None:
            self._agree("learning_rate", self.phase_learning_rates[0], "phase_learning_rates")
        else:
            check_learning_rates([self.learning_rate], 1, "learning_rate")

    @contextmanager
    def changing_phases(self) -> Iterator[None]:
        """Within the block fields may be set as a hyperparameter search does; what follows from them is set anew.

        Raises:
            ValueError: At the block's end, as `resolve_phases`.
        """
        defaults = type(self).__dataclass_fields__
        before = {name: getattr(self, name) for name in ("sparsity", *_DERIVED.values())}
        for source, derived in _DERIVED.items():
            if getattr(self, source) is not None:
                setattr(self, derived, defaults[derived].default)
        # transformers casts a trial's value to the type of the old one, but a fraction is no list; None is not cast to.
        self.sparsity = None  # type: ignore[assignment]
        finished = False
        try:
            yield
            finished = True
        finally:
            for name, value in before.items():
                if not finished or getattr(self, name) is None:
                    setattr(self, name, value)
        self.resolve_phases()

    def _agree(self, name: str, value: float, by: str) -> None:
        """Sets field `name` to the `value` that field `by` implies, unless the user gave another one."""
        given, default = getattr(self, name), type(self).__dataclass_fields__[name].default
        if given != default and not math.isclose(given, value):
            raise ValueError(f"{name} is {given} but {by} says {value:g}: leave {name} out, or make the two agree")
        setattr(self, name, value)

    def _check_combinations(self) -> None:
        if self.lr_scheduler_type in _METRIC_SCHEDULERS:
            raise ValueError(
                f"lr_scheduler_type {SchedulerType(self.lr_scheduler_type).value} follows the metric across "
                "phases, which DSD does not support: use a schedule of steps such as linear or cosine"
            )
        optim = str(getattr(self.optim, "value", self.optim))
        if "layerwise" in optim or "lomo" in optim:
            raise ValueError(f"optim {optim} updates weights during backward, where DSD cannot mask them: use another")
        if "schedule_free" in optim:
            raise ValueError(
                f"optim {optim} evaluates other weights than it trains, which DSD cannot mask: use another"
            )
        waits = self.phase_patience is not None or self.phase_start == "best" or self.keep_early_stop
        if waits and self.eval_strategy == "no":
            raise ValueError(
                'phase_patience, phase_start="best" and keep_early_stop need evaluations: set eval_strategy'
            )

    @property
    def monitored_metric(self) -> tuple[str, bool]:
        """The metric that tells which evaluation is the best, and whether a greater value of it is better.

        Raises:
            ValueError: If neither the user nor the metric's name says which.
        """
        metric: str = self.metric_for_best_model or "loss"
        given: bool | None = self.greater_is_better
        known = metric_names.greater_is_better(metric)
        if given is None and known is None:
            raise ValueError(
                f"greater_is_better must be given for metric_for_best_model {metric!r}: its name does not tell whether "
                "a greater or a smaller value is better"
            )
        if None not in (given, known) and given != known:
            logger.warning("greater_is_better=%s for %s, whose name says otherwise, is taken as given", given, metric)
        return metric, bool(known if given is None else given)

    def _check_kept(self) -> None:
        for name in ("keep_phases", "keep_phase_checkpoints"):
            wrong = [index for index in getattr(self, name) or () if not 0 <= index < self.phase_count]
            if wrong:
                raise ValueError(f"{name} must name phases 0 .. {self.phase_count - 1}, got {wrong}")
        last = self.phase_count - 1
        if self.keep_phases is not None and last not in self.keep_phases:
            raise ValueError(
                f"keep_phases must include the last phase, the run's result, got {self.keep_phases}: add {last}"
            )
        kept = self.keep_phase_checkpoints or []
        if kept and (self.save_only_model or self.save_strategy == "best"):
            raise ValueError(
                "keep_phase_checkpoints needs full checkpoints at the phases' ends: leave out save_only_model and "
                "save_strategy best"
            )

    @property
    def phase_count(self) -> int:
        """Number of phases, at least 2."""
        lengths = self.phase_epochs or self.phase_steps
        return len(lengths) if lengths else 2 * len(check_sparsity(self.sparsity)) + 1

    def build_schedule(self, total_steps: int, steps_per_epoch: int) -> Schedule:
        """The schedule of a run.

        Args:
            total_steps: Optimizer steps of the run, as the Trainer counts them.
            steps_per_epoch: Optimizer steps of one epoch.

        Raises:
            ValueError: If the run is too short for its phases.
        """
        rates = self.phase_learning_rates or default_learning_rates(self.learning_rate, self.phase_count)
        if self.phase_steps is not None:
            schedule = Schedule.from_steps(self.phase_steps, self.sparsity, rates, prefix="phase_")
        elif self.phase_epochs is not None:
            schedule = Schedule.from_epochs(self.phase_epochs, steps_per_epoch, self.sparsity, rates, prefix="phase_")
        else:
            schedule = Schedule.equal_parts(total_steps, self.sparsity, rates, prefix="phase_")
        if schedule.total_steps > total_steps:  # a field was changed after it had been checked
            raise ValueError(
                f"the phases take {schedule.total_steps} steps but the run has {total_steps}: build the arguments anew "
                "instead of changing phase_epochs or phase_steps"
            )
        return schedule.dense_control() if self.dsd_control else schedule


@dataclass
class DSDTrainingArguments(DSDArgumentsMixin, TrainingArguments):
    """`TrainingArguments` with the fields of DSD; see `DSDArgumentsMixin`."""


@dataclass
class DSDSeq2SeqTrainingArguments(DSDArgumentsMixin, Seq2SeqTrainingArguments):
    """`Seq2SeqTrainingArguments` with the fields of DSD; see `DSDArgumentsMixin`."""
