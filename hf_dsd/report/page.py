"""`report.html`: the sections of a report, rendered as one file that asks the network for nothing."""

import os
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from hf_dsd.files import written_whole
from hf_dsd.runs.numbers import score_with_unit, short_number
from hf_dsd.runs.run import Run

from .example_choice import mark_words
from .landscape import short_phase
from .page_sections import (
    examples_section,
    headline,
    landscape_section,
    page_problems,
    runs_section,
    scores_section,
    timeline_section,
    weights_section,
)
from .report_folder import FIGURES, FIGURES_FOLDER_NAME, REPORT_FILE_NAME, read_report_folder
from .svg_figure import COLOURS


class Report(type(Path())):  # type: ignore[misc]
    """The path of a written report; the last expression of a notebook's cell, it is the page itself."""

    @property
    def figures(self) -> dict[str, Path]:
        """Name -> PNG, as far as the folder holds what a figure shows."""
        paths = {name: Path(self).parent / FIGURES_FOLDER_NAME / f"{name}.png" for name in FIGURES}
        return {name: path for name, path in paths.items() if path.is_file()}

    def _repr_html_(self) -> str:
        page = escape(self.read_text(encoding="utf-8"))
        return f'<iframe srcdoc="{page}" style="width: 100%; height: 40em; border: 0"></iframe>'


def write_report(
    folder: str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    *,
    layer: str | None = None,
    runs: Iterable[Run] = (),
) -> "Report":
    """Writes a run's or a comparison's report and returns its path, which a notebook shows as the page.

    Beside the page go `figures/*.png` for papers: `timeline`, `weights` (the paper's Figure 2), `fate` and `landscape`,
    as far as the folder holds what they show. What it does not hold is said on the page, with how to get it.

    Args:
        folder: A run's `output_dir`, finished or not; a comparison's `out`; or a folder of runs.
        out: Where to write the page; None means `folder/report.html`.
        layer: Whose weights to draw; None means the largest pruned one.
        runs: Runs of the folder that the caller has read: they are not read again.

    Raises:
        FileNotFoundError: If the folder holds no run.
        ValueError: If `layer` cannot be drawn, or no run's summary can be read; other damage is named on the page.
    """
    path = Path(out) if out is not None else Path(folder) / REPORT_FILE_NAME
    found = read_report_folder(Path(folder), runs)
    figures = path.parent / FIGURES_FOLDER_NAME
    landscape = landscape_section(found, figures)
    content = {
        "headline": headline(found),
        "problems": [*page_problems(found), *landscape["problems"]],
        "timeline": timeline_section(found, figures),
        "scores": scores_section(found),
        "weights": weights_section(found, figures, layer),
        "examples": examples_section(found),
        "landscape": landscape,
        "runs": runs_section(found),
        "comparison": found.comparison,
        "version": version("hf-dsd"),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as partial:
        # A name read from JSON may hold half of a surrogate pair, which no file can.
        partial.write_text(_render(content), encoding="utf-8", errors="replace")
    return Report(path)


def _render(content: dict[str, Any]) -> str:
    options: dict[str, Any] = {"autoescape": True, "trim_blocks": True, "lstrip_blocks": True}
    environment = Environment(loader=PackageLoader("hf_dsd.report"), undefined=StrictUndefined, **options)
    environment.filters |= {
        "number": lambda value: f"{value:,}",
        "percent": lambda value: f"{100 * value:.1f} %",
        "short": short_number,
        "shape": lambda sizes: " × ".join(map(str, sizes)),
        "phase": short_phase,
        "score": score_with_unit,
        "duration": _duration,
        "marked": mark_words,
    }
    return environment.get_template("report.html").render(**content, colours=_colour_variables()) + "\n"


def _colour_variables() -> dict[str, Markup]:
    """CSS declarations of the palette per scheme."""
    return {
        scheme: Markup(  # noqa: S704 (our own constants)
            " ".join(f"--{role}: {getattr(colour, scheme)};" for role, colour in COLOURS.items())
        )
        for scheme in ("light", "dark")
    }


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
