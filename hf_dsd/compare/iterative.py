"""The phases that a recipe asks for, and the same budget as an iterative DSD run: D, S, D, S, D."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .arguments import parse_options


@dataclass(frozen=True)
class Recipe:
    """The phases that a user's arguments ask for.

    Attributes:
        unit: `phase_epochs` or `phase_steps`.
        lengths: Of D, S[, D, S ...] in that unit.
        sparsity: Fractions of the sparse phases.
        learning_rates: Peaks of the phases; None leaves them to the default rule.
    """

    unit: str
    lengths: Sequence[float]
    sparsity: Sequence[float]
    learning_rates: Sequence[float] | None

    @classmethod
    def from_arguments(cls, arguments: Sequence[str]) -> "Recipe":
        """Reads the recipe off a command line.

        Raises:
            ValueError: If it does not say the phases' lengths or the sparsity, since a script may have defaults of its
                own, or one of them is no number.
        """
        options = parse_options(arguments)
        unit = next((name for name in ("phase_epochs", "phase_steps") if name in options), None)
        if unit is None or "sparsity" not in options:
            raise ValueError(
                "the iterative arm divides the recipe's phases, so the arguments after -- must give --sparsity and "
                "--phase_epochs or --phase_steps; add them, or leave iterative out of --arms"
            )
        rates = _numbers(options, "phase_learning_rates") if "phase_learning_rates" in options else None
        return cls(unit, _numbers(options, unit), _numbers(options, "sparsity"), rates)

    @classmethod
    def from_training_arguments(cls, arguments: Any) -> "Recipe":
        """Reads the recipe off a `DSDTrainingArguments`."""
        sparsity = list(arguments.sparsity)
        if arguments.phase_steps is not None:
            return cls("phase_steps", arguments.phase_steps, sparsity, arguments.phase_learning_rates)
        count = arguments.phase_count
        lengths = arguments.phase_epochs or [arguments.num_train_epochs / count] * count
        if arguments.phase_epochs is None and arguments.max_steps > 0:
            raise ValueError("the iterative arm needs phase_steps or phase_epochs; give them instead of max_steps")
        return cls("phase_epochs", lengths, sparsity, arguments.phase_learning_rates)

    def iterative(self) -> dict[str, Any]:
        """The same budget as D,S,D,S,D: the sparse and the re-dense phase in two halves each.

        The second sparsity is half the first (the paper's 50 % then 25 %). The second round's learning rates are to
        the first round's as the re-dense rate is to the sparse one, so that l0, l1, l2 become l0, l1, l2, l2,
        l2 * l2 / l1; without rates the default rule says the same: lr, lr, lr/10, lr/10, lr/100.

        Raises:
            ValueError: If the recipe is not D,S,D, a phase of one optimizer step cannot be halved, or the
                learning rates are not one per phase, > 0.
        """
        if len(self.lengths) != 3:
            raise ValueError(
                f"the iterative arm divides the phases of D,S,D, and the recipe's are others, or already iterative "
                f"({self.unit} {list(self.lengths)}): leave iterative out of --arms"
            )
        first, sparse, dense = self.lengths
        whole = self.unit == "phase_steps"
        halves = [_halves(length, whole=whole) for length in (sparse, dense)]
        lengths = [int(first) if whole else first, halves[0][0], halves[1][0], halves[0][1], halves[1][1]]
        options: dict[str, Any] = {self.unit: lengths, "sparsity": [self.sparsity[0], self.sparsity[0] / 2]}
        if self.learning_rates is not None:
            l0, l1, l2 = _three_rates(self.learning_rates)
            options["phase_learning_rates"] = [l0, l1, l2, l2, float(f"{l2 * l2 / l1:.6g}")]
        return options


def _three_rates(rates: Sequence[float]) -> Sequence[float]:
    if len(rates) != 3 or not all(rate > 0 for rate in rates):
        raise ValueError(
            "phase_learning_rates must be numbers > 0, one for each of the 3 phases, got "
            f"{' '.join(f'{rate:g}' for rate in rates)}; mend them, or leave iterative out of --arms"
        )
    return rates


def _halves(length: float, *, whole: bool) -> tuple[float, float]:
    if not whole:
        return length / 2, length / 2
    if length < 2:
        raise ValueError(f"the iterative arm halves phases, and one has {length:g} optimizer step; give it at least 2")
    return int(length) - int(length) // 2, int(length) // 2


def _numbers(options: Mapping[str, Sequence[str]], name: str) -> list[float]:
    message = f"--{name} must be one or more numbers, got {' '.join(options[name]) or 'nothing'}"
    try:
        numbers = [float(value) for value in options[name]]
    except ValueError as error:
        raise ValueError(f"{message}; write them one after the other") from error
    if not numbers:
        raise ValueError(f"{message}; write them after it")
    return numbers
