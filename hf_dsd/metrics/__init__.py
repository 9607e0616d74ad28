"""Scores as evaluation hooks: BLEU for captions."""

from .bleu import BLEU, score_captions
from .bleu_statistics import (
    bleu_from_statistics,
    bleu_statistics,
    bootstrap_totals,
    brevity_penalty,
    ngram_precisions,
    percentile_interval,
)
from .caption_metrics import caption_metrics, normalize_caption, tokenizer_normalizer

__all__ = [
    "BLEU",
    "bleu_from_statistics",
    "bleu_statistics",
    "bootstrap_totals",
    "brevity_penalty",
    "caption_metrics",
    "ngram_precisions",
    "normalize_caption",
    "percentile_interval",
    "score_captions",
    "tokenizer_normalizer",
]
