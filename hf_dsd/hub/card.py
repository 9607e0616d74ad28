"""The model card: README.md rendered from `results.json` and from nothing else; generated, never edited.

Layer: the results, their tables, and the templates beside.
"""

import shlex
from collections.abc import Mapping, Sequence
from statistics import fmean

from jinja2 import Environment, PackageLoader, StrictUndefined

from hf_dsd.compare.table import to_markdown, verdict_text
from hf_dsd.runs.metric_names import is_rate, plain_name, score_title, short_title
from hf_dsd.runs.numbers import percent, score_text

from . import tables
from .model_index import card_data
from .results import Results

LINE_WIDTH = 120


def render_card(results: Results) -> str:
    """The whole README.md: YAML head and text.

    Raises:
        ValueError: If huggingface_hub refuses the head, such as an invalid evaluation result.
    """
    text = (
        _environment()
        .get_template("card.md.jinja")
        .render(
            results=results,
            comparison=results.comparison,
            recipe=results.recipe,
            model=results.model,
            prose=results.prose,
            name=results.repo_id or "FOLDER",
            example_interval=example_interval(results),
            validation_title=score_title(results.comparison.metric) if results.comparison is not None else "",
        )
    )
    return f"---\n{card_data(results).to_yaml()}\n---\n\n{text.strip()}\n"


def render_index(cards: Mapping[str, Results], notes: str = "") -> str:
    """The README.md of a folder of cards: one row each.

    Args:
        cards: Name of a card's folder -> its results, in the order of the rows.
        notes: What a person says about them all, in markdown.
    """
    text = _environment().get_template("index.md.jinja").render(cards=cards, notes=notes.strip())
    return f"{text.strip()}\n"


def example_interval(results: Results) -> str | None:
    """How uncertain one model's score is by its examples alone: `±2.7 points of WER`; None without intervals."""
    comparison = results.comparison
    if comparison is None:
        return None
    intervals = [run.ci for run in comparison.runs if run.arm == "dsd" and run.ci is not None]
    if not intervals:
        return None
    half = fmean((high - low) / 2 for low, high in intervals)
    name = plain_name(comparison.metric)
    unit = f"points of {short_title(name)}" if is_rate(name) else score_title(name)
    return f"±{score_text(half, name)} {unit}"


def command_lines(command: Sequence[str] | str) -> str:
    """A command as it can be pasted, broken between options so that lines stay short."""
    words = shlex.split(command) if isinstance(command, str) else list(command)
    if "&&" in words:  # runs that were made by several calls
        place = words.index("&&")
        return f"{command_lines(words[:place])}\n{command_lines(words[place + 1 :])}"
    lines: list[str] = []
    for part in _options(words):
        if lines and len(lines[-1]) + 1 + len(part) <= LINE_WIDTH - 2:
            lines[-1] += f" {part}"
        else:
            lines.append(f"    {part}" if lines else part)
    return " \\\n".join(lines)


def _options(words: Sequence[str]) -> list[str]:
    """The words grouped as `--option value value`, quoted for a shell."""
    groups: list[list[str]] = []
    for word in words:
        if not groups or word.startswith("--"):
            groups.append([])
        groups[-1].append(shlex.quote(word))
    return [" ".join(group) for group in groups]


def _millions(count: int) -> str:
    return f"{count / 1e6:.2f} million" if count >= 10_000 else f"{count:,}"


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("hf_dsd.hub"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"percent": percent, "millions": _millions, "command": command_lines}
    environment.globals |= {"tables": tables, "to_markdown": to_markdown, "verdict_text": verdict_text}
    return environment
