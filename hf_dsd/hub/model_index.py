"""The YAML head of a card: what the Hub searches and shows, scores included.

Layer: huggingface_hub's own classes, which check it.
"""

from collections.abc import Iterator
from statistics import fmean
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from hf_dsd.compare import Comparison
from hf_dsd.runs.metric_names import is_rate, plain_name, score_title

from .results import Results
from .tables import in_order

# Scores that the Hub knows as metrics, by our names; others stay in the card's tables.
_METRICS = {"bleu1": "bleu", "bleu2": "bleu", "bleu3": "bleu", "bleu4": "bleu", "wer": "wer", "cer": "cer"}
_METRICS |= {"accuracy": "accuracy", "perplexity": "perplexity", "f1": "f1"}
_TAGS = ("dsd", "dense-sparse-dense", "hf_dsd")


def card_data(results: Results) -> ModelCardData:
    """The head of a card, checked by huggingface_hub.

    Raises:
        ValueError: If huggingface_hub refuses it.
    """
    evaluations = list(_evaluations(results))
    metrics = sorted({evaluation.metric_type for evaluation in evaluations})
    return ModelCardData(
        library_name="peft" if results.model.base_model else "transformers",
        base_model=results.model.base_model,
        language=results.language or None,
        license=results.license,
        license_name=results.license_name,
        license_link=results.license_link,
        tags=[*_TAGS, *([results.model.model_type] if results.model.model_type else [])],
        pipeline_tag=results.model.task,
        datasets=[results.dataset.id],
        metrics=metrics or None,
        model_name=model_name(results) if evaluations else None,
        eval_results=evaluations or None,
    )


def model_name(results: Results) -> str:
    """The repository's name, or the class and the data."""
    if results.repo_id is not None:
        return results.repo_id.rpartition("/")[2]
    return f"{results.model.class_name} on {results.dataset.name}"


def _evaluations(results: Results) -> Iterator[EvalResult]:
    """This model's own scores, then the means of DSD and of its control beside it."""
    for score in results.own_scores():
        if score.phase == results.phase and score.split == "test":
            yield from _of_scores(results, score.split, score.scores, "this model")
    if results.comparison is not None:
        for arm, label in (("dsd", "DSD"), ("dense", "dense control of the same budget")):
            means, seeds = _means(results.comparison, arm)
            of_seeds = f"mean of {seeds} seeds" if seeds > 1 else "one seed"
            yield from _of_scores(results, results.comparison.split, means, f"{label}, {of_seeds}")


def _means(comparison: Comparison, arm: str) -> tuple[dict[str, float], int]:
    """An arm's mean scores over the seeds that DSD and its control have both finished, and the number of these."""
    headline = plain_name(comparison.metric)
    paired = next((difference.seeds for difference in comparison.differences if difference.arm == "dsd"), None)
    runs = [run for run in comparison.runs if run.arm == arm and run.status == "finished" and run.value is not None]
    runs = [run for run in runs if paired is None or run.seed in paired]
    if not runs:  # an old result of which only the means were kept
        known = comparison.arms.get(arm)
        return ({headline: known.mean}, known.n) if known is not None else ({}, 0)
    scores = [{**(run.scores or {}), headline: run.value} for run in runs]
    names = [name for name in _METRICS if all(name in one for one in scores)]
    return {name: fmean(one[name] for one in scores) for name in names}, len(runs)


def _of_scores(results: Results, split: str, scores: dict[str, Any], whose: str) -> Iterator[EvalResult]:
    for name in in_order(scores):
        if name in _METRICS:
            yield EvalResult(
                task_type=results.model.task or "other",
                dataset_type=results.dataset.id,
                dataset_name=results.dataset.name,
                dataset_split=split,
                metric_type=_METRICS[name],
                metric_name=f"{score_title(name)} ({whose})",
                metric_value=_rounded(100 * scores[name] if is_rate(name) else scores[name]),
            )


def _rounded(value: float) -> float:
    """Two digits, four of a fraction."""
    return round(value, 2 if abs(value) > 1 else 4)
