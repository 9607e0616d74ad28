"""What a card says of runs: model, recipe and scores, taken from a `Run`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

import transformers
from transformers.utils import CONFIG_NAME

import hf_dsd.models
from hf_dsd.compare.arguments import parse_options
from hf_dsd.runs.run import Run

from .contents import ADAPTER, read_model_json
from .privacy import public_command

# Model type of ours -> task of the Hub.
OUR_TASKS: Mapping[str, str] = {
    "neuraltalk": "image-text-to-text",
    "deepspeech": "automatic-speech-recognition",
    "deepspeech2": "automatic-speech-recognition",
    "lstm": "text-generation",
    "torchvision": "image-classification",
}
_COUNTS = {"epoch", "substitutions", "insertions", "deletions", "words", "examples", "runtime"}


@dataclass(frozen=True)
class ModelFacts:
    """What the weights are weights of; what is not known is None or "".

    Attributes:
        class_name: `DeepSpeech2ForCTC`.
        model_type: `deepspeech2`, as the configuration has it.
        source: `hf_dsd`, `transformers`, or "" for a class of the user's own.
        task: The Hub's name of the pipeline.
        reads_pixels: Whether a captioner reads pictures; without an image encoder it reads image vectors.
        base_model: Of an adapter: the model that it was trained on, as its configuration names it.
        parameters: Number of weights.
        prunable: Number of weights that sparse phases may prune.
    """

    class_name: str
    model_type: str = ""
    source: str = ""
    task: str | None = None
    reads_pixels: bool = False
    base_model: str | None = None
    parameters: int | None = None
    prunable: int | None = None


@dataclass(frozen=True)
class RecipePhase:
    """One phase of the recipe, as it ran.

    Attributes:
        name: `phase-1-sparse`; its kind is the last part.
        steps: Optimizer steps, and the same in `epochs`, which streamed data has none of.
        learning_rate: Peak of the phase; None where unknown.
        sparsity: Fraction pruned per layer, [0, 1).
        pruned: Number of weights at zero.
    """

    name: str
    kind: str
    steps: int
    epochs: float | None
    learning_rate: float | None
    sparsity: float
    pruned: int


@dataclass(frozen=True)
class Recipe:
    """How a run trained, as its summary says.

    Attributes:
        arm: `dsd`, `dense` or `random`: which arm of a comparison the run is.
        seed: The run's random seed; None where unknown.
        batch_size: Examples per optimizer step, over all processes.
        mask_criterion: `magnitude`, `random` or `zeros`.
        reset_optimizer_state: What the optimizer forgets at re-densify.
        command: The command line as recorded, without folders of the machine.
        versions: Versions of Python and the packages that ran.
    """

    arm: str
    seed: int | None
    phases: list[RecipePhase]
    optimizer: str = ""
    lr_scheduler_type: str = ""
    batch_size: int | None = None
    world_size: int = 1
    mask_criterion: str = "magnitude"
    reset_optimizer_state: str = "masked"
    command: list[str] = field(default_factory=list)
    versions: dict[str, str | None] = field(default_factory=dict)

    @property
    def ends_sparse(self) -> bool:
        """True if the model that the run ends with is sparse."""
        return bool(self.phases) and self.phases[-1].kind == "sparse"


@dataclass(frozen=True)
class ShippedModel:
    """The model whose files lie in the card's own folder, and what was measured with these files.

    Attributes:
        folder: The card's, as seen from the root of the clone: `model_cards/deepspeech2-an4`.
        weights: Digest of the files of weights (see `weights_digest`): what was measured of others is not shown.
        seed: Of the run that trained it; None where unknown.
        split: What `scores` were measured on.
        scores: Name -> score.
        command: What measured them.
        examples: Recordings or pictures, as seen from the root -> what the model says, and what is right.
    """

    folder: str
    weights: str
    seed: int | None
    split: str
    scores: dict[str, float]
    command: str
    examples: dict[str, list[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class PhaseScore:
    """The scores, loss among them, of one phase's model, `phase-1-sparse`, on one split, `validation` or `test`.

    `arm` and `seed` are those of the `Recipe`, `sparsity` is the fraction pruned per layer in this phase, and `epochs`
    counts up to its end; None for streamed data.
    """

    arm: str
    seed: int | None
    phase: str
    sparsity: float
    epochs: float | None
    split: str
    scores: dict[str, float]

    def __post_init__(self) -> None:
        if not re.fullmatch(r"phase-\d+-\w+", str(self.phase)):
            raise TypeError(f"phase_scores name a phase {self.phase!r}")

    @property
    def index(self) -> int:
        """The phase's place in the run, from 0."""
        return int(self.phase.split("-")[1])


def read_model(run: Run) -> ModelFacts:
    """What model a run trained, by its summary and the configuration of its last phase; a damaged one is a ValueError.

    The run's own folder holds one only after `trainer.save_model()`.
    """
    config, adapter = (
        read_model_json(run.folder / run.last_phase / name) or read_model_json(run.folder / name)
        for name in (CONFIG_NAME, ADAPTER)
    )
    class_name, model_type = str(run.summary.get("model", "")), str(config.get("model_type", ""))
    base, source = adapter.get("base_model_name_or_path"), ""
    if any(hasattr(package, class_name) for package in (hf_dsd.models, transformers)):
        source = "hf_dsd" if hasattr(hf_dsd.models, class_name) else "transformers"
    parameters = run.summary.get("parameters", [])
    return ModelFacts(
        class_name,
        model_type,
        source,
        OUR_TASKS.get(model_type) if source == "hf_dsd" else _task(class_name),
        reads_pixels=reads_pixels(config),
        base_model=str(base) if base else None,
        parameters=sum(one["weights"] for one in parameters) or None,
        prunable=sum(one["weights"] for one in parameters if not one["dense_reason"]) or None,
    )


def reads_pixels(config: Mapping[str, Any]) -> bool:
    """Whether a captioner of this configuration reads pictures, by an encoder of its own or of a package."""
    return bool(config.get("encoder_config") or config.get("encoder_package"))


def read_recipe(run: Run) -> Recipe:
    """Tells how a run trained, by its summary."""
    names = ("optimizer", "lr_scheduler_type", "batch_size", "world_size", "mask_criterion", "reset_optimizer_state")
    facts = {name: run.summary[name] for name in names if run.summary.get(name) is not None}
    return Recipe(
        run.arm if run.place is not None else str(run.summary.get("arm", "dsd")),
        run.seed,
        [_phase(record, run.summary.get("steps_per_epoch")) for record in run.phases],
        command=public_command(run.summary.get("command", [])),
        versions=dict(run.summary.get("versions") or {}),
        **facts,
    )


def data_name(recipe: Recipe) -> str:
    """The data that a recorded command names by `--dataset_name` or `--data_dir`; "" without either."""
    options = parse_options(recipe.command)
    if options.get("dataset_name"):
        return options["dataset_name"][0]
    return PurePath(options["data_dir"][0]).name if options.get("data_dir") else ""


def read_phase_scores(run: Run) -> list[PhaseScore]:
    """What a run measured at the end of each phase, and what its score files say of the test split."""
    per_epoch, arm = run.summary.get("steps_per_epoch"), read_recipe(run).arm
    scores = []
    for record in run.phases:
        epochs = record["end"] / per_epoch if per_epoch else None
        at_end = plain_scores({name.removeprefix("eval_"): value for name, value in record["metrics"].items()})
        found = run.find_scores(record["name"], "test")
        on_test = plain_scores({**found.scores, "loss": found.loss}) if found is not None else {}
        for split, measured in (("validation", at_end), ("test", on_test)):
            if measured:
                scores.append(PhaseScore(arm, run.seed, record["name"], record["sparsity"], epochs, split, measured))
    return scores


def count_examples(run: Run, split: str) -> int | None:
    """Number of examples of a split; None where the run's last model was not scored on it."""
    found = run.find_scores(run.last_phase, split)
    return len(found.examples) if found is not None else None


def plain_scores(scores: Mapping[str, Any]) -> dict[str, float]:
    """The scores among what a run measured: no counts, times, intervals or signatures."""
    return {
        name: value
        for name, value in scores.items()
        if isinstance(value, int | float) and name not in _COUNTS and not name.endswith(("_per_second", "_length"))
    }


def _phase(record: Mapping[str, Any], per_epoch: int | None) -> RecipePhase:
    steps = record["end"] - record["start"]
    return RecipePhase(
        record["name"],
        record["name"].rpartition("-")[2],
        steps,
        steps / per_epoch if per_epoch else None,
        record["learning_rate"],
        record["sparsity"],
        sum(layer["pruned"] for layer in record["layers"]),
    )


def _task(class_name: str) -> str | None:
    """The pipeline for a class of transformers; None where this version has none (any more)."""
    from transformers.modelcard import TASK_MAPPING  # with half of the Trainer
    from transformers.pipelines import SUPPORTED_TASKS

    for task, mapping in TASK_MAPPING.items():
        for names in mapping.values():
            if class_name in ([names] if isinstance(names, str) else names) and task in SUPPORTED_TASKS:
                return str(task)
    return None
