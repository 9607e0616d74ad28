"""BLEU while a captioner trains: a `compute_metrics` for Trainers that generate at evaluation."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .bleu import bleu_from_statistics, brevity_penalty, corpus_counter
from .words import normalize_caption

if TYPE_CHECKING:
    from transformers import EvalPrediction, PreTrainedTokenizerBase

logger = logging.getLogger(__name__)


def tokenizer_normalizer(tokenizer: PreTrainedTokenizerBase) -> Callable[[str], str]:
    """The text normalisation that a tokenizer trains and predicts with, from raw text to words separated by one space.

    Scores mean something only if the references went through what the training captions went through, so a tokenizer's
    own backend normaliser wins; `normalize_caption` stands in for a tokenizer, fast or slow, that has none.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    normalizer = getattr(backend, "normalizer", None)
    if normalizer is None:
        return normalize_caption
    return lambda text: " ".join(str(normalizer.normalize_str(text)).split())


def caption_metrics(
    tokenizer: PreTrainedTokenizerBase, references: Sequence[Sequence[str]]
) -> Callable[[EvalPrediction], dict[str, float]]:
    """Builds the `compute_metrics` that scores generated captions against all references of each image.

    For a `Seq2SeqTrainer` with `predict_with_generate=True`. Both sides go through `tokenizer_normalizer`; references
    that it leaves empty are dropped, and counted in one log line.

    Args:
        tokenizer: Decodes the generated ids, special tokens left out. Its pad id replaces the Trainer's padding, -100.
        references: All raw captions of each image, in the order of the evaluation rows; a ValueError if an image has
            none left, a TypeError for anything but lists of lists of str.

    Returns:
        A function that takes an `EvalPrediction` whose `predictions` are (images, time) token ids, as many as
        references, and returns floats only, as the Trainer's logs need: `bleu1`..`bleu4` in [0, 100], `brevity_penalty`
        in [0, 1] and `caption_length`, the mean length of the predictions in words.
    """
    normalized = normalize_references(tokenizer, references)
    count = corpus_counter(normalized)

    def compute_metrics(evaluation: EvalPrediction) -> dict[str, float]:
        texts = decode_captions(tokenizer, evaluation.predictions)
        if len(texts) != len(normalized):
            raise ValueError(
                f"predictions must have one row per image with references, got {len(texts)} predictions and "
                f"{len(normalized)} reference lists; build caption_metrics with the references of this split"
            )
        totals = count(texts)
        scores = {f"bleu{order}": float(score) for order, score in enumerate(bleu_from_statistics(totals), 1)}
        return scores | {
            "brevity_penalty": float(brevity_penalty(totals)),
            "caption_length": int(totals[0]) / len(texts),
        }

    return compute_metrics


def normalize_references(tokenizer: PreTrainedTokenizerBase, references: Sequence[Sequence[str]]) -> list[list[str]]:
    """All raw captions of each image as they are scored, in training and afterwards; those without a word are left out.

    Raises:
        TypeError: If `references` is not a list of lists of str.
        ValueError: If an image has no reference left.
    """
    normalize = tokenizer_normalizer(tokenizer)
    kept = [_normalize_image(row, texts, normalize) for row, texts in enumerate(references)]
    dropped = sum(map(len, references)) - sum(map(len, kept))
    if dropped:
        logger.warning("left out %d reference caption(s) without a word after normalisation", dropped)
    return kept


def _normalize_image(row: int, texts: Sequence[str], normalize: Callable[[str], str]) -> list[str]:
    if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
        raise TypeError(f"references[{row}] must be a list of str, got {texts!r:.80}; wrap a single caption in a list")
    kept = [text for text in map(normalize, texts) if text]
    if not kept:
        raise ValueError(
            f"references[{row}] must hold a caption with at least one word after normalisation, got "
            f"{list(texts)!r:.80}; remove the image from the evaluation split"
        )
    return kept


def decode_captions(tokenizer: PreTrainedTokenizerBase, predictions: Any) -> list[str]:
    """Generated captions as they are scored, in training and afterwards: one normalised text per image.

    Args:
        tokenizer: Decodes the ids and normalises the texts.
        predictions: (images, time) token ids padded with -100, or a tuple that begins with them.

    Raises:
        ValueError: If the predictions are not token ids, or the tokenizer has no pad token.
    """
    ids = np.asarray(predictions[0] if isinstance(predictions, tuple) else predictions)
    if ids.ndim != 2 or not np.issubdtype(ids.dtype, np.integer):
        raise ValueError(
            f"predictions must be (images, time) integer token ids, got shape {ids.shape} of {ids.dtype}; "
            "set predict_with_generate=True"
        )
    if tokenizer.pad_token_id is None:
        raise ValueError("tokenizer.pad_token must be set to decode padded captions, got None; set it to the end token")
    ids = np.where(ids < 0, tokenizer.pad_token_id, ids)
    return list(map(tokenizer_normalizer(tokenizer), tokenizer.batch_decode(ids, skip_special_tokens=True)))
