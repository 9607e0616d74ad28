"""`dsd_summary.json`: what a run did, phase by phase, in one file that a person and a report can read."""

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

from hf_dsd.engine.dsd import DSD
from hf_dsd.engine.schedule import Phase
from hf_dsd.files import write_json
from hf_dsd.runs.environment import run_versions
from hf_dsd.runs.folder import SUMMARY_FILE_NAME
from hf_dsd.runs.privacy import without_secrets


class RunSummary:
    """Collects the facts of a run: its phases, their layers, metrics and seconds.

    Attributes:
        run: A random name of this training, kept over resumes: tells the files of a run from those of an earlier one in
            the same folder.
        phases: Per started phase its schedule, `seconds` of wall time, the `layers` pruned, the `metrics` of the
            evaluation at its last step, and `finished`.
        evaluations: Metrics of evaluations after training (`test_bleu4` and the like).
        best_model: Phase and step of the model that `load_best_model_at_end` took, if it did.
        early_stop: Phase, step, metric and value of the evaluation whose model `keep_early_stop` kept, if it did.
    """

    def __init__(self) -> None:
        self.run = uuid4().hex  # from the system: no seed is touched
        self.phases: list[dict[str, Any]] = []
        self.evaluations: dict[str, float] = {}
        self.best_model: dict[str, Any] | None = None
        self.early_stop: dict[str, Any] | None = None
        self._since = time.perf_counter()

    def __repr__(self) -> str:
        return "\n".join(map(_line, self.phases)) or "RunSummary(no phase has begun)"

    def begin_phase(self, phase: Phase, dsd: DSD, learning_rates: Sequence[tuple[int, float]] = ()) -> None:
        """Opens the record of a phase that begins now: `dsd` has just built or dropped its masks.

        `learning_rates` is its planned curve, for a drawing; empty with a scheduler of the user's own.
        """
        layers = [
            {
                "name": weight.name,
                "shape": list(weight.shape),
                "weights": weight.shape.numel(),
                "pruned": weight.pruned,
                "sparsity": weight.pruned / weight.shape.numel(),
                "threshold": weight.threshold,
            }
            for weight in dsd.weights
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
        """Writes `dsd_summary.json` into a run's folder, atomically, and returns its path; facts as at `run_facts`."""
        path = Path(folder) / SUMMARY_FILE_NAME
        content = {
            "run": self.run,
            **facts,
            "schedule": dsd.schedule.to_dict(),
            "phases": self.phases,
            # Not every phase leaves a model here: another arm may have trained it, or keep_phases left it out.
            "saved_phases": [phase["name"] for phase in self.phases if path.with_name(phase["name"]).is_dir()],
            "evaluations": self.evaluations,
            "best_model": self.best_model,
            "early_stop": self.early_stop,
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
            "versions": run_versions(),
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        return write_json(path, content)


def _line(phase: dict[str, Any]) -> str:
    """One phase for an interpreter or a notebook."""
    loss = phase["metrics"].get("eval_loss")
    shown = "" if loss is None else f", eval_loss {loss:.4g}"
    state = "" if phase["finished"] else ", not finished"
    return f"{phase['name']}: {phase['end'] - phase['start']} steps, {phase['seconds']:.1f} s{shown}{state}"


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
