"""Scores as evaluation hooks: BLEU for captions, WER for speech."""

from .bleu import BLEU, score_captions
from .bleu_statistics import bleu_from_statistics, bleu_statistics, brevity_penalty, ngram_precisions
from .bootstrap import bootstrap_totals, percentile_interval
from .caption_metrics import caption_metrics, normalize_caption, tokenizer_normalizer
from .ctc_metrics import argmax_logits, ctc_metrics
from .wer import WER, score_transcripts
from .wer_statistics import WER_COLUMNS, error_rates, normalize_transcript, wer_statistics

__all__ = [
    "BLEU",
    "WER",
    "WER_COLUMNS",
    "argmax_logits",
    "bleu_from_statistics",
    "bleu_statistics",
    "bootstrap_totals",
    "brevity_penalty",
    "caption_metrics",
    "ctc_metrics",
    "error_rates",
    "ngram_precisions",
    "normalize_caption",
    "normalize_transcript",
    "percentile_interval",
    "score_captions",
    "score_transcripts",
    "tokenizer_normalizer",
    "wer_statistics",
]
