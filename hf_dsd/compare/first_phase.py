"""Which arms can share one first dense phase: those whose arguments differ only in what acts after it."""

from collections.abc import Mapping, Sequence
from typing import Any

from .arguments import is_on, option_values

_LATER = {"sparsity", "sparsity_overrides", "dense_modules", "mask_criterion", "mask_gradients"}
_LATER |= {"reset_optimizer_state", "dsd_control", "weight_averages", "keep_early_stop", "keep_phase_checkpoints"}
_LENGTHS = {"phase_epochs", "phase_steps", "num_train_epochs", "max_steps"}
_RATES = {"phase_learning_rates", "learning_rate"}
PHASE_FIELDS = (*sorted(_LENGTHS | _RATES), "sparsity")
"""Fields of the recipe whose first value, or whose number of values, the first phase depends on."""


def first_phase(recipe: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """What decides how a run trains its first phase, as far as its arguments tell: equal for runs that share it.

    Args:
        recipe: Option -> value or values, of all runs.
        options: Those that one arm sets beside or instead.
    """
    given = {name: option_values(value) for name, value in {**recipe, **options}.items()}
    early = {name: value for name, value in given.items() if name not in _LATER | _LENGTHS | _RATES}
    lengths = next(((name, given[name][:1]) for name in ("phase_epochs", "phase_steps") if name in given), None)
    # Without lengths a run is divided into equal phases, of which every further sparsity makes two more.
    phases = len(given["sparsity"]) if "sparsity" in given else None
    parts = {name: given.get(name) for name in ("num_train_epochs", "max_steps")} | {"number of sparsities": phases}
    rates = next((given[name][:1] for name in ("phase_learning_rates", "learning_rate") if name in given), None)
    return {**early, **(dict([lengths]) if lengths else parts), "learning_rate": rates}


def donors(arms: Mapping[str, Mapping[str, Any]], recipe: Mapping[str, Any]) -> dict[str, list[str]]:
    """Arm -> the arms whose first phase may stand for its own, itself included.

    The best evaluation of a run with `keep_early_stop` may lie in its first phase, so it begins from none that did not
    look.
    """
    phases = {name: first_phase(recipe, options) for name, options in arms.items()}
    looks = {name: is_on({**recipe, **options}, "keep_early_stop") for name, options in arms.items()}
    return {
        name: [
            other
            for other in arms
            if phases[other] == phases[name] and (other == name or not looks[name] or looks[other])
        ]
        for name in arms
    }


def sharing_text(arms: Sequence[str], options: Mapping[str, Mapping[str, Any]], recipe: Mapping[str, Any]) -> str:
    """Which arms share their first dense phase, and what makes the others train their own, in a sentence."""
    phases = {name: first_phase(recipe, options[name]) for name in arms}
    groups: list[list[str]] = []
    for name in arms:
        group = next((group for group in groups if phases[group[0]] == phases[name]), None)
        groups.append([name]) if group is None else group.append(name)
    groups.sort(key=len, reverse=True)
    shared = phases[groups[0][0]]
    lines = [f"The first dense phase is trained once per seed for {', '.join(groups[0])}."]
    for group in groups[1:]:
        own = phases[group[0]]
        acting = sorted(name for name in own.keys() | shared.keys() if own.get(name) != shared.get(name))
        lines.append(f"{', '.join(group)}: by itself, since {', '.join(acting)} acts from the first step.")
    return " ".join(lines)
