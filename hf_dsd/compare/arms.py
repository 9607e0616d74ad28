"""What each arm changes in the user's recipe: one thing, at an equal budget."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hf_dsd.runs.folder import AVERAGES

ARMS: Mapping[str, tuple[str, str]] = {
    "dense": ("dense", "dense control (same budget)"),
    "sparse": ("dsd", "sparse phase of DSD"),
    "random": ("random", "DSD with random masks"),
    "ema": ("dense", "dense control, exponential average"),
    "swa": ("dense", "dense control, equal average"),
    "iterative": ("iterative", "iterative DSD"),
    "dsd": ("dsd", "DSD"),
}
"""Arm -> (the arm whose run it is read off, label), in the order of a table."""

SPARSE_END = {"dsd": "sparse training (same budget)", "random": "sparse training with random masks"}
"""The labels of arms whose recipe ends in a sparse phase; `sparse` then is the model of `dsd` once more."""

EQUAL_BUDGET = tuple(arm for arm in ARMS if arm != "sparse")
"""Arms that have trained as long as the control: only these are tested against it. `sparse` ends before DSD does."""

_FIXED: Mapping[str, Mapping[str, Any]] = {
    "dsd": {},
    "dense": {"dsd_control": True},
    "random": {"mask_criterion": "random"},
}
_OWN_FIELDS = ("dsd_control", "mask_criterion", "weight_averages", "keep_phase_checkpoints", "resume_from_checkpoint")
_RUNNERS_FIELDS = ("output_dir", "seed")


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


def check_arms(arms: Sequence[str]) -> list[str]:
    """Returns the arms to train, in the order they run: DSD first, since its first phase is everybody's.

    Raises:
        ValueError: If an arm is unknown or named twice, or the run that it is read off is not among the arms.
    """
    unknown = sorted(set(arms) - ARMS.keys())
    if unknown or not arms or len(set(arms)) != len(arms):
        raise ValueError(f"arms must be different ones of {', '.join(ARMS)}, got {' '.join(arms) or 'none'}")
    for arm in arms:
        source = ARMS[arm][0]
        if source not in arms:
            raise ValueError(f"arm {arm} is read off the {source} run: add {source} to the arms")
    order = ("dsd", "dense", "random", "iterative")
    return [arm for arm in order if arm in arms]


def arm_options(arm: str, arms: Sequence[str], recipe: Recipe | None) -> dict[str, Any]:
    """The DSD fields that an arm's run sets: `{"dsd_control": True}` for `dense`.

    Args:
        arm: One that is trained.
        arms: All arms asked for; averages are taken during the dense run.
        recipe: The user's; only `iterative` needs it.

    Raises:
        ValueError: If the recipe cannot be made iterative.
    """
    if arm == "iterative":
        if recipe is None:
            raise ValueError("the iterative arm needs the recipe's phases; give them, or leave iterative out")
        return recipe.iterative()
    averages = [kind for kind in AVERAGES if kind in arms] if arm == "dense" else []
    return {**_FIXED[arm], **({"weight_averages": averages} if averages else {})}


def as_arguments(options: Mapping[str, Any]) -> list[str]:
    """Fields as a command line: `{"sparsity": [0.5, 0.25]}` becomes `--sparsity 0.5 0.25`."""
    arguments = []
    for name, value in options.items():
        values = value if isinstance(value, list | tuple) else [value]
        arguments += [f"--{name}", *(str(v).lower() if isinstance(v, bool) else _plain(v) for v in values)]
    return arguments


def parse_options(arguments: Sequence[str]) -> dict[str, list[str]]:
    """The options of a command line and their values, as `HfArgumentParser` would read `--name value value`."""
    options: dict[str, list[str]] = {}
    values: list[str] = []
    for argument in arguments:
        if argument.startswith("--"):
            name, equals, value = argument[2:].partition("=")
            values = options[name.replace("-", "_")] = [value] if equals else []
        else:
            values.append(argument)
    return options


def check_arguments(arguments: Sequence[str]) -> None:
    """Refuses arguments that the runner or the arms set.

    Raises:
        ValueError: By name.
    """
    taken = [name for name in parse_options(arguments) if name in (*_OWN_FIELDS, *_RUNNERS_FIELDS)]
    if taken:
        raise ValueError(
            f"compare sets {', '.join('--' + name for name in taken)} for every run: leave it out of the arguments"
        )


def _numbers(options: Mapping[str, Sequence[str]], name: str) -> list[float]:
    message = f"--{name} must be one or more numbers, got {' '.join(options[name]) or 'nothing'}"
    try:
        numbers = [float(value) for value in options[name]]
    except ValueError as error:
        raise ValueError(f"{message}; write them one after the other") from error
    if not numbers:
        raise ValueError(f"{message}; write them after it")
    return numbers


def _plain(value: Any) -> str:
    return f"{value:.12g}" if isinstance(value, float) else str(value)
