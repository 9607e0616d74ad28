"""One run: what its folder holds, read once and checked. Everybody above takes a `Run`, nobody parses."""

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from hf_dsd.engine.mask_file import STATE_FILE_NAME, read_state_file
from hf_dsd.files import read_json_object

from .checkpoints import written_checkpoints
from .folder import (
    AVERAGES,
    CHECKPOINT_PREFIX,
    EARLY,
    SUMMARY_FILE_NAME,
    TRAINER_STATE_NAME,
    Place,
    best_folder,
    best_steps,
    check_links,
    has_finished,
    phase_name,
    place_of,
    score_file,
    step_of,
)
from .json_checks import is_count, list_of
from .scores import PhaseScores, read_scores
from .summary_file import read_summary
from .weights import DamagedWeightsError, WeightFile, has_weights, open_weights

logger = logging.getLogger(__name__)

_SAID_ARMS = ("dsd", "dense", "random")
"""What a summary can call its run; arms of other names, such as `iterative`, call themselves `dsd`."""


@dataclass(frozen=True)
class PhaseModel:
    """A model that a phase, `phase-1-sparse`, left or has got to, and the folder with its weights.

    `note` says how far an unfinished phase had got, or which other arm trained a shared one.
    """

    phase: str
    folder: Path
    note: str = ""


@dataclass(frozen=True)
class Run:
    """A run of `DSDTrainer`, finished or not. Build one with `Run.read`.

    Attributes:
        folder: The run's `output_dir`.
        summary: `dsd_summary.json`, checked; of an unfinished run without one, as much as its newest checkpoint knows.
        arm: Which arm of a comparison it is: by its place `seed-S/ARM`, else as its summary says.
        seed: Likewise; None where unknown.
        place: Where it lies in a comparison; None elsewhere.
        has_summary: False if `summary` was made from a checkpoint.
    """

    folder: Path
    summary: Mapping[str, Any]
    arm: str
    seed: int | None
    place: Place | None
    has_summary: bool = True
    _others: dict[Path, "Run | None"] = field(default_factory=dict, repr=False, compare=False)
    _damages: dict[Path, str] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def read(cls, folder: Path, arm: str | None = None) -> "Run":
        """Reads a run's folder; `arm` is how to call a run that lies in no comparison, else its summary says it.

        Raises:
            FileNotFoundError: If there is neither a summary nor a whole checkpoint.
            ValueError: If the summary is damaged, says another arm or seed than the place that the run lies in, or what
                the folder holds is a link out of it.
        """
        check_links(folder)
        summary = read_summary(folder)
        place = place_of(folder)
        has_summary = summary is not None
        if summary is None:
            checkpoint = _newest_checkpoint(folder, None)
            if checkpoint is None:
                lacks = f"neither {SUMMARY_FILE_NAME} nor a whole checkpoint-N/"
                raise FileNotFoundError(f"{folder} is no run: it has {lacks}")
            summary = _summary_of(checkpoint)
        elif place is not None:
            _check_identity(folder, summary, place)
        said = str(summary.get("arm", "run"))
        if place is not None:
            return cls(folder, summary, place.arm, place.seed, place, has_summary)
        return cls(folder, summary, arm or said, summary.get("seed"), None, has_summary)

    @property
    def label(self) -> str:
        """`dsd, seed 1`, or `dsd` where the seed is unknown."""
        return run_label(self.arm, self.seed)

    @property
    def id(self) -> str | None:
        """The random name of this training; None of an old version's."""
        return self.summary.get("run")

    @property
    def schedule(self) -> list[dict[str, Any]]:
        """The planned phases: index, kind, start, end, sparsity; empty where unknown."""
        return list(self.summary.get("schedule", ()))

    @property
    def phases(self) -> list[dict[str, Any]]:
        """The records of the phases that have begun."""
        return list(self.summary.get("phases", ()))

    @property
    def prunes(self) -> bool:
        """True if a sparse phase is planned."""
        return any(phase["kind"] == "sparse" for phase in self.schedule)

    @property
    def is_finished(self) -> bool:
        """True once the last planned phase has ended."""
        return has_finished(self.schedule, self.phases)

    @property
    def last_phase(self) -> str:
        """Name of the last planned phase, whose model is the run's result."""
        return phase_name(self.schedule[-1])

    def record(self, phase: str) -> dict[str, Any] | None:
        """The record of a phase that has begun; None of another."""
        return next((record for record in self.phases if record["name"] == phase), None)

    # Models

    @property
    def finished_phases(self) -> list[str]:
        """Names of the phases that this run has finished and whose models lie in its folder, in order.

        Folders that an earlier run left do not count, nor does a phase of a run that was resumed from another folder.
        """
        names = [record["name"] for record in self.phases if record["finished"]]
        return [name for name in names if (self.folder / name).is_dir()]

    @cached_property
    def lost_models(self) -> list[str]:
        """Names of the phases whose models lay in this run's folder and do not any more; warns of them."""
        saved = self.summary.get("saved_phases", ())
        names = [record["name"] for record in self.phases if record["finished"]]
        lost = [name for name in names if name in saved and name not in self.finished_phases]
        for name in lost:
            logger.warning("%s has no model of %s: restore it, or do without", self.folder, name)
        return lost

    @property
    def finished_models(self) -> list[str]:
        """Names of all models that this run finished: each phase's, and before the last one averages and `early`."""
        phases = self.finished_phases
        if not phases:
            return []
        kinds = [kind for kind in AVERAGES if kind in self.summary.get("weight_averages", ())]
        kinds += [EARLY] if self.summary.get("early_stop") else []
        beside = [f"{phases[-1]}-{kind}" for kind in kinds]
        return [*phases[:-1], *(name for name in beside if (self.folder / name).is_dir()), phases[-1]]

    @cached_property
    def models(self) -> dict[str, PhaseModel]:
        """Phase -> its model, in order; of an unfinished phase its newest checkpoint. Damaged ones are left out.

        A phase's folder counts once the run has finished the phase: before, it is what an earlier run left there.
        """
        return {model.phase: model for model in self._found_models if not self._damage(model)}

    @property
    def unreadable_models(self) -> list[str]:
        """A line for every model whose weight files are damaged; `models` leaves these out."""
        return [
            f"{model.folder.name}/ cannot be read ({damage}): restore its weights, or train that phase anew"
            for model in self._found_models
            if (damage := self._damage(model))
        ]

    def start_of_next(self, phase: str) -> PhaseModel | None:
        """The weights that the phase after `phase` began from: its last, or its best with `phase_start="best"`."""
        record = self.record(phase)
        if record is None or not record["finished"]:
            return None
        inside = [step for step in best_steps(self.folder, phase) if record["start"] < step <= record["end"]]
        if inside:
            note = f"best evaluation, step {inside[-1]}"
            model = PhaseModel(phase, best_folder(self.folder, phase, inside[-1]), note)
            return None if self._damage(model) else model
        return self.models.get(phase)

    @cached_property
    def _found_models(self) -> list[PhaseModel]:
        return [model for planned in self.schedule if (model := self._model_of(planned)) is not None]

    def damage(self, phase: str) -> str:
        """What is wrong with the weights in a phase's or an average's own folder, or "" (of an adapter always)."""
        model = PhaseModel(phase, self.folder / phase)
        return self._damage(model) if has_weights(model.folder) else ""

    def _damage(self, model: PhaseModel) -> str:
        """What is wrong with a model's weight files, or "": opened once, safetensors checks their length."""
        if model.folder not in self._damages:
            try:
                with open_weights(model.folder) as weights:
                    self._damages[model.folder] = self._misfit(weights)
            except DamagedWeightsError as error:
                self._damages[model.folder] = error.reason
            except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:  # weights that fit no such class
                kind = "" if type(error) is ValueError else f"{type(error).__name__}: "
                self._damages[model.folder] = f"{kind}{error}"
        return self._damages[model.folder]

    def _misfit(self, weights: WeightFile) -> str:
        """What shows that weights are another model's than this run's; names of a file's own show nothing."""
        names = set(weights.names())
        for parameter in self.summary.get("parameters", ()):
            name, shape = parameter["name"], tuple(parameter["shape"])
            if name in names and weights.shape(name) != shape:
                return f"another model's: {name} is {weights.shape(name)}, the run's is {shape}"
        return ""

    def _model_of(self, planned: Mapping[str, Any]) -> PhaseModel | None:
        name = phase_name(planned)
        record = self.record(name)
        is_finished = record is not None and record["finished"]
        if is_finished and has_weights(self.folder / name):
            return PhaseModel(name, self.folder / name)
        checkpoint = self.checkpoint
        if checkpoint is not None and has_weights(checkpoint):
            step = step_of(checkpoint)
            if planned["start"] < step <= planned["end"]:
                note = "" if step == planned["end"] else f"step {step}, before the phase's end"
                return PhaseModel(name, checkpoint, note)
        return self._shared_model(name) if is_finished else None

    def _shared_model(self, name: str) -> PhaseModel | None:
        """The model of a phase that another arm of the seed trained: both have the same record of it, to the second."""
        for path in sorted(self.folder.parent.glob(f"*/{SUMMARY_FILE_NAME}")):
            sibling = path.parent
            if sibling.name == self.folder.name or not has_weights(sibling / name):
                continue
            if sibling not in self._others:
                self._others[sibling] = _read_or_none(sibling)
            other = self._others[sibling]
            if other is not None and other.record(name) == self.record(name):
                return PhaseModel(name, sibling / name, f"trained by {sibling.name}")
        return None

    # Scores and log

    @cached_property
    def _scored(self) -> tuple[list[PhaseScores], list[str]]:
        scores, problems = read_scores(self.folder, self.id)
        problems += self._lost_scores(scores)
        for problem in problems:  # whoever shows the scores, or publishes them, leaves these out
            logger.warning("%s", problem)
        return scores, problems

    def _lost_scores(self, scores: Sequence[PhaseScores]) -> list[str]:
        """A line for every score file that two phases have and another has not; damaged ones are named elsewhere."""
        phases = self.finished_phases
        of_split = {split: [one.phase for one in scores if one.split == split] for split in {s.split for s in scores}}
        lost = [
            score_file(self.folder, phase, split).name
            for split, scored in sorted(of_split.items())
            for phase in phases
            if phase not in scored and len(set(scored) & set(phases)) > 1
        ]
        files = [name for name in lost if not os.path.lexists(self.folder / name)]
        return [f"{name} is missing, and other phases have theirs: score that phase, or do without" for name in files]

    @property
    def scored(self) -> list[PhaseScores]:
        """The scores of every scored model on every split, in the order of phases, averages after their phase."""
        return self._scored[0]

    @property
    def problems(self) -> list[str]:
        """What is wrong with the files that were left out, a line each."""
        return [*self._log[2], *self._scored[1]]

    def scores(self, split: str = "test") -> list[PhaseScores]:
        """The scores of every model scored on a split, in the order of phases, averages after their phase."""
        return [scores for scores in self.scored if scores.split == split]

    def phase_scores(self, split: str = "test") -> list[PhaseScores]:
        """The scores of the phases' own models, without averages; the last one is the run's result."""
        planned = [phase_name(entry) for entry in self.schedule]
        return [scores for scores in self.scores(split) if scores.phase in planned]

    def find_scores(self, phase: str, split: str = "test") -> PhaseScores | None:
        """The scores of one model on one split; None where this run has not made any. A damaged file is an error."""
        found = next((scores for scores in self.scores(split) if scores.phase == phase), None)
        return found if found is not None else PhaseScores.find(self.folder, self.id, phase, split)

    @property
    def scored_split(self) -> str | None:
        """The split whose texts a report shows: `test`, else the first other one; None without scores."""
        splits = sorted({scores.split for scores in self.scored})
        return "test" if "test" in splits else splits[0] if splits else None

    @cached_property
    def checkpoint(self) -> Path | None:
        """The newest whole checkpoint of this run; None without one."""
        return _newest_checkpoint(self.folder, self.id)

    @cached_property
    def _log(self) -> tuple[list[dict[str, Any]], list[str], list[str]]:
        return _read_log(self.folder, self.checkpoint)

    @property
    def log(self) -> list[dict[str, Any]]:
        """`log_history` of the Trainer; empty without a `trainer_state.json` that can be read."""
        return self._log[0]

    @property
    def sources(self) -> list[str]:
        """Which files this was read from, relative to the folder."""
        if self.has_summary:
            return [SUMMARY_FILE_NAME, *self._log[1]]
        has_state = self.checkpoint is not None and (self.checkpoint / STATE_FILE_NAME).is_file()
        own = [f"{self.checkpoint.name}/{STATE_FILE_NAME}"] if has_state and self.checkpoint is not None else []
        return [*own, *self._log[1]]


def run_label(arm: str, seed: int | None) -> str:
    """How a page calls a run: `dsd, seed 1`, or `dsd` where the seed is unknown."""
    return arm if seed is None else f"{arm}, seed {seed}"


def is_run(folder: Path) -> bool:
    """True if a run has left something in `folder`: a summary, or a checkpoint written to its end."""
    return (folder / SUMMARY_FILE_NAME).is_file() or any(folder.glob(f"{CHECKPOINT_PREFIX}-*/{TRAINER_STATE_NAME}"))


def finished_phases(folder: str | os.PathLike[str]) -> list[str]:
    """Names of the phases whose models the run in a folder finished (`Run.finished_phases`); empty without a run."""
    return Run.read(Path(folder)).finished_phases if is_run(Path(folder)) else []


def finished_models(folder: str | os.PathLike[str]) -> list[str]:
    """Names of all models that the run in a folder finished (`Run.finished_models`); empty where there is no run."""
    return Run.read(Path(folder)).finished_models if is_run(Path(folder)) else []


def _read_or_none(folder: Path) -> Run | None:
    try:
        return Run.read(folder)
    except (FileNotFoundError, ValueError):  # whoever reads that run for itself says so
        return None


def _check_identity(folder: Path, summary: Mapping[str, Any], place: Place) -> None:
    arm, seed = summary.get("arm"), summary.get("seed")
    other_arm = arm is not None and place.arm in _SAID_ARMS and arm != place.arm
    if other_arm or (seed is not None and seed != place.seed):
        raise ValueError(
            f"{folder} lies in the place of arm {place.arm}, seed {place.seed}, and its {SUMMARY_FILE_NAME} says arm "
            f"{arm}, seed {seed}: move the run to its own place, or train this one again"
        )


def _newest_checkpoint(folder: Path, run: str | None) -> Path | None:
    """The newest whole checkpoint that is not known to be another run's."""
    return next((path for path, _ in written_checkpoints(folder) if _is_of(path, run)), None)


def _is_of(checkpoint: Path, run: str | None) -> bool:
    """False if a checkpoint names another run, or its state is damaged; older versions of hf_dsd name none."""
    if run is None or not (checkpoint / STATE_FILE_NAME).is_file():
        return True
    try:
        _, meta = read_state_file(checkpoint)
    except (OSError, ValueError):
        return False
    return meta.get("extra", {}).get("summary", {}).get("run") in (None, run)


def _summary_of(checkpoint: Path) -> dict[str, Any]:
    """As much of a summary as a checkpoint knows."""
    if not (checkpoint / STATE_FILE_NAME).is_file():
        return {}
    _, meta = read_state_file(checkpoint)
    summary = meta.get("extra", {}).get("summary", {})
    return {"schedule": meta["schedule"], "phases": summary.get("phases", [])}


def _read_log(folder: Path, checkpoint: Path | None) -> tuple[list[dict[str, Any]], list[str], list[str]]:
    """The log, where it lies, and what is wrong with a file that was passed over."""
    problems: list[str] = []
    for holder in (folder, checkpoint):
        path = holder / TRAINER_STATE_NAME if holder is not None else None
        if path is None or not path.is_file():
            continue
        name = path.relative_to(folder).as_posix()
        try:
            return _log_history(path), [name], problems
        except ValueError as error:
            problems.append(f"{name} cannot be read ({error}): remove it, or restore it to draw its log")
    return [], [], problems


def _log_history(path: Path) -> list[dict[str, Any]]:
    rows = read_json_object(path).get("log_history", [])
    if not list_of(lambda row: isinstance(row, dict) and is_count(row.get("step")) and row["step"] < 2**53)(rows):
        raise ValueError("its log_history must be a list of rows, each with a whole number as its step")
    return list(rows)
