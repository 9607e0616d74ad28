"""Puts what is to be published into a temporary folder, one per revision: what lies there is sent, and nothing else."""

import os
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import get_token
from safetensors import SafetensorError, safe_open
from transformers import AutoFeatureExtractor, AutoProcessor, AutoTokenizer, PreTrainedModel
from transformers.utils import CONFIG_NAME, GENERATION_CONFIG_NAME

import hf_dsd.models
from hf_dsd.files import file_digest, write_json, written_whole
from hf_dsd.models import NeuralTalkForConditionalGeneration
from hf_dsd.models.picture_captioner import save_picture_captioner
from hf_dsd.models.read_config import UNUSABLE
from hf_dsd.models.remote_code import save_with_code
from hf_dsd.report import write_report
from hf_dsd.report.report_folder import FIGURE_FILES, REPORT_FILE_NAME
from hf_dsd.runs.folder import SUMMARY_FILE_NAME
from hf_dsd.runs.run import Run
from hf_dsd.runs.weights import has_weights, open_weights, read_weights

from .card import render_pages
from .contents import ADAPTER, CODE_FILES, MAIN, MODEL_FILES, Revision, read_model_json
from .privacy import check_public, clean_json, public_command
from .results import Results
from .words import Words, as_id

_PROCESSORS = {
    "processor_config.json": AutoProcessor,
    "preprocessor_config.json": AutoFeatureExtractor,
    "tokenizer_config.json": AutoTokenizer,
}


def stage_run(
    run: Run,
    revisions: list[Revision],
    results: Results,
    folder: Path,
    *,
    image_encoder: bool = False,
    token: str | None = None,
) -> dict[str, Path]:
    """Writes every revision's files into a folder of its own; weights are linked, not copied.

    Args:
        run: A finished run.
        revisions: From `plan_revisions`.
        results: What the card says.
        folder: An empty folder.
        image_encoder: Attach the image encoder to every captioner; an ImportError if its weights are not installed.
        token: The one in use, if it is not the login's: no file may hold it.

    Returns:
        Revision -> folder with exactly its files.

    Raises:
        ValueError: If a file is damaged, holds a token or a path of this machine, or the encoder fits no such model.
    """
    staged = {}
    for revision in revisions:
        if damage := run.damage(revision.phase):
            raise ValueError(
                f"{run.folder / revision.phase} cannot be published ({damage}): restore it, train that phase again, or "
                "remove its folder"
            )
        staged[revision.name] = folder / revision.name
        _stage_model(run.folder / revision.phase, staged[revision.name], image_encoder=image_encoder)
    model = replace(results.model, reads_pixels=results.model.reads_pixels or image_encoder)
    command = public_command(run.summary.get("command", []))
    write_json(staged[MAIN] / SUMMARY_FILE_NAME, {**run.summary, "command": command})
    _stage_card(replace(results, model=model), run.folder, staged[MAIN])
    for path in staged.values():
        clean_json(path)
        check_public(path, [token or "", get_token() or ""], [run.folder.resolve(), Path.home()])
    return staged


def stage_card(card: Path, repo_id: str, folder: Path, *, token: str | None = None) -> dict[str, Path]:
    """Writes the model that lies in a card's folder, with its card, into a folder: the one revision `main`.

    Raises:
        FileNotFoundError: If the folder is not a card's.
        ValueError: If it holds no model, a file is damaged, or one holds a token or a path of this machine.
    """
    results, target = replace(Results.read(card), repo_id=repo_id), folder / MAIN
    if not has_weights(card):
        raise ValueError(
            f"{card} holds a card without a model: put one there by hf-dsd card {card} --model RUN/phase-N-KIND"
        )
    _check_readable(card)
    _stage_model(card, target)
    _stage_card(results, card, target)
    check_public(target, [token or "", get_token() or ""], [card.resolve(), Path.home()])
    return {MAIN: target}


def place_model(source: Path, card: Path, *, packaged_encoder: bool = False) -> list[Path]:
    """Puts a model into a card's folder, with its code, in place of the one that is there; returns its files.

    Args:
        source: Folder of a model, such as a run's last phase; or the card's own, whose code is then written anew.
        card: The card's folder.
        packaged_encoder: Of a captioner of EfficientNet-Lite0's vectors: name the package that holds this encoder.

    Raises:
        ValueError: If the folder holds no model, or a file of it is damaged, or it is none for an image encoder, whose
            package, if it is not installed, is an ImportError.
    """
    if not has_weights(source):
        raise ValueError(f"{source} holds no model: give the folder of one, such as RUN/phase-2-dense")
    _check_readable(source)
    with tempfile.TemporaryDirectory(prefix="hf-dsd-card-") as folder:
        staged = Path(folder)
        _stage_model(source, staged, image_encoder=packaged_encoder, packaged=True)
        clean_json(staged)
        new = {path.relative_to(staged): path.read_bytes() for path in staged.rglob("*") if path.is_file()}
    for pattern in (*MODEL_FILES, *CODE_FILES):
        for path in card.glob(pattern):
            if path.relative_to(card) not in new:
                path.unlink()
    for name, content in new.items():
        (card / name).parent.mkdir(parents=True, exist_ok=True)
        with written_whole(card / name) as partial:
            partial.write_bytes(content)
    return [card / name for name in sorted(new)]


def weights_digest(folder: Path) -> str:
    """SHA-256, hexadecimal, of the safetensors files in a model's folder, in the order of their names."""
    return file_digest(*sorted(folder.glob("*.safetensors")))


def _check_readable(folder: Path) -> None:
    """Every weight is there and of its shape, as far as the model's class is known."""
    model_class = _own_class(folder)
    try:
        if model_class is None:
            with open_weights(folder):
                return
        with torch.device("meta"):
            model = model_class(model_class.config_class.from_pretrained(folder))
        read_weights(folder, model)
    except (OSError, KeyError, TypeError, RuntimeError) as error:
        raise ValueError(f"{folder} holds a damaged model ({error}): restore it, or place it anew") from error


def read_results(
    run: Run,
    repo_id: str,
    *,
    card: str | os.PathLike[str] | None = None,
    license: str | None = None,
    language: str | list[str] | None = None,
    dataset: str | None = None,
) -> Results:
    """What the card will say: the run's numbers, under the words of another card where one is given.

    The run's report is drawn first if it is missing or older than the run's numbers: the card shows its figures. A
    `language` or `dataset` besides a card, whose words say them, is a ValueError.
    """
    if not _is_drawn(run.folder):
        write_report(run.folder, runs=[run])
    languages = [language] if isinstance(language, str) else list(language or ())
    name = " ".join((dataset or "").split())
    words = Words("", name, as_id(name) if name else "", license, language=languages)
    new = Results.from_run(run, words=words, repo_id=repo_id)
    if card is None:
        return new
    if language is not None or dataset is not None:
        raise ValueError(f"language and dataset are what the words of {card} say: change them there")
    old = Results.read(card if Path(card).is_dir() else Path(card).parent)
    words = replace(old.words, license=license or old.words.license)
    return replace(old.with_run(new), repo_id=repo_id, words=words)


def _is_drawn(run: Path) -> bool:
    numbers = (run / SUMMARY_FILE_NAME).stat().st_mtime
    files = (run / "figures" / "weights.png", run / REPORT_FILE_NAME)  # the page comes last: before it, it was killed
    return all(file.is_file() and file.stat().st_mtime >= numbers for file in files)


def _stage_model(source: Path, target: Path, *, image_encoder: bool = False, packaged: bool = False) -> None:
    """A model's files: of the classes that hf_dsd brings with their code, of others as the Trainer saved them."""
    model_class = _own_class(source)
    if image_encoder and model_class is not NeuralTalkForConditionalGeneration:
        raise ValueError(f"an image encoder is for a NeuralTalk captioner, and {source} holds none: leave it out")
    if model_class is None:
        _check_base_model(source / ADAPTER)
        _copy(source, target, (*MODEL_FILES, *CODE_FILES))
    elif image_encoder:
        save_picture_captioner(source, target, packaged=packaged)
    else:
        _stage_own_model(model_class, source, target)
    weights = list(target.rglob("*.safetensors"))
    if not has_weights(source):  # an adapter, or a model of parts; of others `Run.damage` has looked
        for path in weights:
            _check_whole(path, source)
    if not weights:
        raise ValueError(f"{source} holds no weights (*.safetensors): train the phase again, or remove the folder")


def _check_whole(path: Path, source: Path) -> None:
    try:
        with safe_open(path, framework="pt"):
            pass
    except (SafetensorError, OSError) as error:
        raise ValueError(
            f"{path.name} of {source} is damaged ({error}): restore it, or train the phase again"
        ) from error


def _stage_own_model(model_class: type[PreTrainedModel], source: Path, target: Path) -> None:
    """A model of hf_dsd: its configuration and processor are saved anew, with their code; its weights are not read."""
    processor = _read_processor(source)
    try:
        with torch.device("meta"):
            model = model_class(model_class.config_class.from_pretrained(source))
        save_with_code(model, processor, target, state_dict={})
    except UNUSABLE as error:
        raise ValueError(
            f"{source / CONFIG_NAME} makes no {model_class.__name__} ({type(error).__name__}: {error}): restore it, or "
            "train the phase again"
        ) from error
    _copy(source, target, (*(name for name in MODEL_FILES if "safetensors" in name), GENERATION_CONFIG_NAME))


def _copy(source: Path, target: Path, patterns: tuple[str, ...]) -> None:
    """Copies the files of the patterns, weights as links where the system has links: nothing changes them here."""
    for pattern in patterns:
        for path in filter(Path.is_file, source.glob(pattern)):
            copy = target / path.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            try:
                if path.suffix != ".safetensors":
                    raise OSError("it may be changed")
                copy.symlink_to(path.resolve())
            except OSError:
                shutil.copyfile(path, copy)


def _check_base_model(config: Path) -> None:
    base = read_model_json(config).get("base_model_name_or_path") or ""
    if not isinstance(base, str) or (base and (Path(base).is_absolute() or Path(base).is_dir())):
        raise ValueError(
            f"{config} has base_model_name_or_path {base!r}, a folder of this machine: set it to the base model's name "
            "on the Hub, which whoever loads the adapter needs"
        )


def _read_processor(source: Path) -> Any:
    """What the run's `processing_class` left in a phase's folder: a processor, or a part of one, or None.

    Raises:
        ValueError: If a file is damaged, or names a file that is not beside it, which would be read and published.
    """
    contents = {name: read_model_json(source / name) for name in _PROCESSORS if (source / name).exists()}
    for name, content in contents.items():
        for key, value in content.items():
            if key.endswith("_file") and value is not None and value != Path(str(value)).name:
                raise ValueError(f"{source / name} has {key} {value!r}, which is not beside it: take that entry out")
    if not contents:
        return None
    name = next(iter(contents))
    try:
        return _PROCESSORS[name].from_pretrained(source, trust_remote_code=False, local_files_only=True)
    except UNUSABLE as error:
        raise ValueError(
            f"{source / name} makes no processor ({type(error).__name__}: {error}): restore it, or remove it"
        ) from error


def _own_class(source: Path) -> type[PreTrainedModel] | None:
    """The class of hf_dsd whose model a folder holds; None for any other model."""
    path = source / CONFIG_NAME
    names = read_model_json(path).get("architectures")
    if names is None:
        return None
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise ValueError(f"{path} has architectures {names!r}, no list of names: restore it, or train the phase again")
    found = getattr(hf_dsd.models, names[0], None)
    return found if isinstance(found, type) and issubclass(found, PreTrainedModel) else None


def _stage_card(results: Results, source: Path, target: Path) -> None:
    """The card with its words, numbers and the figures of a folder."""
    for name in FIGURE_FILES:
        if (source / name).is_file():
            (target / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(source / name, target / name)
    results.words.write(target)
    results.write(target)
    clean_json(target)  # first, so that the card is what its results.json renders
    for name, text in render_pages(Results.read(target)).items():
        (target / name).write_text(text, encoding="utf-8")
