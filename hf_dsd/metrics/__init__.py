"""Scores as evaluation hooks: BLEU for captions, WER for speech."""

import typing as _typing

from .bleu import bleu_from_statistics, bleu_statistics, brevity_penalty, ngram_precisions, score_captions
from .bootstrap import bootstrap_totals, percentile_interval
from .caption_metrics import caption_metrics, tokenizer_normalizer
from .ctc_metrics import argmax_logits, ctc_metrics, decode_paths
from .label_error import LABEL_COLUMNS, label_error, label_metrics, label_statistics, ranked_labels, score_labels
from .text_scorer import N_BOOTSTRAP, TextScorer, caption_scorer, label_scorer, transcript_scorer
from .wer import WER_COLUMNS, error_rates, score_transcripts, wer_statistics
from .words import TEXT_NORMALIZERS, normalize_caption, normalize_transcript

if _typing.TYPE_CHECKING:
    from .evaluate_metrics import BLEU, WER

__all__ = [
    "BLEU",
    "LABEL_COLUMNS",
    "N_BOOTSTRAP",
    "TEXT_NORMALIZERS",
    "WER",
    "WER_COLUMNS",
    "TextScorer",
    "argmax_logits",
    "bleu_from_statistics",
    "bleu_statistics",
    "bootstrap_totals",
    "brevity_penalty",
    "caption_metrics",
    "caption_scorer",
    "ctc_metrics",
    "decode_paths",
    "error_rates",
    "label_error",
    "label_metrics",
    "label_scorer",
    "label_statistics",
    "ngram_precisions",
    "normalize_caption",
    "normalize_transcript",
    "percentile_interval",
    "ranked_labels",
    "score_captions",
    "score_labels",
    "score_transcripts",
    "tokenizer_normalizer",
    "transcript_scorer",
    "wer_statistics",
]


def __getattr__(name: str) -> _typing.Any:
    if name not in ("BLEU", "WER"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import evaluate_metrics  # brings `evaluate` and `datasets`, a second to load

    return globals().setdefault(name, getattr(evaluate_metrics, name))


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
