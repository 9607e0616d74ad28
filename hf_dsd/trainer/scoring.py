"""Scores the model of every finished phase on a split, through the trainer that has the data."""

from collections.abc import Sequence
from typing import Any

from torch.utils.data import Dataset
from transformers import EvalPrediction

from hf_dsd.metrics.text_scorer import TextScorer
from hf_dsd.runs.run import finished_models
from hf_dsd.runs.scores import PhaseScores, ScoredExample

from .trainer import DSDMixin


def score_phases(
    trainer: DSDMixin,
    dataset: Dataset[Any],
    scorer: TextScorer,
    split: str = "test",
    phases: Sequence[str] | None = None,
) -> list[PhaseScores]:
    """Scores the model of every finished phase on a split and writes the files; leaves the last phase's model loaded.

    Nothing may be chosen by test scores: call this once, after training. The trainer's `compute_metrics` is not used:
    it knows its own split's references. A sequence-to-sequence trainer generates here, whether or not its evaluations
    in training do (`predict_with_generate`).

    Args:
        trainer: Of the run.
        dataset: The evaluation rows, in the order of `scorer.ids`.
        scorer: Turns predictions into texts and scores; what has the attributes and methods of a `TextScorer` will do.
        split: What the files call the dataset.
        phases: Names of the phases to score; None scores all that are finished, and averages of the last one.

    Returns:
        One entry per phase, in order.
    """
    names = finished_models(trainer.run_folder) if phases is None else phases
    args: Any = trainer.args
    own_metrics, generates = trainer.compute_metrics, getattr(args, "predict_with_generate", None)
    results = []
    try:
        if generates is not None:
            args.predict_with_generate = True
        for phase in names:
            trainer.load_phase(phase)
            result = _score_model(trainer, dataset, scorer, split, phase)
            if trainer.is_world_process_zero():
                result.write(trainer.run_folder, trainer.summary.run)
            results.append(result)
    finally:
        trainer.compute_metrics = own_metrics
        if generates is not None:
            args.predict_with_generate = generates
    return results


def _score_model(trainer: DSDMixin, dataset: Dataset[Any], scorer: TextScorer, split: str, phase: str) -> PhaseScores:
    """Scores the model that the trainer holds; its summary records the numbers, too."""
    texts: list[str] = []
    scores: dict[str, Any] = {}

    def compute_metrics(evaluation: EvalPrediction) -> dict[str, float]:
        texts[:] = scorer.decode(evaluation.predictions)
        scores.update(scorer.score(texts))
        if (more := getattr(scorer, "score_predictions", None)) is not None:
            scores.update(more(evaluation.predictions))
        return {name: value for name, value in scores.items() if isinstance(value, int | float)}

    trainer.compute_metrics = compute_metrics
    prefix = f"{split}_{phase}"
    metrics = trainer.predict(dataset, metric_key_prefix=prefix).metrics
    clusters = getattr(scorer, "clusters", None) or [None] * len(texts)
    rows = zip(scorer.ids, texts, scorer.references, clusters, strict=True)
    return PhaseScores(
        phase,
        split,
        scorer.metric,
        scorer.greater_is_better,
        scores,
        float(metrics[f"{prefix}_loss"]),
        [ScoredExample(*row) for row in rows],
    )
