"""Random arguments of every type, and what a run should make of them, written out apart from the package's own code."""

import contextlib
import io
import json
import math
import os
import random
import tempfile
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import yaml
from tiny import TinyLSTM, build
from transformers import HfArgumentParser

from hf_dsd import DSDTrainingArguments
from hf_dsd.engine.targets import plan_targets

NAN, INF = math.nan, math.inf
REST = {"output_dir": "out", "report_to": "none", "use_cpu": True, "eval_strategy": "epoch", "save_strategy": "epoch"}
TEXTS = ["", "x", "true", "false", "False", "0.3", "1e-3", "3", "[1, 1, 1]", "none", "best", "all", "ema", "lstm", "("]
NUMBERS = [0, 1, 2, 3, -1, 30, 0.0, 0.3, 0.5, 0.999, 1.0, 1.5, 2.0, -0.1, 1e-3, NAN, INF, -INF, 10**30, 1e400]
OTHERS = [None, True, False, {}, {"lstm": 0.5}, {"lstm": "0.5"}, {"lstm": NAN}, {"(": 0.5}, {1: 0.5}, {"nothing": 0.5}]
LISTS = [
    [],
    [0.3],
    [0.5, 0.25],
    [1, 1, 1],
    [0, 1, 1],
    [1, 0, 1],
    [5, 4, 3],
    [1.5, 1, 1],
    [2.0, 1.0, 1.0],
    [1, 1],
    [True] * 3,
    ["1", 1, 1],
    ["1e-3"] * 3,
    [1e-3, 1e-3, 1e-4],
    [NAN, 1, 1],
    [INF, 1, 1],
    [1, None, 1],
    [[1], [1], [1]],
    [1] * 5,
    [0, 2],
    [0.5],
    [-1],
    [3],
    ["ema"],
    ["ema", "swa"],
    ["lstm"],
    ["nothing"],
    [""],
    [1],
    [None],
]
PYTHON_ONLY = [
    np.float32(0.5),
    np.float64(NAN),
    np.int64(2),
    np.bool_(True),
    np.array(0.25),
    np.array([1, 1, 1]),
    np.array([[0.5]]),
    np.array(["ema"]),
    torch.tensor(0.5),
    torch.tensor([5, 4, 3]),
    torch.tensor(True),
    torch.tensor(1j),
    Fraction(1, 2),
    Decimal("0.5"),
    Decimal("NaN"),
    (0.5, 0.25),
    range(1, 4),
    {0.5},
    b"0.5",
    1j,
    object(),
    float,
    Path("lstm"),
]
FIELDS = (
    "sparsity",
    "phase_epochs",
    "phase_steps",
    "phase_learning_rates",
    "phase_patience",
    "phase_start",
    "dense_modules",
    "sparsity_overrides",
    "mask_criterion",
    "reset_optimizer_state",
    "mask_gradients",
    "dsd_control",
    "weight_averages",
    "keep_early_stop",
    "keep_phases",
    "keep_phase_checkpoints",
)


class Case(NamedTuple):
    """One combination of arguments.

    Attributes:
        way: "python", "file" (JSON or YAML) or "command line".
        fields: Field -> value; on a command line its words.
    """

    way: str
    fields: dict[str, Any]


def combinations(count: int, seed: int) -> Iterator[Case]:
    """`count` cases; the same for the same seed."""
    chance = random.Random(seed)
    everything = [*TEXTS, *NUMBERS, *OTHERS, *LISTS]
    values = {"python": everything + PYTHON_ONLY, "file": everything, "command line": [*TEXTS, *NUMBERS, *LISTS]}
    likely = {  # half of the values are near what the field takes
        "mask_gradients": [True, False, "true", "false", 1, 0],
        "dsd_control": [True, False, "true", "false", 1, 0],
        "keep_early_stop": [True, False, "true", "false", 1, 0],
        "keep_phases": [[2], [0, 2], [0, 1, 2]],
        "mask_criterion": ["magnitude", "random", "Random"],
        "reset_optimizer_state": ["none", "masked", "all"],
        "phase_start": ["last", "best"],
        "sparsity_overrides": [{"lstm": 0.5}, '{"lstm": 0.5}', '{"lstm": NaN}', '{"lstm": "0.5"}', '{"lstm": 1}'],
    }
    for index in range(count):
        way = ("python", "file", "command line")[index % 3]
        fields = {}
        for name in chance.sample(FIELDS, chance.choice((1, 1, 2))):
            pool = likely[name] if name in likely and chance.random() < 0.5 else values[way]
            fields[name] = chance.choice(pool)
        yield Case(way, fields)


def judge(case: Case) -> tuple[str, str]:
    """("clear" | "right" | "silent" | "bare", details)."""
    errors = io.StringIO()
    try:
        with contextlib.redirect_stderr(errors):
            args = _arguments(case)
            schedule = args.build_schedule(max(args.max_steps, math.ceil(args.num_train_epochs * 10)), 10)
            targets = plan_targets(
                build(TinyLSTM), dense_modules=args.dense_modules, sparsity_overrides=args.sparsity_overrides
            )
    except SystemExit:
        message = errors.getvalue()
        return ("clear" if any(f"--{name}" in message for name in case.fields) else "bare"), message
    except ValueError as error:
        named = any(name in str(error) for name in case.fields)
        # Words too many of a flag: the parser knows no field for them, and quotes them.
        leftover = case.way == "command line" and "are not used by the HfArgumentParser" in str(error)
        return ("clear" if named or leftover else "bare"), str(error)
    except Exception as error:  # the point of the trial: anything else is bare
        return "bare", repr(error)
    wanted = {name: _wanted(name, _as_given(case.way, name, value)) for name, value in case.fields.items()}
    got = {name: getattr(args, name) for name in case.fields}
    wrong = [f"{name} is {got[name]!r} for {wanted[name]!r}" for name in got if not _same(got[name], wanted[name])]
    masks = any(phase.sparsity for phase in schedule.phases)
    wants_masks = not args.dsd_control and any(args.sparsity)
    if masks != wants_masks or not any(target.is_pruned for target in targets):
        wrong.append(f"masks: {masks}")
    return ("silent", "; ".join(wrong)) if wrong else ("right", "")


def _arguments(case: Case) -> DSDTrainingArguments:
    if case.way == "python":
        return DSDTrainingArguments(**REST, **case.fields)
    parser = HfArgumentParser(DSDTrainingArguments)
    if case.way == "command line":
        words = [f"--{name}={value}" for name, value in REST.items()]
        for name, value in case.fields.items():
            words += [f"--{name}", *_words(value)]
        return parser.parse_args_into_dataclasses(words, look_for_args_file=False)[0]
    if len(repr(case.fields)) % 2 and all(not isinstance(key, int) for key in _keys(case.fields)):
        return parser.parse_dict(json.loads(json.dumps({**REST, **case.fields})))[0]
    handle, path = tempfile.mkstemp(suffix=".yaml")
    with os.fdopen(handle, "w") as file:
        yaml.safe_dump({**REST, **case.fields}, file)
    try:
        return parser.parse_yaml_file(path)[0]
    finally:
        os.unlink(path)


def _keys(fields: dict[str, Any]) -> list[Any]:
    return [key for value in fields.values() if isinstance(value, dict) for key in value]


def _words(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [json.dumps(value)]
    return [str(each) for each in (value if isinstance(value, list) else [value])]


def _as_given(way: str, name: str, value: Any) -> Any:
    """A command line's words have the type of their field."""
    if way != "command line":
        return value
    words = _words(value)
    if name in ("mask_gradients", "dsd_control", "keep_early_stop"):
        return words[0].lower() in ("true", "t", "yes", "y", "1")
    if name in ("sparsity", "phase_epochs", "phase_learning_rates"):
        return [float(word) for word in words]
    if name in ("phase_steps", "keep_phases", "keep_phase_checkpoints"):
        return [int(word) for word in words]
    if name == "phase_patience":
        return int(words[0])
    if name in ("dense_modules", "weight_averages"):
        return words
    return words[0]


def _wanted(name: str, value: Any) -> Any:
    """What a person who wrote `value` means."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, range | tuple):
        value = list(value)
    if name in ("sparsity", "dense_modules", "weight_averages") and value is not None and not isinstance(value, list):
        value = [value]
    if name == "sparsity_overrides" and isinstance(value, str):
        value = json.loads(value)
    return value


def _same(got: Any, wanted: Any) -> bool:
    """Equal in value and kind: True is not 1, and "1" is not 1."""
    if isinstance(wanted, list) and isinstance(got, list):
        return len(got) == len(wanted) and all(map(_same, got, wanted))
    if isinstance(got, bool) or isinstance(wanted, bool):
        return got is wanted
    return bool(got == wanted)
