"""The weights of a run's models, each opened once: the layer to draw, and what every layer's pruned weights became."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hf_dsd.runs.folder import phase_name
from hf_dsd.runs.run import PhaseModel, Run
from hf_dsd.runs.weights import WeightFile, open_weights

from .sparse_layer import Fate, Floats, SparseLayer, count_fate, finite

Files = Mapping[Path, WeightFile]


@dataclass(frozen=True)
class SparseRound:
    """A sparse phase by its record in the summary, with the models around it; `redense` once there is one.

    `is_last` is True if the schedule ends with this phase, so that its pruned weights stay pruned.
    """

    phase: Mapping[str, Any]
    dense: PhaseModel
    sparse: PhaseModel
    redense: PhaseModel | None
    is_last: bool = False

    @property
    def models(self) -> list[PhaseModel]:
        """The models that are there, in order."""
        return [model for model in (self.dense, self.sparse, self.redense) if model is not None]


@dataclass(frozen=True)
class LayerRow:
    """One layer that a sparse phase prunes.

    Attributes:
        name: The parameter.
        shape: Its shape, of `weights` numbers.
        target: Fraction asked for, [0, 1).
        actual: Fraction pruned.
        threshold: The largest magnitude pruned; None for a random mask, or where the run recorded none.
        fate: What its pruned weights became; None before a re-dense phase, or where a file with its weights is missing.
        miscounted: How many more or fewer zeros the sparse phase's weights have than the run recorded as pruned.
    """

    name: str
    shape: Sequence[int]
    weights: int
    target: float
    actual: float
    threshold: float | None
    fate: Fate | None
    miscounted: int


class PrunedPhase(NamedTuple):
    """A sparse phase that has begun: its name, `phase-1-sparse`, and a row for each layer that it prunes."""

    name: str
    rows: Sequence[LayerRow]


@dataclass(frozen=True)
class RunWeights:
    """What the models of a run say.

    Attributes:
        by_chance: True if the masks are random: the scores that they prune by, and so the threshold, are no magnitudes.
        phases: The sparse phases that have begun, in order.
        moments: Layer -> phase -> (mean, standard deviation) of its finite weights, pruned zeros included; no phase
            without any.
        not_finite: Phase -> how many weights of the pruned layers are NaN or infinite; only phases with such.
        round: The sparse phase that is drawn; None where its weights, or those that it began from, are missing.
        layer: The layer that is drawn: the wanted one, else the largest that the files hold; None without one.
        missing: Why no layer is drawn, or "".
    """

    by_chance: bool
    phases: Sequence[PrunedPhase]
    moments: Mapping[str, Mapping[str, tuple[float, float]]]
    not_finite: Mapping[str, int]
    round: SparseRound | None
    layer: SparseLayer | None
    missing: str = ""

    @property
    def rows(self) -> Sequence[LayerRow]:
        """The layers of the sparse phase that is drawn."""
        wanted = None if self.round is None else self.round.phase["name"]
        return next((phase.rows for phase in self.phases if phase.name == wanted), ())


def read_run_weights(run: Run, wanted: str | None = None) -> RunWeights:
    """Reads the models of a run in one pass: a layer at a time, since all together may not fit into memory.

    Draws the `wanted` layer, else the largest pruned one; a ValueError if the wanted layer cannot be drawn.
    """
    rounds = _sparse_rounds(run)
    # A sparse phase that was trained dense again tells the whole story.
    shown = min(rounds.values(), key=lambda found: found.redense is None, default=None)
    with ExitStack() as stack:
        models = [*run.models.values(), *(model for found in rounds.values() for model in found.models)]
        folders = dict.fromkeys(model.folder for model in models)
        files = {folder: stack.enter_context(open_weights(folder)) for folder in folders}
        records = [record for record in run.phases if _pruned_layers(record)]
        excuse = _excuse(files.values(), [layer["name"] for record in records for layer in _pruned_layers(record)])
        if excuse:
            rounds, shown, files = {}, None, {}
        phases = [
            PrunedPhase(record["name"], _rows(run, record, rounds.get(record["name"]), files)) for record in records
        ]
        moments, not_finite = _statistics(run, dict.fromkeys(row.name for phase in phases for row in phase.rows), files)
        layer, missing = _chosen_layer(run, shown, wanted, files, excuse)
    return RunWeights(_by_chance(run), phases, moments, not_finite, shown, layer, missing)


def _excuse(files: Iterable[WeightFile], names: Sequence[str]) -> str:
    """Why files say nothing of these layers, where they have names of their own; "" where they answer."""
    try:
        for file in files:
            for name in names:
                _ = name in file
    except ValueError as error:
        return f"{error}."
    return ""


def _pruned_layers(record: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [layer for layer in record["layers"] if layer["pruned"]]


def _by_chance(run: Run) -> bool:
    return run.summary.get("mask_criterion") == "random"


def _sparse_rounds(run: Run) -> dict[str, SparseRound]:
    """The sparse phases, by name, whose weights and those that they began from are there."""
    rounds = {}
    planned = [phase_name(entry) for entry in run.schedule]
    for record in run.phases:
        index = planned.index(record["name"])
        if index == 0 or not _pruned_layers(record):
            continue
        dense, sparse = run.start_of_next(planned[index - 1]), run.models.get(record["name"])
        if dense is not None and sparse is not None:
            redense = run.models.get(planned[index + 1]) if index + 1 < len(planned) else None
            is_last = record["name"] == planned[-1]
            rounds[record["name"]] = SparseRound(record, dense, sparse, redense, is_last)
    return rounds


def _rows(run: Run, record: Mapping[str, Any], found: SparseRound | None, files: Files) -> list[LayerRow]:
    overrides = {entry["name"]: entry["override"] for entry in run.summary.get("parameters", ())}
    rows = []
    for layer in _pruned_layers(record):
        read = _read_layer(run, found, layer, files) if found is not None else None
        override = overrides.get(layer["name"])
        rows.append(
            LayerRow(
                name=layer["name"],
                shape=layer["shape"],
                weights=layer["weights"],
                target=record["sparsity"] if override is None else override,
                actual=layer["sparsity"],
                threshold=None if _by_chance(run) else layer["threshold"],
                fate=count_fate(read) if read is not None else None,
                miscounted=int(read.pruned.sum()) - read.recorded if read is not None else 0,
            )
        )
    return rows


def _read_layer(run: Run, found: SparseRound, layer: Mapping[str, Any], files: Files) -> SparseLayer | None:
    """One pruned layer around a sparse phase; None if a file lacks it, as it may tied weights, or holds another's."""
    name = layer["name"]
    weights = [_flat(files[model.folder], name) for model in found.models]
    before, pruned, redense = (*weights, None)[:3]
    if before is None or pruned is None or before.size != pruned.size:
        return None
    if redense is not None and redense.size != pruned.size:
        redense = None
    threshold = None if _by_chance(run) else layer["threshold"]
    return SparseLayer(name, int(layer["pruned"]), threshold, before, pruned, redense)


def _flat(file: WeightFile, name: str) -> Floats | None:
    """One tensor as flat float32; None if the file lacks it."""
    weights: Floats | None = file.read(name).float().flatten().numpy() if name in file else None
    return weights


def _statistics(
    run: Run, names: Iterable[str], files: Files
) -> tuple[dict[str, dict[str, tuple[float, float]]], dict[str, int]]:
    """`RunWeights.moments` and `not_finite` of some layers."""
    moments: dict[str, dict[str, tuple[float, float]]] = {name: {} for name in names}
    not_finite: dict[str, int] = {}
    for phase, model in run.models.items():
        for name in names if model.folder in files else ():
            weights = _flat(files[model.folder], name)
            if weights is None:
                continue
            numbers = finite(weights)
            if numbers.size:
                moments[name][phase] = float(numbers.mean(dtype=np.float64)), float(numbers.std(dtype=np.float64))
            if numbers.size < weights.size:
                not_finite[phase] = not_finite.get(phase, 0) + weights.size - numbers.size
    return moments, not_finite


def _chosen_layer(
    run: Run, found: SparseRound | None, wanted: str | None, files: Files, excuse: str
) -> tuple[SparseLayer | None, str]:
    """The layer to draw, or why there is none. A tied weight may be saved under its other name."""
    if found is None:
        missing = excuse or _why_no_weights(run)
        if wanted is not None:
            raise ValueError(f"layer {wanted!r} cannot be drawn: {missing} Leave --layer out.")
        return None, missing
    pruned = _pruned_layers(found.phase)
    names = [layer["name"] for layer in pruned]
    if wanted is not None and wanted not in names:
        raise ValueError(f"layer must be one that {found.phase['name']} prunes, {names}, got {wanted!r}")
    for layer in sorted(pruned, key=lambda layer: layer["weights"], reverse=True):
        if wanted in (None, layer["name"]) and (read := _read_layer(run, found, layer, files)) is not None:
            return read, ""
    if wanted is not None:
        raise ValueError(f"layer {wanted!r} is not in the weights of {found.sparse.folder}: choose another by --layer")
    phase = found.phase["name"]
    return None, f"The weights of {phase} hold none of the pruned layers under their names, or in other sizes."


def _why_no_weights(run: Run) -> str:
    """One sentence, for a run without a sparse phase whose weights, and those that it began from, are there."""
    if not run.schedule:
        return f"Which phases {run.label} has is not known: its folder holds no dsd_summary.json, and no masks."
    if not run.prunes:
        return f"{run.label} has no sparse phase and so no pruned weights: the dense control has none by design."
    pruned = next((record for record in run.phases if _pruned_layers(record)), None)
    if pruned is None:
        return f"{run.label} has pruned no weights yet: its models are written as its phases end."
    planned, name = [phase_name(entry) for entry in run.schedule], pruned["name"]
    index = planned.index(name)
    lacks = []
    if index == 0 or run.schedule[index - 1]["start"] == run.schedule[index - 1]["end"]:
        lacks.append("it began from a model trained elsewhere, which is not in the folder")
    elif run.start_of_next(planned[index - 1]) is None:
        lacks.append(f"{planned[index - 1]}/ with its weights is neither in the folder nor in that of another arm")
    if name not in run.models:
        damage = run.damage(name)
        lacks.append(
            f"{name}/ cannot be used ({damage})" if damage else f"{name}/ with its weights is not in the folder"
        )
    missing = " and ".join(lacks)
    return f"Figure 2 needs the weights that {name} of {run.label} began from and those it ended with: {missing}."
