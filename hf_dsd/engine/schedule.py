"""WHEN: which phase of Dense-Sparse-Dense training owns an optimizer step.

A schedule alternates dense and sparse phases: D, S, D, and so on. It ends dense, as the paper's method does, or sparse,
where the sparse model is the result (the paper's "Sparse" rows). It is plain data: no tensors, no clock of its own. The
only time is the number of the optimizer step, so whoever knows `global_step` knows the phase, which is what makes a run
resumable anywhere.
"""

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from enum import Enum
from itertools import accumulate
from typing import Any

from .numbers import as_list, as_number

Sparsity = float | Sequence[float]


class PhaseKind(str, Enum):
    """Whether a phase trains all weights (`DENSE`) or only those that its mask keeps (`SPARSE`)."""

    DENSE = "dense"
    SPARSE = "sparse"


@dataclass(frozen=True)
class Phase:
    """One phase of a schedule: the optimizer steps `start <= step < end`."""

    index: int  # position in the schedule, from 0
    kind: PhaseKind
    start: int  # its first optimizer step, from 0
    end: int  # one past its last optimizer step
    sparsity: float = 0.0  # fraction of every target set to zero, in [0, 1); 0 in a dense phase
    learning_rate: float | None = None  # its peak, or None where the caller manages it

    @property
    def name(self) -> str:
        """`phase-1-sparse`: how logs and folders call the phase."""
        return f"phase-{self.index}-{self.kind.value}"

    @property
    def steps(self) -> int:
        """Length in optimizer steps."""
        return self.end - self.start

    @property
    def is_sparse(self) -> bool:
        """True where masks are in force."""
        return self.kind is PhaseKind.SPARSE

    def owns(self, step: int) -> bool:
        """True if optimizer step `step` belongs to this phase."""
        return self.start <= step < self.end


@dataclass(frozen=True)
class Schedule:
    """Consecutive phases that cover the optimizer steps 0 .. total_steps - 1.

    Build one with `from_steps`, `from_epochs` or `equal_parts`; each takes the lengths of D, S[, D, S ...].

    Attributes:
        phases: The phases in order, dense and sparse in turn. Only the first may be empty (an already trained model).
    """

    phases: tuple[Phase, ...]

    @classmethod
    def from_steps(
        cls,
        steps: Sequence[int],
        sparsity: Sparsity = 0.3,
        learning_rates: Sequence[float] | None = None,
        *,
        prefix: str = "",
    ) -> "Schedule":
        """Builds a schedule from the length of each phase in optimizer steps.

        Args:
            steps: Lengths of D, S[, D, S ...]; a first 0 starts from an already trained model.
            sparsity: Fraction pruned in the sparse phases, in [0, 1): one number for all, or one per sparse phase.
            learning_rates: Peak learning rate of each phase, > 0; None leaves the learning rate to the caller.
            prefix: For errors, what the caller's names of these arguments begin with: `phase_` for `phase_steps`.

        Raises:
            ValueError: If a length, a sparsity or a learning rate is out of range, or their counts do not agree.
        """
        sparsities = check_sparsity(sparsity)
        lengths = check_lengths(f"{prefix}steps", steps, sparsities)
        if any(int(n) != n for n in lengths):
            raise ValueError(f"{prefix}steps must be whole numbers of optimizer steps, got {lengths}")
        if len(sparsities) == 1:
            sparsities *= len(lengths) // 2
        checked = check_learning_rates(learning_rates, len(lengths), f"{prefix}learning_rates")
        rates = [None] * len(lengths) if checked is None else checked
        ends = list(accumulate(map(int, lengths)))
        phases = []
        for index, (start, end, rate) in enumerate(zip([0, *ends], ends, rates, strict=False)):
            if index % 2:
                phases.append(Phase(index, PhaseKind.SPARSE, start, end, sparsities[index // 2], rate))
            else:
                phases.append(Phase(index, PhaseKind.DENSE, start, end, 0.0, rate))
        return cls(tuple(phases))

    @classmethod
    def from_epochs(
        cls,
        epochs: Sequence[float],
        steps_per_epoch: int,
        sparsity: Sparsity = 0.3,
        learning_rates: Sequence[float] | None = None,
        *,
        prefix: str = "",
    ) -> "Schedule":
        """Builds a schedule from lengths in epochs; boundaries fall on the nearest optimizer step.

        Args:
            epochs: Lengths of D, S[, D, S ...] in epochs, fractions allowed (VGG-16's sparse phase is 1.25).
            steps_per_epoch: Optimizer steps of one epoch.
            sparsity: As in `from_steps`, like the next two.
            learning_rates: None leaves them to the caller.
            prefix: For errors.

        Raises:
            ValueError: As `from_steps`, and if a phase is shorter than one optimizer step.
        """
        epochs = check_lengths(f"{prefix}epochs", epochs, check_sparsity(sparsity))
        total = math.ceil(sum(epochs) * steps_per_epoch - 1e-9)  # as Trainer rounds, but 0.1 + 0.1 + 0.1 is 0.3 here
        ends = [round(sum(epochs[: i + 1]) * steps_per_epoch) for i in range(len(epochs) - 1)] + [total]
        steps = _lengths_between(ends, f"{prefix}epochs", epochs)
        return cls.from_steps(steps, sparsity, learning_rates, prefix=prefix)

    @classmethod
    def equal_parts(
        cls,
        total_steps: int,
        sparsity: Sparsity = 0.3,
        learning_rates: Sequence[float] | None = None,
        *,
        prefix: str = "",
    ) -> "Schedule":
        """Divides `total_steps` into equal phases: D, S, D, and two more for each further sparsity.

        Raises:
            ValueError: As `from_steps`, and if there are fewer steps than phases.
        """
        count = 2 * len(check_sparsity(sparsity)) + 1
        ends = [round(total_steps * (i + 1) / count) for i in range(count)]
        steps = _lengths_between(ends, "the run's length", [f"{total_steps} steps"])
        return cls.from_steps(steps, sparsity, learning_rates, prefix=prefix)

    def __repr__(self) -> str:
        phases = (f"{p.name} {p.steps} steps{f' at {p.sparsity:g}' if p.is_sparse else ''}" for p in self.phases)
        return f"Schedule({', '.join(phases)})"

    @property
    def total_steps(self) -> int:
        """Optimizer steps of the whole run."""
        return self.phases[-1].end

    def phase_at(self, step: int) -> Phase:
        """The phase that owns optimizer step `step` (from 0); steps past the end belong to the last phase.

        Raises:
            ValueError: If `step` is negative.
        """
        if step < 0:
            raise ValueError(f"step must be at least 0, got {step}")
        starts = [phase.start for phase in self.phases]
        return self.phases[bisect_right(starts, step) - 1]

    def learning_rate_scale(self, step: int, *, decays: bool = False) -> float:
        """The learning rate of a step's phase over the first phase's; with `decays` it falls linearly in each phase.

        Raises:
            ValueError: If the schedule has no learning rates.
        """
        phase, first = self.phase_at(step), self.phases[0].learning_rate
        if first is None or phase.learning_rate is None:
            raise ValueError("the schedule has no learning rates: give it learning_rates, one per phase")
        scale = phase.learning_rate / first
        return scale * max(phase.end - step, 0) / phase.steps if decays else scale

    def cut(self, step: int) -> "Schedule":
        """Ends the phase of the last of `step` finished steps there; later phases keep their lengths and move forward.

        This is how "while not converged" (Algorithm 1) leaves a phase before its maximum length.

        Raises:
            ValueError: If the run has no such step.
        """
        if not 1 <= step <= self.total_steps:
            raise ValueError(f"step must be in 1..{self.total_steps} (the run's length), got {step}")
        current = self.phase_at(step - 1)
        shift = current.end - step
        moved = [replace(p, start=p.start - shift, end=p.end - shift) for p in self.phases[current.index + 1 :]]
        return Schedule((*self.phases[: current.index], replace(current, end=step), *moved))

    def dense_control(self) -> "Schedule":
        """The equal-budget control: the same lengths and learning rates, every phase dense."""
        return Schedule(tuple(replace(p, kind=PhaseKind.DENSE, sparsity=0.0) for p in self.phases))

    def without_learning_rates(self) -> "Schedule":
        """The same phases for a run whose learning rate somebody else decides."""
        return Schedule(tuple(replace(p, learning_rate=None) for p in self.phases))

    def to_dict(self) -> list[dict[str, Any]]:
        """JSON-ready form: one dictionary per phase."""
        return [{**asdict(phase), "kind": phase.kind.value} for phase in self.phases]

    @classmethod
    def from_dict(cls, phases: Sequence[dict[str, Any]]) -> "Schedule":
        """The inverse of `to_dict`."""
        return cls(tuple(Phase(**{**phase, "kind": PhaseKind(phase["kind"])}) for phase in phases))


def _lengths_between(ends: Sequence[int], field: str, value: Sequence[Any]) -> list[int]:
    """The phases' lengths in steps, checked: rounding may have left one without any."""
    steps = [end - start for start, end in zip([0, *ends], ends, strict=False)]
    if any(n < 1 for n in steps[1:]):
        raise ValueError(
            f"{field} must give every phase after the first at least one optimizer step, got {list(value)}, "
            f"which is {steps} steps; train longer or use fewer phases"
        )
    return steps


def check_sparsity(sparsity: Sparsity, field: str = "sparsity") -> list[float]:
    """Returns `sparsity` as a list of fractions.

    Raises:
        ValueError: If it is empty or a value is no number in [0, 1).
    """
    values = as_list(sparsity)
    if values == []:
        raise ValueError(f"{field} must hold one number per sparse phase, got an empty list")
    return [check_fraction(value, field) for value in ([sparsity] if values is None else values)]


def check_fraction(value: Any, field: str) -> float:
    """Returns a sparsity as a plain number.

    Raises:
        ValueError: If it is no number in [0, 1); names the field.
    """
    number = as_number(value)
    if number is None:
        raise ValueError(f"{field} must be a fraction in [0, 1), got {value!r}")
    if not 0 <= number < 1:
        remedy = f"; write {number / 100:g} for {number:g} %" if 1 < number < 100 else ""
        raise ValueError(f"{field} must be a fraction in [0, 1), got {number:g}{remedy}")
    return float(number)


def check_lengths(field: str, lengths: Sequence[float], sparsities: Sequence[float]) -> list[float]:
    """Returns the lengths of D, S[, D, S ...] as plain numbers, checked against the sparsities of the sparse phases.

    Raises:
        ValueError: If there are fewer than 2 phases, their number disagrees with `sparsities`, or a length is out of
            range (only the first may be 0).
    """
    values = as_list(lengths)
    if values is None or len(values) < 2:
        raise ValueError(f"{field} must give the length of each phase, D,S[,D,S...], of at least 2, got {lengths}")
    if len(sparsities) not in (1, len(values) // 2):
        raise ValueError(
            f"sparsity must hold one number, or one per sparse phase: {field} has {len(values) // 2} sparse "
            f"phase(s), got {len(sparsities)} sparsities {list(sparsities)}"
        )
    numbers = _numbers_in(values, lambda number: 0 <= number < math.inf)
    if numbers is None or 0 in numbers[1:]:
        raise ValueError(f"{field} must be positive (only the first may be 0), got {values}")
    return numbers


def check_learning_rates(
    rates: Sequence[float] | None, phases: int, field: str = "phase_learning_rates"
) -> list[float] | None:
    """Returns the peak learning rates of a schedule of `phases` phases as plain numbers; None leaves them open.

    Raises:
        ValueError: If there is not one positive, finite rate per phase.
    """
    if rates is None:
        return None
    values = as_list(rates)
    if values is None or len(values) != phases:
        raise ValueError(f"{field} must hold one rate per phase ({phases}), got {rates}")
    numbers = _numbers_in(values, lambda number: 0 < number < math.inf)
    if numbers is None:
        raise ValueError(f"{field} must be positive and finite, got {values}")
    return numbers


def _numbers_in(values: Sequence[Any], in_range: Callable[[float], bool]) -> list[float] | None:
    """All values as plain numbers, or None if one is no number or out of range."""
    numbers = [as_number(value) for value in values]
    checked = [number for number in numbers if number is not None and in_range(number)]
    return checked if len(checked) == len(numbers) else None


def default_learning_rates(learning_rate: float, phases: int) -> list[float]:
    """lr, lr, lr/10 (section 3: "one tenth"), and a further tenth after each further sparse phase."""
    return [learning_rate / 10 ** (index // 2) for index in range(phases)]
