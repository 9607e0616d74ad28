"""What `hf-dsd card` does: refresh the numbers of a card's results.json, and render README.md from it and words.md."""

import os
from dataclasses import replace
from pathlib import Path

from hf_dsd.files import written_whole

from .card import render_card, render_index
from .contents import read_finished_run
from .results import FIGURES, RESULTS_FILE_NAME, Results
from .words import WORDS_FILE_NAME, Words

README = "README.md"
NOTES = "notes.md"


def refresh_card(
    folder: str | os.PathLike[str],
    *,
    comparison: str | os.PathLike[str] | None = None,
    run: str | os.PathLike[str] | None = None,
) -> list[Path]:
    """Brings a card's numbers up to date and renders it, or renders every card of a folder and their index.

    What a person wrote stays as it is: words.md is written where there is none, with its headings, and never again.
    Where there is no results.json yet, it is made of the comparison, or of the run. The card shows
    `figures/weights.png` where its folder holds one.

    Args:
        folder: A card's folder; or a folder of cards, each a folder with a results.json.
        comparison: Folder of runs, `OUT/seed-S/ARM`: its numbers replace the card's.
        run: A finished run; the card becomes the card of its model.

    Returns:
        The files written.

    Raises:
        FileNotFoundError: If there is no results.json and nothing to make it of, or a folder holds no runs.
        ValueError: If a file is not as it should be, or numbers are given for a folder of cards.
    """
    folder = Path(folder)
    changes = comparison is not None or run is not None
    others = sorted(folder.glob(f"*/{RESULTS_FILE_NAME}")) if not (folder / RESULTS_FILE_NAME).is_file() else ()
    if cards := {path.parent.name: Results.read(path.parent) for path in others}:
        if changes:
            raise ValueError(f"{folder} holds {len(cards)} cards: name the one that the numbers are for")
        written = [_write(folder / name / README, render_card(results)) for name, results in cards.items()]
        notes = folder / NOTES
        index = render_index(cards, notes.read_text(encoding="utf-8") if notes.is_file() else "")
        return [*written, _write(folder / README, index)]
    results = _results(folder, comparison, run)
    written = []
    if changes:
        folder.mkdir(parents=True, exist_ok=True)
        results = replace(results, figures=[figure for figure in FIGURES if (folder / figure).is_file()])
        written.append(results.write(folder))
        if not (folder / WORDS_FILE_NAME).exists():
            written.append(results.words.write(folder))
    return [*written, _write(folder / README, render_card(results))]


def _results(folder: Path, comparison: str | os.PathLike[str] | None, run: str | os.PathLike[str] | None) -> Results:
    is_new = not (folder / RESULTS_FILE_NAME).exists()
    if run is not None:
        new = Results.from_run(read_finished_run(Path(run)), words=Words.read(folder), comparison=comparison)
        return new if is_new else Results.read(folder).with_run(new)
    if comparison is not None and is_new:
        return Results.from_comparison(comparison, Words.read(folder))
    results = Results.read(folder)  # where there is none, this says how to make it
    return results if comparison is None else results.with_comparison(comparison)


def _write(path: Path, text: str) -> Path:
    with written_whole(path) as partial:
        partial.write_text(text, encoding="utf-8")
    return path
