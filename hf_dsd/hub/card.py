"""The model card: README.md rendered from results.json and words.md and from nothing else; generated, never edited."""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from statistics import fmean
from typing import Any

from huggingface_hub import EvalResult, ModelCardData
from jinja2 import Environment, PackageLoader, StrictUndefined

from hf_dsd.compare.table import to_markdown, verdict_text
from hf_dsd.runs.metric_names import is_rate, score_title
from hf_dsd.runs.numbers import percent, score_text, size_unit

from . import tables
from .results import Results
from .words import STUDY, Words

CARD_FILE_NAME = "README.md"
STUDIES_FILE_NAME = "STUDIES.md"
LINE_WIDTH = 120
# Scores that the Hub knows as metrics, by our names; others stay in the card's tables.
_METRICS = {"bleu1": "bleu", "bleu2": "bleu", "bleu3": "bleu", "bleu4": "bleu", "wer": "wer", "cer": "cer"}
_METRICS |= {"accuracy": "accuracy", "perplexity": "perplexity", "f1": "f1"}
_TAGS = ("dsd", "dense-sparse-dense", "hf_dsd")
_AS_THEY_ARE = {"command", "script", "repo_id"}  # shown in blocks of code, where nothing is marked up, or checked


def render_pages(results: Results) -> dict[str, str]:
    """The card's two pages, by their files' names."""
    return {CARD_FILE_NAME: render_card(results), STUDIES_FILE_NAME: render_studies(results)}


def render_card(results: Results) -> str:
    """The whole README.md: YAML head and text; a head that huggingface_hub refuses is a ValueError."""
    head = card_data(results).to_yaml()
    return f"---\n{head}\n---\n\n{_render('card.md.jinja', results)}\n"


def render_studies(results: Results) -> str:
    """The whole STUDIES.md: every score, what a person found in them, further comparisons, and the commands."""
    return f"{_render('studies.md.jinja', results)}\n"


def _render(template: str, results: Results) -> str:
    shown: Results = _escaped(results)
    words = results.words
    studies = [(escape(title), words.section(STUDY + title), shown.studies[escape(title)]) for title in results.studies]
    # Of a model on the Hub the names of the clone's folders say nothing.
    shipped = results.shipped if results.repo_id is None else None
    text = (
        _environment()
        .get_template(template)
        .render(
            results=shown,
            comparison=shown.comparison,
            recipe=shown.recipe,
            model=shown.model,
            words=words,
            title=words.title or escape(results.title),
            dataset=words.dataset or escape(results.dataset),
            studies=studies,
            shipped=shipped,
            name=results.repo_id or (shipped.folder if shipped is not None else "FOLDER"),
            file=next(iter(shipped.examples), "") if shipped is not None else "",
            example_interval=example_interval(results),
            validation_title=score_title(shown.comparison.metric) if shown.comparison is not None else "",
        )
    )
    return re.sub(r"\n{3,}", "\n\n", text.strip())


def card_data(results: Results) -> ModelCardData:
    """The YAML head of a card: what the Hub searches and shows; of scores the model's own alone."""
    evaluations = list(_evaluations(results))
    model, words = results.model, results.words
    of_run = f"{model.class_name} on {results.dataset}"
    return ModelCardData(
        library_name="peft" if model.base_model else "transformers",
        base_model=model.base_model,
        language=words.language or None,
        license=words.license,
        license_name=words.license_name,
        license_link=words.license_link,
        tags=[*_TAGS, *([model.model_type] if model.model_type else [])],
        pipeline_tag=model.task,
        datasets=[results.dataset_id],
        metrics=sorted({evaluation.metric_type for evaluation in evaluations}) or None,
        model_name=(results.repo_id.rpartition("/")[2] if results.repo_id else of_run) if evaluations else None,
        eval_results=evaluations or None,
    )


def render_index(cards: Mapping[str, Results], notes: str = "") -> str:
    """The README.md of a folder of cards: a row for each folder's results, and what a person says of them all."""
    shown = {name: (results.words.title or escape(results.title), _escaped(results)) for name, results in cards.items()}
    text = _environment().get_template("index.md.jinja").render(cards=shown, notes=notes.strip())
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
    return f"±{score_text(half, comparison.metric)} {size_unit(comparison.metric)}"


def _evaluations(results: Results) -> Iterator[EvalResult]:
    """The published model's scores; a card of a comparison without a model of its own has none."""
    if results.shipped is not None:
        yield from _of_scores(results, results.shipped.split, results.shipped.scores)
        return
    for score in results.own_scores():
        if score.phase == results.phase and score.split == "test":
            yield from _of_scores(results, score.split, score.scores)


def _of_scores(results: Results, split: str, scores: Mapping[str, float]) -> Iterator[EvalResult]:
    for name in tables.in_order(scores):
        if name in _METRICS:
            value = 100 * scores[name] if is_rate(name) else scores[name]
            yield EvalResult(
                task_type=results.model.task or "other",
                dataset_type=results.dataset_id,
                dataset_name=results.dataset,
                dataset_split=split,
                metric_type=_METRICS[name],
                metric_name=f"{score_title(name)} (this model)",
                metric_value=round(value, 2 if abs(value) > 1 else 4),
            )


def _escaped(value: Any) -> Any:
    """Results whose texts mark up nothing: the names in a run's files may be anybody's."""
    if isinstance(value, Words):
        return value
    if is_dataclass(value) and not isinstance(value, type):
        texts = {one.name: getattr(value, one.name) for one in fields(value) if one.name not in _AS_THEY_ARE}
        return replace(value, **{name: _escaped(item) for name, item in texts.items()})
    if isinstance(value, Mapping):
        return {escape(key) if isinstance(key, str) else key: _escaped(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_escaped(item) for item in value]
    return escape(value) if isinstance(value, str) else value


def escape(text: str) -> str:
    """One line of text that Markdown and HTML take for text."""
    text = re.sub(r"[\r\n\u2028\u2029]+", " ", text).replace("`", "'")
    text = re.sub(r"<(?=[A-Za-z/!?])", "&lt;", re.sub(r"&(?=#?\w+;)", "&amp;", text))
    return re.sub(r"([][*\\]|(?<!\w)_|_(?!\w)|^[#>+-](?= )|~~)", r"\\\1", text)


def command_lines(command: Sequence[str] | str) -> str:
    """A command as it can be pasted, broken between options so that lines stay short.

    A line break within an argument becomes a space: three backticks after it would end the block of code.
    """
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
        groups[-1].append(shlex.quote(" ".join(word.splitlines())))
    return [" ".join(group) for group in groups]


def _millions(count: int) -> str:
    return f"{count / 1e6:.2f} million" if count >= 10_000 else f"{count:,}"


def _environment() -> Environment:
    options: dict[str, Any] = {"trim_blocks": True, "lstrip_blocks": True, "keep_trailing_newline": True}
    environment = Environment(loader=PackageLoader("hf_dsd.hub"), undefined=StrictUndefined, **options)
    environment.filters |= {"percent": percent, "millions": _millions, "command": command_lines}
    environment.globals |= {"tables": tables, "to_markdown": to_markdown, "verdict_text": verdict_text}
    return environment
