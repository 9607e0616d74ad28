"""What `hf-dsd card` does: refresh the numbers of a card's results.json, and render README.md from it.

Layer: the results and the card next door.
"""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from hf_dsd.state_file import written_whole

from .card import render_card, render_index
from .comparison_folder import read_comparison
from .results import FIGURES, RESULTS_FILE_NAME, Results
from .studies import parse_study, with_comparison

README = "README.md"
NOTES = "notes.md"


def refresh_card(
    folder: str | os.PathLike[str],
    *,
    comparison: str | os.PathLike[str] | None = None,
    run: str | os.PathLike[str] | None = None,
    studies: Sequence[str] = (),
) -> list[Path]:
    """Brings a card's numbers up to date and renders it, or renders every card of a folder and their index.

    What a person wrote in results.json stays as it is. Where there is no results.json yet, it is made of the
    comparison, or of the run. The card shows `figures/weights.png` where its folder holds one.

    Args:
        folder: Of a card; or of cards, each a folder with a results.json.
        comparison: Folder of runs, `OUT/seed-S/ARM`: its numbers replace the card's.
        run: A finished run; the card becomes the card of its model.
        studies: `TITLE: SETTING=FOLDER`, folders of further comparisons.

    Returns:
        The files written.

    Raises:
        FileNotFoundError: If there is no results.json and nothing to make it of, or a folder holds no runs.
        ValueError: If results.json is not as it should be, or numbers are given for a folder of cards.
    """
    folder = Path(folder)
    changes = comparison is not None or run is not None or bool(studies)
    cards = sorted(path.parent for path in folder.glob(f"*/{RESULTS_FILE_NAME}"))
    if cards and not (folder / RESULTS_FILE_NAME).is_file():
        if changes:
            raise ValueError(f"{folder} holds {len(cards)} cards: name the one that the numbers are for")
        return [*(_write_card(card, Results.read(card / RESULTS_FILE_NAME)) for card in cards), _write_index(cards)]
    results = _results(folder, comparison, run)
    for study in studies:
        title, setting, out = parse_study(study)
        results = replace(results, studies=with_comparison(results.studies, title, setting, read_comparison(out)))
    written = []
    if changes:
        folder.mkdir(parents=True, exist_ok=True)
        results = replace(results, figures=[figure for figure in FIGURES if (folder / figure).is_file()])
        written.append(results.write(folder / RESULTS_FILE_NAME))
    return [*written, _write_card(folder, results)]


def rendered_index(folder: str | os.PathLike[str]) -> str:
    """The README.md of a folder of cards, with its `notes.md`, if there is one, at the end."""
    cards = sorted(path.parent for path in Path(folder).glob(f"*/{RESULTS_FILE_NAME}"))
    notes = Path(folder) / NOTES
    found = {card.name: Results.read(card / RESULTS_FILE_NAME) for card in cards}
    return render_index(found, notes.read_text(encoding="utf-8") if notes.is_file() else "")


def _results(folder: Path, comparison: str | os.PathLike[str] | None, run: str | os.PathLike[str] | None) -> Results:
    path = folder / RESULTS_FILE_NAME
    old = Results.read(path) if path.is_file() or (comparison is None and run is None) else None
    if run is not None:
        new = Results.from_run(run, comparison=comparison)
        return new if old is None else old.with_run(new)
    if comparison is None:
        return Results.read(path)
    return Results.from_comparison(comparison) if old is None else old.with_comparison(comparison)


def _write_card(folder: Path, results: Results) -> Path:
    return _write(folder / README, render_card(results))


def _write_index(cards: Sequence[Path]) -> Path:
    folder = cards[0].parent
    return _write(folder / README, rendered_index(folder))


def _write(path: Path, text: str) -> Path:
    with written_whole(path) as partial:
        partial.write_text(text, encoding="utf-8")
    return path
