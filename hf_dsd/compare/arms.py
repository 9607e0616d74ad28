"""What an arm of a comparison is: a difference in arguments under a name, or a model that another arm's run left."""

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hf_dsd.runs.folder import AVERAGES, EARLY
from hf_dsd.runs.privacy import without_secrets

from .arguments import as_arguments, parse_options
from .iterative import Recipe

SAME_BUDGET = " (same budget)"
"""What a label says of a control that has trained for as long as the arms that prune, and only of such a one."""

ARMS: Mapping[str, str] = {
    "dense": f"dense control{SAME_BUDGET}",
    "early": "stopped at its best validation evaluation",
    "sparse": "sparse phase of DSD",
    "random": "DSD with random masks",
    "ema": "exponential average",
    "swa": "equal average",
    "iterative": "iterative DSD",
    "dsd": "DSD",
}
"""The arms that have a name of their own -> label, in the order of a table."""

SPARSE_END = {"dsd": f"sparse training{SAME_BUDGET}", "random": "sparse training with random masks"}
"""The labels of arms whose recipe ends in a sparse phase; `sparse` then is the model of `dsd` once more."""

BASELINE = "dense"
SUGGESTED = ("dsd", BASELINE)

_OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "dsd": {},
    "dense": {"dsd_control": True},
    "random": {"mask_criterion": "random"},
}
_KEPT = "keep_early_stop"
BESIDE_THE_MODEL = ("weight_averages", _KEPT)
"""Options of what a run leaves beside its model: they do not tell it from another."""

_OF_THE_BASELINE = (*AVERAGES, EARLY)
RUNNERS_FIELDS = ("output_dir", "seed", "keep_phase_checkpoints", "resume_from_checkpoint")
_ARMS_FIELDS = ("dsd_control", "mask_criterion", "weight_averages")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,63}")


@dataclass(frozen=True)
class Arm:
    """An arm of the user's: any difference in arguments.

    Attributes:
        name: Its name, which is also that of its runs' folders, `OUT/seed-S/NAME`.
        options: Field -> value: what its runs are given beyond the recipe.

    Raises:
        ValueError: If the name is no name of a folder, or one of `ARMS`, or the options are the runner's.
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not is_name(self.name):
            raise ValueError(
                "an arm's name must be at most 64 letters, digits and, behind the first, any of _.+-, and not end in "
                f".log or .json, since it names a folder; got {self.name!r}"
            )
        if self.name.lower() in ARMS:  # in one letter's case alone they would share a folder on some disks
            raise ValueError(f"arm {self.name} has its meaning already: name it in --arms, or give yours another name")
        _refuse(self.options, (*RUNNERS_FIELDS, _KEPT), f"arm {self.name}")
        words = as_arguments(self.options)
        if without_secrets(words) != words:
            raise ValueError(
                f"arm {self.name} holds a token, which would be written down: give it to all runs, after --"
            )

    @classmethod
    def parse(cls, text: str) -> "Arm":
        """Reads `NAME=--option value ...`.

        Raises:
            ValueError: If it is written in another way; and as `Arm`.
        """
        name, equals, line = text.partition("=")
        try:
            words = shlex.split(line)
        except ValueError as error:  # a quotation mark without its partner
            raise ValueError(f"--arm {text!r} cannot be read ({error}): quote each value") from error
        if not equals or (words and not words[0].startswith("--")):
            raise ValueError(f"--arm must be 'NAME=--option value ...', got {text!r}: write the options after the =")
        return cls(name, parse_options(words))


def is_name(name: Any) -> bool:
    """True of what can be an arm's name: it names a folder, beside which lie its log and its status."""
    return isinstance(name, str) and bool(_NAME.fullmatch(name)) and not name.endswith((".log", ".json"))


def trained_by(arm: str, baseline: str) -> str:
    """The arm whose run holds an arm's model: itself, DSD of `sparse`, the baseline of what is read off its run."""
    return baseline if arm in _OF_THE_BASELINE else "dsd" if arm == "sparse" else arm


def arm_label(arm: str, baseline: str, *, ends_sparse: bool = False, equal_budget: bool = True) -> str:
    """How a table calls an arm: an arm of the user's by its name. A budget is the same only where it is equal."""
    if arm not in _OF_THE_BASELINE:
        label = SPARSE_END[arm] if ends_sparse and arm in SPARSE_END else ARMS.get(arm, arm)
        return label if equal_budget else label.removesuffix(SAME_BUDGET)
    return f"{'dense control' if baseline == BASELINE else baseline}, {ARMS[arm]}"


def in_order(names: Sequence[str], baseline: str) -> list[str]:
    """Arms as a table has them: the baseline, those of `ARMS`, the user's in the order given."""
    first = dict.fromkeys([baseline, *ARMS])
    return [name for name in dict.fromkeys([*first, *names]) if name in names]


def plan_arms(
    arms: Sequence[str | Arm],
    baseline: str = BASELINE,
    recipe: Recipe | None = None,
    *,
    all_keep_early_stop: bool = False,
) -> dict[str, dict[str, Any]]:
    """The arms to train -> what their runs are given, in the order they run: who trains a first phase for others first.

    Args:
        arms: Names of `ARMS`, and the user's own.
        baseline: The arm that all others are compared with; averages and the early stop are taken during its run.
        recipe: The user's phases; only `iterative` needs them.
        all_keep_early_stop: True if the arguments of all runs say so already.

    Raises:
        ValueError: If an arm is unknown or named twice, the run that it is read off is not among the arms, or the
            recipe cannot be made iterative.
    """
    names = [arm if isinstance(arm, str) else arm.name for arm in arms]
    unknown = [arm for arm in arms if isinstance(arm, str) and arm not in ARMS]
    if unknown or not arms or len({name.lower() for name in names}) != len(names):
        raise ValueError(
            f"arms must be different ones of {', '.join(ARMS)}, or your own (--arm NAME=OPTIONS), in more than upper "
            f"and lower case, got {' '.join(names) or 'none'}"
        )
    trained = [name for name in names if name not in (*_OF_THE_BASELINE, "sparse")]
    if baseline != BASELINE and baseline not in trained:
        raise ValueError(f"the baseline must be an arm that is trained, got {baseline}: one of {', '.join(trained)}")
    for name in names:
        source = trained_by(name, baseline)
        if source not in names:
            raise ValueError(f"arm {name} is read off the {source} run: add {source} to the arms")
    own = {arm.name: arm.options for arm in arms if not isinstance(arm, str)}
    options = {name: dict(own[name] if name in own else _own_options(name, recipe)) for name in trained}
    if baseline in options:
        options[baseline] |= _kept_for(names, options[baseline])
    looks = EARLY in names and not all_keep_early_stop
    if looks:
        options[baseline][_KEPT] = True
    # An early stop looks at every evaluation of its run, so that run trains the first phase, for the others, too.
    first = [baseline] if looks else []
    order = dict.fromkeys([*first, "dsd", "dense", "random", "iterative", *trained])
    return {name: options[name] for name in order if name in options}


def _own_options(arm: str, recipe: Recipe | None) -> Mapping[str, Any]:
    if arm != "iterative":
        return _OPTIONS[arm]
    if recipe is None:
        raise ValueError("the iterative arm needs the recipe's phases; give them, or leave iterative out")
    return recipe.iterative()


def _kept_for(names: Sequence[str], options: Mapping[str, Any]) -> dict[str, Any]:
    """The averages that the baseline keeps for the arms that are read off it."""
    averages = [kind for kind in AVERAGES if kind in names or kind in options.get("weight_averages", ())]
    return {"weight_averages": averages} if averages else {}


def check_arguments(arguments: Sequence[str]) -> None:
    """Refuses arguments, for all runs, that the runner or the arms set.

    Raises:
        ValueError: By name.
    """
    _refuse(parse_options(arguments), (*_ARMS_FIELDS, *RUNNERS_FIELDS), "the arguments")


def _refuse(options: Mapping[str, Any], fields: Sequence[str], where: str) -> None:
    taken = [name for name in options if name in fields]
    if taken:
        raise ValueError(
            f"compare sets {', '.join('--' + name for name in taken)} for every run: leave it out of {where}"
        )
