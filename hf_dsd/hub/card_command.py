"""What `hf-dsd card` does: refresh the numbers of a card's results.json, and render README.md from it and words.md."""

import os
from dataclasses import replace
from pathlib import Path

from transformers.utils import CONFIG_NAME

from hf_dsd.files import written_whole

from .card import CARD_FILE_NAME, render_index, render_pages
from .card_facts import reads_pixels
from .contents import read_finished_run, read_model_json
from .results import FIGURES, RESULTS_FILE_NAME, Results
from .staging import place_model, weights_digest
from .words import WORDS_FILE_NAME, Words

NOTES = "notes.md"


def refresh_card(
    folder: str | os.PathLike[str],
    *,
    comparison: str | os.PathLike[str] | None = None,
    run: str | os.PathLike[str] | None = None,
    model: str | os.PathLike[str] | None = None,
    packaged_encoder: bool = False,
) -> list[Path]:
    """Brings a card's numbers up to date and renders it, or renders every card of a folder and their index.

    What a person wrote stays as it is: words.md is written where there is none, with its headings, and never again.
    Where there is no results.json yet, it is made of the comparison, or of the run. The card shows
    `figures/weights.png` where its folder holds one.

    Args:
        folder: A card's folder; or a folder of cards, each a folder with a results.json.
        comparison: Folder of runs, `OUT/seed-S/ARM`: its numbers replace the card's.
        run: A finished run; the card becomes the card of its model.
        model: Folder of a model, such as a run's last phase, to be put into the card's with its code.
        packaged_encoder: Of a captioner: see `place_model`.

    Returns:
        The files written.

    Raises:
        FileNotFoundError: If there is no results.json and nothing to make it of, or a folder holds no runs.
        ValueError: If a file is not as it should be, or numbers are given for a folder of cards.
    """
    folder = Path(folder)
    changes = any(given is not None for given in (comparison, run, model))
    others = sorted(folder.glob(f"*/{RESULTS_FILE_NAME}")) if not (folder / RESULTS_FILE_NAME).is_file() else ()
    if cards := {path.parent.name: Results.read(path.parent) for path in others}:
        if changes:
            raise ValueError(f"{folder} holds {len(cards)} cards: name the one that the numbers are for")
        written = [path for name, results in cards.items() for path in _write_pages(folder / name, results)]
        notes = folder / NOTES
        index = render_index(cards, notes.read_text(encoding="utf-8") if notes.is_file() else "")
        return [*written, _write(folder / CARD_FILE_NAME, index)]
    results = _results(folder, comparison, run)
    written = []
    if changes:
        folder.mkdir(parents=True, exist_ok=True)
        if model is not None:
            written += place_model(Path(model), folder, packaged_encoder=packaged_encoder)
            pixels = reads_pixels(read_model_json(folder / CONFIG_NAME))
            results = replace(results, model=replace(results.model, reads_pixels=pixels))
        if results.shipped is not None and results.shipped.weights != weights_digest(folder):
            results = replace(results, shipped=None)  # what was measured is another model's
        results = replace(results, figures=[figure for figure in FIGURES if (folder / figure).is_file()])
        written.append(results.write(folder))
        if not (folder / WORDS_FILE_NAME).exists():
            written.append(results.words.write(folder))
    return [*written, *_write_pages(folder, results)]


def _results(folder: Path, comparison: str | os.PathLike[str] | None, run: str | os.PathLike[str] | None) -> Results:
    is_new = not (folder / RESULTS_FILE_NAME).exists()
    if run is not None:
        new = Results.from_run(read_finished_run(Path(run)), words=Words.read(folder), comparison=comparison)
        return new if is_new else Results.read(folder).with_run(new)
    if comparison is not None and is_new:
        return Results.from_comparison(comparison, Words.read(folder))
    results = Results.read(folder)  # where there is none, this says how to make it
    return results if comparison is None else results.with_comparison(comparison)


def _write_pages(folder: Path, results: Results) -> list[Path]:
    return [_write(folder / name, text) for name, text in render_pages(results).items()]


def _write(path: Path, text: str) -> Path:
    with written_whole(path) as partial:
        partial.write_text(text, encoding="utf-8")
    return path
