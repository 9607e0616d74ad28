"""What a finished run says about itself: its model and its recipe, read from its folder.

Layer: the files that a run leaves.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

import transformers
from huggingface_hub.dataclasses import strict
from transformers.modelcard import TASK_MAPPING
from transformers.pipelines import SUPPORTED_TASKS
from transformers.utils import CONFIG_NAME

import hf_dsd.models
from hf_dsd.compare.arms import parse_options
from hf_dsd.files import read_json
from hf_dsd.runs.folder import SUMMARY_FILE_NAME, has_finished
from hf_dsd.runs.privacy import without_paths
from hf_dsd.runs.summary_file import read_summary as read_summary_file

from .model_files import ADAPTER

# Model type of ours -> task of the Hub.
OUR_TASKS: Mapping[str, str] = {
    "neuraltalk": "image-text-to-text",
    "deepspeech": "automatic-speech-recognition",
    "deepspeech2": "automatic-speech-recognition",
}


@strict
@dataclass
class ModelFacts:
    """What the weights are weights of.

    Attributes:
        class_name: `DeepSpeech2ForCTC`.
        model_type: `deepspeech2`; "" where the run left no configuration.
        source: `hf_dsd`, `transformers`, or "" for a class of the user's own.
        task: The Hub's name of the pipeline; None where unknown.
        base_model: Of an adapter: the model that it was trained on, as its configuration names it.
        reads_pixels: Whether a captioner reads pictures; without an image encoder it reads image vectors.
        parameters: Number of weights; None where unknown.
        prunable: Number of weights that sparse phases may prune; None where unknown.
    """

    class_name: str
    model_type: str = ""
    source: str = ""
    task: str | None = None
    reads_pixels: bool = False
    base_model: str | None = None
    parameters: int | None = None
    prunable: int | None = None


@strict
@dataclass
class RecipePhase:
    """One phase of the recipe, as it ran.

    Attributes:
        name: `phase-1-sparse`.
        kind: `dense` or `sparse`.
        steps: Optimizer steps.
        epochs: The same in epochs; None for streamed data.
        learning_rate: Peak of the phase.
        sparsity: Fraction pruned per layer, [0, 1).
        pruned: Number of weights at zero.
    """

    name: str
    kind: str
    steps: int
    epochs: float | int | None
    learning_rate: float | int
    sparsity: float | int
    pruned: int


@strict
@dataclass
class Recipe:
    """How a run trained.

    Attributes:
        arm: `dsd`, `dense` or `random`: which arm of a comparison the run is.
        seed: Of the run.
        phases: In order.
        optimizer: Class name.
        lr_scheduler_type: Shape of the learning rate inside every phase.
        batch_size: Examples per optimizer step, over all processes.
        world_size: Number of processes.
        mask_criterion: `magnitude` or `random`.
        reset_optimizer_state: What the optimizer forgets at re-densify.
        command: The command line as recorded, without folders of the machine.
        versions: Of Python and the packages that ran.
    """

    arm: str
    seed: int
    phases: list[RecipePhase]
    optimizer: str = ""
    lr_scheduler_type: str = ""
    batch_size: int | None = None
    world_size: int = 1
    mask_criterion: str = "magnitude"
    reset_optimizer_state: str = "masked"
    command: list[str] = field(default_factory=list)
    versions: dict[str, str | None] = field(default_factory=dict)


def read_summary(run_dir: str | os.PathLike[str]) -> dict[str, Any]:
    """Reads a finished run's `dsd_summary.json`.

    Raises:
        FileNotFoundError: If the folder is not a run's.
        ValueError: If the run has not finished, or the file is damaged.
    """
    path = Path(run_dir) / SUMMARY_FILE_NAME
    summary = read_summary_file(Path(run_dir))
    if summary is None:
        raise FileNotFoundError(f"{path} is missing: give the output folder of a DSDTrainer run")
    if not has_finished(summary["schedule"], summary["phases"]):
        raise ValueError(f"{path}: the run has not finished its last phase; resume it, then make its card")
    return summary


def read_model(run_dir: str | os.PathLike[str], summary: Mapping[str, Any]) -> ModelFacts:
    """Tells what model a run trained, by its summary and the configuration of its last phase.

    The run's own folder holds one only after `trainer.save_model()`.
    """
    folders = (Path(run_dir) / summary["phases"][-1]["name"], Path(run_dir))
    config = next(filter(None, (_read_json(folder / CONFIG_NAME) for folder in folders)), {})
    class_name, model_type = str(summary.get("model", "")), str(config.get("model_type", ""))
    adapter = next(filter(None, (_read_json(folder / ADAPTER) for folder in folders)), {})
    source = _source(class_name)
    parameters = summary.get("parameters", [])
    return ModelFacts(
        class_name,
        model_type,
        source,
        OUR_TASKS.get(model_type) if source == "hf_dsd" else _task(class_name),
        reads_pixels=bool(config.get("encoder_config")),
        base_model=adapter.get("base_model_name_or_path"),
        parameters=sum(one["weights"] for one in parameters) or None,
        prunable=sum(one["weights"] for one in parameters if not one["dense_reason"]) or None,
    )


def read_recipe(summary: Mapping[str, Any]) -> Recipe:
    """Tells how a run trained, by its summary."""
    per_epoch = summary.get("steps_per_epoch")
    names = ("optimizer", "lr_scheduler_type", "batch_size", "world_size", "mask_criterion", "reset_optimizer_state")
    facts = {name: summary[name] for name in names if summary.get(name) is not None}
    return Recipe(
        str(summary.get("arm", "dsd")),
        int(summary.get("seed", 0)),
        [_phase(record, per_epoch) for record in summary["phases"]],
        command=without_paths(summary.get("command", [])),
        versions=dict(summary.get("versions") or {}),
        **facts,
    )


def data_name(recipe: Recipe) -> str:
    """The data that a recorded command names by `--dataset_name` or `--data_dir`; "" without either."""
    options = parse_options(recipe.command)
    if options.get("dataset_name"):
        return options["dataset_name"][0]
    return PurePath(options["data_dir"][0]).name if options.get("data_dir") else ""


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


def _source(class_name: str) -> str:
    if hasattr(hf_dsd.models, class_name):
        return "hf_dsd"
    return "transformers" if hasattr(transformers, class_name) else ""


def _task(class_name: str) -> str | None:
    """The pipeline for a class of transformers; None where this version has none (any more)."""
    for task, mapping in TASK_MAPPING.items():
        for names in mapping.values():
            if class_name in ([names] if isinstance(names, str) else names) and task in SUPPORTED_TASKS:
                return str(task)
    return None


def _read_json(path: Path) -> dict[str, Any]:
    return read_json(path, "train the phase again") or {}
