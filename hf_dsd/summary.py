"""`dsd_summary.json`: what a run did, phase by phase, in one file that a person and a report can read."""

import json
import os
import platform
import re
import sys
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from uuid import uuid4

from .engine import DSD
from .schedule import Phase
from .state_file import write_json

SUMMARY_FILE_NAME = "dsd_summary.json"
_SECRETS = {"token", "key", "apikey", "password", "passwd", "secret"}
# Before `token`: a symbol of a tokenizer's vocabulary, `--word_delimiter_token`, which decides what a run does.
_SYMBOLS = {"pad", "unk", "bos", "eos", "cls", "sep", "mask", "delimiter", "blank", "start", "end", "special"}
_SYMBOLS |= {"image", "audio", "video"}
_PACKAGES = ("hf-dsd", "torch", "transformers", "accelerate", "datasets", "evaluate", "sacrebleu", "numpy")


class RunSummary:
    """Collects the facts of a run: its phases, their layers, metrics and seconds.

    Attributes:
        run: A random name of this training, kept over resumes: tells the files of a run from those of an earlier one in
            the same folder.
        phases: Per started phase its schedule, `seconds` of wall time, the `layers` pruned, the `metrics` of the
            evaluation at its last step, and `finished`.
        evaluations: Metrics of evaluations after training (`test_bleu4` and the like).
        best_model: Phase and step of the model that `load_best_model_at_end` took, if it did.
    """

    def __init__(self) -> None:
        self.run = uuid4().hex  # from the system: no seed is touched
        self.phases: list[dict[str, Any]] = []
        self.evaluations: dict[str, float] = {}
        self.best_model: dict[str, Any] | None = None
        self._since = time.perf_counter()

    def begin_phase(self, phase: Phase, dsd: DSD, learning_rates: Sequence[tuple[int, float]] = ()) -> None:
        """Opens the record of a phase that begins now; `dsd` has just built or dropped its masks.

        Args:
            phase: The phase.
            dsd: The engine, for what was pruned.
            learning_rates: Its planned curve, for a drawing; empty with a scheduler of the user's own.
        """
        targets = {target.name: target for target in dsd.targets}
        layers = [
            {
                "name": name,
                "shape": list(targets[name].shape),  # a sharded mask has its block's
                "weights": targets[name].numel,
                "pruned": built.pruned,
                "sparsity": built.pruned / targets[name].numel,
                "threshold": built.threshold,
            }
            for name, built in dsd.built.items()
        ]
        record = {**_facts(phase), "seconds": 0.0, "finished": False, "metrics": {}, "layers": layers}
        self.phases.append({**record, "learning_rates": [list(point) for point in learning_rates]})
        self.tick()  # the time since the last phase, mask building included, is this phase's

    def tick(self) -> None:
        """Adds the wall time since the last call to the current phase."""
        now = time.perf_counter()
        if self.phases:
            self.phases[-1]["seconds"] += now - self._since
        self._since = now

    def finish_phase(self, phase: Phase, *, left_early: bool) -> None:
        """Closes the current phase's record; `phase` has its true end."""
        self.tick()
        self.phases[-1].update(_facts(phase), finished=True, left_early=left_early)

    def record_metrics(self, metrics: dict[str, float]) -> None:
        """Keeps the metrics of the evaluation at the current phase's end."""
        self.tick()
        self.phases[-1]["metrics"] = _numbers(metrics)

    def record_evaluation(self, metrics: dict[str, float]) -> None:
        """Keeps the metrics of an evaluation after training, by their prefixed names."""
        self.evaluations.update(_numbers(metrics))

    def state_dict(self) -> dict[str, Any]:
        """JSON-ready state for a checkpoint."""
        self.tick()
        return {"run": self.run, "phases": self.phases}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores `state_dict`; the time between is not counted."""
        self.run = state.get("run", self.run)
        self.phases = state["phases"]
        self._since = time.perf_counter()

    def write(self, folder: str | os.PathLike[str], dsd: DSD, facts: dict[str, Any]) -> Path:
        """Writes `dsd_summary.json` into `folder`, atomically, and returns its path.

        Args:
            folder: The run's output folder.
            dsd: The engine, for the schedule and the per-parameter rules.
            facts: What the caller knows of the run: seeds, model class, arguments.
        """
        path = Path(folder) / SUMMARY_FILE_NAME
        content = {
            "run": self.run,
            **facts,
            "schedule": dsd.schedule.to_dict(),
            "phases": self.phases,
            "evaluations": self.evaluations,
            "best_model": self.best_model,
            "seconds": sum(phase["seconds"] for phase in self.phases),
            "parameters": [
                {
                    "name": target.name,
                    "shape": list(target.shape),
                    "weights": target.numel,
                    "override": target.override,
                    "dense_reason": target.dense_reason or None,
                }
                for target in dsd.targets
            ],
            "command": [Path(sys.argv[0]).name, *without_secrets(sys.argv[1:])],
            "versions": {"python": platform.python_version(), **{package: _version(package) for package in _PACKAGES}},
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        return write_json(path, content)


def read_run(folder: str | os.PathLike[str]) -> str | None:
    """The `RunSummary.run` of the training whose summary lies in a folder; None without, or of an old version."""
    path = Path(folder) / SUMMARY_FILE_NAME
    return json.loads(path.read_text(encoding="utf-8")).get("run") if path.is_file() else None


def phase_name(planned: Mapping[str, Any]) -> str:
    """`phase-1-sparse` of an entry of a summary's schedule."""
    return f"phase-{planned['index']}-{planned['kind']}"


def has_finished(schedule: Sequence[Mapping[str, Any]], phases: Sequence[Mapping[str, Any]]) -> bool:
    """True if a run has trained its last phase to its end.

    Records are not counted: a first phase of length 0, which starts from a trained model, has none.

    Args:
        schedule: The planned phases, as `Schedule.to_dict` gives them; empty where unknown.
        phases: The records of those that have begun.
    """
    return bool(schedule) and any(
        record["finished"] and record["name"] == phase_name(schedule[-1]) for record in phases
    )


def finished_phases(folder: str | os.PathLike[str]) -> list[str]:
    """Names of the phases whose models the run in `folder` has finished and left there, in order.

    Folders that an earlier run left do not count, nor does a phase of a run that was resumed from another folder.
    """
    path = Path(folder) / SUMMARY_FILE_NAME
    if not path.is_file():
        return []
    summary = json.loads(path.read_text(encoding="utf-8"))
    names = [phase["name"] for phase in summary["phases"] if phase["finished"]]
    return [name for name in names if (Path(folder) / name).is_dir()]


def finished_models(folder: str | os.PathLike[str]) -> list[str]:
    """Names of all models that the run in `folder` finished: each phase's, and before the last phase its averages."""
    phases = finished_phases(folder)
    if not phases:
        return []
    summary = json.loads((Path(folder) / SUMMARY_FILE_NAME).read_text(encoding="utf-8"))
    averages = [f"{phases[-1]}-{kind}" for kind in summary.get("weight_averages", ())]
    return [*phases[:-1], *(name for name in averages if (Path(folder) / name).is_dir()), phases[-1]]


def without_secrets(arguments: Sequence[str]) -> list[str]:
    """A command line whose tokens, keys and passwords are left out: the summary is made to be published."""
    kept, hide_next = [], False
    for argument in arguments:
        name, equals, _ = argument.partition("=")
        secret = _is_secret(name)
        kept.append(
            "***" if hide_next and not argument.startswith("-") else f"{name}=***" if secret and equals else argument
        )
        hide_next = secret and not equals
    return kept


def _is_secret(option: str) -> bool:
    """By its last whole word: `--max_token_length`, `--tokenizer_name` and `--key_frames` decide what a run does."""
    if not option.startswith("-"):
        return False
    *_, before, last = ["", *re.split("[-_]+", option.lower())]
    return last in _SECRETS and not (last == "token" and before in _SYMBOLS)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:  # run from a source tree
        return None


def _facts(phase: Phase) -> dict[str, Any]:
    return {
        "name": phase.name,
        "start": phase.start,
        "end": phase.end,
        "learning_rate": phase.learning_rate,
        "sparsity": phase.sparsity,
    }


def _numbers(metrics: dict[str, float]) -> dict[str, float]:
    return {key: value for key, value in metrics.items() if isinstance(value, int | float)}
