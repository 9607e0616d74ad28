"""What the arms of a folder that no recipe tells of differ in, as far as each run has recorded its own arguments."""

import shlex
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import takewhile
from typing import Any

from hf_dsd.runs.privacy import without_secrets
from hf_dsd.runs.run import Run

from .arguments import as_arguments, option_values, parse_options
from .arms import BESIDE_THE_MODEL, RUNNERS_FIELDS

_PLACE = {*RUNNERS_FIELDS, *BESIDE_THE_MODEL, "data_seed", "logging_dir", "run_name", "overwrite_output_dir"}
_PLACE |= {"push_to_hub", "hub_model_id", "hub_token", "report_to"}
"""Options that do not make a run another arm's: which of its runs it is, where it lies and what is told of it."""

_FACTS = (
    *("model", "optimizer", "lr_scheduler_type", "lr_scheduler_kwargs", "warmup_steps", "batch_size"),
    *("gradient_accumulation_steps", "steps_per_epoch", "mask_criterion", "mask_gradients", "reset_optimizer_state"),
)
"""What a summary says of its arguments as they were used, defaults and what a script sets included."""

_BATCH = {"per_device_train_batch_size", "gradient_accumulation_steps", "auto_find_batch_size"}
_FOLLOWS: Mapping[str, set[str]] = {
    "model": {"model_name_or_path"},
    "optimizer": {"optim"},
    "batch_size": _BATCH,
    "steps_per_epoch": {"batch_size", *_BATCH},
    "phase_learning_rates": {"learning_rate"},
    "phase_steps": {"phase_epochs", "num_train_epochs", "max_steps", "steps_per_epoch", "batch_size", *_BATCH},
}
"""Fact -> the options that it follows from: beside a difference in one of these it is no news."""

Options = Mapping[str, Sequence[str]]
"""Option -> its words on a command line; "" -> those before the first option, the script's name among them."""


def arms_arguments(
    runs: Iterable[Run], compared: Collection[tuple[int, str]], told: Mapping[str, Mapping[str, Any]], baseline: str
) -> tuple[dict[str, str], list[str]]:
    """What the runs of each arm were given: as the recipe tells it, else as their folders record it.

    Args:
        runs: The runs of a comparison.
        compared: Seed and arm of those that have finished: no others count.
        told: Arm -> what the recipe gives its runs; empty without a recipe.
        baseline: The arm that the others are compared with.

    Returns:
        Arm -> its arguments on a command line, and remarks on what is recorded (see `_recorded`).
    """
    given = {arm: {k: v for k, v in options.items() if k not in BESIDE_THE_MODEL} for arm, options in told.items()}
    arguments = {arm: shlex.join(as_arguments(options)) for arm, options in given.items()}
    finished = [run for run in runs if run.place is not None and run.place[1:] in compared]
    untold = [run for run in finished if run.arm not in told]
    if not untold:
        return arguments, []
    found, remarks = _recorded([run for run in finished if run in untold or run.arm == baseline], baseline)
    whose = f"the runs of {', '.join(dict.fromkeys(run.arm for run in untold))}" if told else "these runs"
    return found | arguments, [f"No recipe.json tells of {whose}: {remarks[0]}", *remarks[1:]]


def _recorded(runs: Sequence[Run], baseline: str) -> tuple[dict[str, str], list[str]]:
    """What the runs' folders say of their arguments: their summaries' commands, settings and phases.

    Only what every run records is compared. An option that one arm's seeds differ in is no argument of that arm.

    Returns:
        Arm -> the options in which it differs from the baseline, or from the first arm without one, and of the baseline
        those in which any arm does; and remarks: what is not recorded, and which seeds of one arm differ.
    """
    silent = [run.label for run in runs if not _command(run)]
    facts = [name for name in _FACTS if all(name in run.summary for run in runs)]
    arms: dict[str, dict[int | None, Options]] = {}
    for run in runs:
        arms.setdefault(run.arm, {})[run.seed] = _options(run, facts, by_command=not silent)
    rival = next((name for name in arms if name == baseline), next(iter(arms), baseline))
    mixed = {arm: _differing(list(seeds.values())) for arm, seeds in arms.items()}
    first = {arm: next(iter(seeds.values())) for arm, seeds in arms.items()}
    names = {
        arm: [name for name in _differing([first[rival], options]) if name not in (*mixed[arm], *mixed[rival])]
        for arm, options in first.items()
    }
    names[rival] = sorted({name for differing in names.values() for name in differing})
    found = {arm: _text(first[arm], names[arm], silent_on_lacks=arm == rival) for arm in arms}
    remarks = [_what_is_known(silent, len(runs), len(arms), differ=any(found.values()))]
    for arm, differing in mixed.items():
        # A seed may draw its training set, too: that is what seeds are for.
        if unlike := [name for name in differing if not name.endswith("seed")]:
            remarks.append(_seeds_differ(arm, arms[arm], unlike))
    return found, remarks


def _command(run: Run) -> list[str]:
    """The run's command line; empty where it has none, or one that is a notebook's and says nothing of the run."""
    command = without_secrets(run.summary.get("command", ()))
    return [] if not command or "kernel_launcher" in command[0] else command


def _options(run: Run, facts: Iterable[str], *, by_command: bool) -> Options:
    command = _command(run) if by_command else []
    script = list(takewhile(lambda word: not word.startswith("--"), command))
    given = {name: words or ["true"] for name, words in parse_options(command).items()}
    used: dict[str, Any] = {name: run.summary[name] for name in facts}
    if "arm" in run.summary:
        used["dsd_control"] = run.summary["arm"] == "dense"
    if run.prunes:
        used["sparsity"] = [phase["sparsity"] for phase in run.schedule if phase["kind"] == "sparse"]
    rates = [phase["learning_rate"] for phase in run.phases]
    if None not in rates:
        used["phase_learning_rates"] = rates
    if not any(phase.get("left_early") for phase in run.phases):  # how long a phase took is then no argument
        used["phase_steps"] = [phase["end"] - phase["start"] for phase in run.phases]
    words = {name: as_arguments({name: value})[1:] for name, value in used.items()}
    return {name: value for name, value in ({"": script} | given | words).items() if name not in _PLACE}


def _differing(several: Sequence[Options]) -> list[str]:
    """The options that runs differ in, less those that follow from others of them."""
    names = dict.fromkeys(name for options in several for name in options)
    found = [name for name in names if any(_value(one, name) != _value(several[0], name) for one in several)]
    return sorted(name for name in found if not _FOLLOWS.get(name, set()) & set(found))


def _value(options: Options, name: str) -> list[float | str] | None:
    return option_values(options[name]) if name in options else None


def _text(options: Options, names: Iterable[str], *, silent_on_lacks: bool = False) -> str:
    words: list[str] = []
    lacks = []
    for name in names:
        if name in options:
            words += [*([f"--{name}"] if name else []), *options[name]]
        else:
            lacks.append(f"without --{name}")
    return ", ".join(filter(None, [shlex.join(words), *([] if silent_on_lacks else lacks)]))


def _what_is_known(silent: Sequence[str], runs: int, arms: int, *, differ: bool) -> str:
    source = "their arguments are read off their summaries"
    if silent:
        whose = "any of them" if len(silent) == runs else "; ".join(silent)
        known = f"{source}, by settings and phases alone, since no command is recorded of {whose}"
    else:
        known = f"{source}, and what a script sets without an argument, such as its data, is not recorded"
    return f"{known}." if differ or arms < 2 else f"{known}. The arms differ in nothing that is recorded."


def _seeds_differ(arm: str, seeds: Mapping[int | None, Options], names: Sequence[str]) -> str:
    said: dict[str, list[str]] = {}
    for seed, options in seeds.items():
        said.setdefault(_text(options, names), []).append(str(seed))
    groups = [f"seed{'s' * (len(of) > 1)} {', '.join(of)}: {text}" for text, of in said.items()]
    return f"Seeds of {arm} were not trained alike, so its mean and spread are of no one arm: {'; '.join(groups)}."
