"""The counts BLEU is made of, per sentence: sum them for a score, resample them for an interval or a paired test."""

from collections.abc import Sequence

import numpy as np
from sacrebleu.metrics import BLEU as SacreBLEU

from .bootstrap import Scores, Statistics
from .checked_metric import check_pairs

MAX_ORDER = 4
"""Longest n-gram counted, in words."""

STATISTICS_WIDTH = 2 + 2 * MAX_ORDER
"""Columns of `bleu_statistics`: lengths of hypothesis and reference, matches of order 1..4, n-grams of order 1..4."""


def check_captions(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> None:
    """`check_pairs` of images, each with a list of at least one reference text."""
    check_pairs(predictions, references, "image", "pass references as [[reference, ...] of image 0, ...]")
    for row, texts in enumerate(references):
        _check_references(row, texts)


def _check_references(row: int, texts: Sequence[str]) -> None:
    if isinstance(texts, (str, bytes)) or not hasattr(texts, "__len__"):
        raise TypeError(
            f"references[{row}] must be a list of str, got {texts!r:.80}; wrap a single reference in a list"
        )
    if len(texts) == 0:
        raise ValueError(f"references[{row}] must hold at least one reference, got []; drop that image or add its text")
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(f"references[{row}][{index}] must be a str, got {text!r:.80}; remove it or convert it")


def bleu_statistics(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> Statistics:
    """Counts clipped n-gram matches per sentence, lower-cased and split at white space.

    The counts of a corpus are the column sums, so a resample or a swap between two systems costs an addition. The
    reference length is the closest one, the shorter of two equally close: Moses' rule since 2010, and sacrebleu's.

    Args:
        predictions: One text per image.
        references: All reference texts of each image; images may have different numbers of them.

    Returns:
        (images, 10) int64: hypothesis length, reference length (words), matches of order 1..4, n-grams of order 1..4.

    Raises:
        TypeError: As `check_captions`.
        ValueError: As `check_captions`.

    References:
        Papineni et al., `BLEU: a Method for Automatic Evaluation of Machine Translation
        <https://aclanthology.org/P02-1040>`_, 2002, section 2.
    """
    check_captions(predictions, references)
    # effective_order only silences a warning about sentence scores; the counts do not depend on it.
    counter = SacreBLEU(
        lowercase=True,
        force=True,
        tokenize="none",
        smooth_method="none",
        max_ngram_order=MAX_ORDER,
        effective_order=True,
    )
    statistics = np.empty((len(predictions), STATISTICS_WIDTH), dtype=np.int64)
    for row, (prediction, texts) in enumerate(zip(predictions, references, strict=True)):
        score = counter.sentence_score(prediction, list(texts))
        statistics[row] = [score.sys_len, score.ref_len, *score.counts, *score.totals]
    return statistics


def brevity_penalty(totals: Statistics) -> Scores:
    """The factor for text shorter than its references, corpus level.

    Args:
        totals: (..., 10) summed statistics.

    Returns:
        (...) in [0, 1]: exp(1 - reference length / hypothesis length) where the text is shorter, else 1; 0 where the
        text or all references are empty, where `multi-bleu.perl` divides by zero or prints 0.
    """
    lengths = np.asarray(totals)[..., :2].astype(np.float64)
    hypothesis, reference = lengths[..., 0], lengths[..., 1]
    penalty = np.exp(np.minimum(0.0, 1.0 - reference / np.maximum(hypothesis, 1.0)))
    return np.where((hypothesis == 0) | (reference == 0), 0.0, penalty)


def ngram_precisions(totals: Statistics) -> Scores:
    """Share of the n-grams that occur in a reference, per order (not cumulative).

    Args:
        totals: (..., 10) summed statistics.

    Returns:
        (..., 4) in [0, 1]; 0 where there are no n-grams of that order.
    """
    counts = np.asarray(totals).astype(np.float64)
    matches, ngrams = counts[..., 2 : 2 + MAX_ORDER], counts[..., 2 + MAX_ORDER :]
    return matches / np.maximum(ngrams, 1.0)


def bleu_from_statistics(totals: Statistics, *, with_brevity_penalty: bool = True) -> Scores:
    """BLEU-1 to BLEU-4: cumulative geometric means of the precisions, without smoothing.

    Args:
        totals: (..., 10) summed statistics; leading dimensions are resamples or systems.
        with_brevity_penalty: False leaves the factor out, as NeuralTalk's copy of `multi-bleu.perl` does.

    Returns:
        (..., 4) in [0, 100]. An order without a match makes its own score and all longer ones 0.

    References:
        Papineni et al., `BLEU <https://aclanthology.org/P02-1040>`_, 2002, section 2.3.
    """
    precisions = ngram_precisions(totals)
    with np.errstate(divide="ignore"):  # log 0 = -inf, and exp(-inf) = 0 is the unsmoothed score
        log_means = np.cumsum(np.log(precisions), axis=-1) / np.arange(1, MAX_ORDER + 1)
    scores = 100.0 * np.exp(log_means)
    if with_brevity_penalty:
        scores = scores * brevity_penalty(totals)[..., None]
    return np.asarray(scores)
