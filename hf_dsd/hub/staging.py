"""Puts what is to be published into a temporary folder, one per revision: what lies there is sent, and nothing else.

Layer: the report, the card and the models' code; no network.
"""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from huggingface_hub import get_token
from transformers import AutoFeatureExtractor, AutoProcessor, AutoTokenizer, PreTrainedModel

import hf_dsd.models
from hf_dsd.models import NeuralTalkForConditionalGeneration
from hf_dsd.models.picture_captioner import save_picture_captioner
from hf_dsd.models.remote_code import save_with_code
from hf_dsd.report import write_report
from hf_dsd.report.report_folder import FIGURE_FILES
from hf_dsd.runs.folder import SUMMARY_FILE_NAME

from .card import render_card
from .model_files import ADAPTER, CODE_FILES, MODEL_FILES
from .public_files import check_public, clean_json
from .results import RESULTS_FILE_NAME, Results
from .revisions import MAIN, Revision

CARD_FILE_NAME = "README.md"


def stage_run(
    run_dir: str | os.PathLike[str],
    revisions: list[Revision],
    results: Results,
    folder: Path,
    *,
    image_encoder: bool = False,
    token: str | None = None,
) -> dict[str, Path]:
    """Writes every revision's files into a folder of its own.

    Args:
        run_dir: A finished run's `output_dir`; its report is drawn anew, nothing else is changed.
        revisions: From `plan_revisions`.
        results: What the card says.
        folder: An empty folder.
        image_encoder: Attach the image encoder to every captioner.
        token: The one in use, if it is not the login's: no file may hold it.

    Returns:
        Revision -> folder with exactly its files.

    Raises:
        ValueError: If a file holds a token or a path of this machine, or the encoder fits no such model.
        ImportError: If the encoder's weights are not installed.
    """
    run = Path(run_dir)
    staged = {}
    for revision in revisions:
        staged[revision.name] = folder / revision.name
        _stage_model(run / revision.phase, staged[revision.name], image_encoder=image_encoder)
    model = replace(results.model, reads_pixels=results.model.reads_pixels or image_encoder)
    _stage_card(run, replace(results, model=model), staged[MAIN])
    for path in staged.values():
        clean_json(path)
        check_public(path, [token or "", get_token() or ""], [run.resolve(), Path.home()])
    return staged


def read_results(
    run_dir: str | os.PathLike[str],
    repo_id: str,
    *,
    results: str | os.PathLike[str] | None = None,
    license: str | None = None,
    language: str | list[str] | None = None,
    dataset: str | None = None,
) -> Results:
    """What the card will say: the run's numbers, with the words of a results.json where one is given.

    The run's report is drawn first if it is missing or older than the run's numbers: the card shows its figures.

    Raises:
        ValueError: If `language` or `dataset` is given besides a results.json, which says them, too.
    """
    run = Path(run_dir)
    if not _is_drawn(run):
        write_report(run)
    new = Results.from_run(run, repo_id=repo_id, license=license, language=language, dataset=dataset)
    if results is None:
        return new
    if language is not None or dataset is not None:
        raise ValueError(f"language and dataset are what {results} says: change them there")
    words = Results.read(results)
    return replace(words.with_run(new), repo_id=repo_id, license=license or words.license)


def _is_drawn(run: Path) -> bool:
    figure, numbers = run / "figures" / "weights.png", run / SUMMARY_FILE_NAME
    return figure.is_file() and figure.stat().st_mtime >= numbers.stat().st_mtime


def _stage_model(source: Path, target: Path, *, image_encoder: bool) -> None:
    """A model's files: of the classes that hf_dsd brings with their code, of others as the Trainer saved them."""
    model_class = _own_class(source)
    if image_encoder and model_class is not NeuralTalkForConditionalGeneration:
        raise ValueError(f"an image encoder is for a NeuralTalk captioner, and {source} holds none: leave it out")
    if model_class is None:
        _copy_model(source, target)
        return
    if image_encoder:
        save_picture_captioner(source, target)
        return
    save_with_code(model_class.from_pretrained(source, dtype="auto"), _read_processor(source), target)


def _copy_model(source: Path, target: Path) -> None:
    _check_base_model(source / ADAPTER)
    for pattern in (*MODEL_FILES, *CODE_FILES):
        for path in source.glob(pattern):
            copy = target / path.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
    if not list(target.glob("*.safetensors")):
        raise ValueError(f"{source} holds no weights (*.safetensors): train the phase again, or remove the folder")


def _check_base_model(config: Path) -> None:
    if not config.is_file():
        return
    base = json.loads(config.read_text(encoding="utf-8")).get("base_model_name_or_path") or ""
    if Path(base).is_absolute() or Path(base).is_dir():
        raise ValueError(
            f"{config} has base_model_name_or_path {base!r}, a folder of this machine: set it to the base model's name "
            "on the Hub, which whoever loads the adapter needs"
        )


def _read_processor(source: Path) -> Any:
    """What the run's `processing_class` left in a phase's folder: a processor, or a part of one, or None."""
    parts = {
        "processor_config.json": AutoProcessor,
        "preprocessor_config.json": AutoFeatureExtractor,
        "tokenizer_config.json": AutoTokenizer,
    }
    found = next((auto_class for name, auto_class in parts.items() if (source / name).is_file()), None)
    return None if found is None else found.from_pretrained(source)


def _own_class(source: Path) -> type[PreTrainedModel] | None:
    """The class of hf_dsd whose model a folder holds; None for any other model."""
    config = source / "config.json"
    if not config.is_file():
        return None
    names = json.loads(config.read_text(encoding="utf-8")).get("architectures") or [""]
    found: type[PreTrainedModel] | None = getattr(hf_dsd.models, names[0], None)
    return found


def _stage_card(run: Path, results: Results, target: Path) -> None:
    shutil.copyfile(run / SUMMARY_FILE_NAME, target / SUMMARY_FILE_NAME)
    for name in FIGURE_FILES:
        if (run / name).is_file():
            (target / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(run / name, target / name)
    results.write(target / RESULTS_FILE_NAME)
    clean_json(target)  # first, so that the card is what its results.json renders
    card = render_card(Results.read(target / RESULTS_FILE_NAME))
    (target / CARD_FILE_NAME).write_text(card, encoding="utf-8")
