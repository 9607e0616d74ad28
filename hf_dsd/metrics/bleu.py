"""Corpus BLEU-1 to BLEU-4 of captions, comparable with `multi-bleu.perl -lc`.

The counts of a corpus are the sums of its sentences' counts, so a resample or a swap between two systems costs an
addition.

References:
    Papineni et al., `BLEU: a Method for Automatic Evaluation of Machine Translation
    <https://aclanthology.org/P02-1040>`_, 2002, section 2.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import sacrebleu

from .bootstrap import Scores, Statistics, bootstrap_totals, percentile_interval
from .conventions import check_pairs, signature

MAX_ORDER = 4
"""Longest n-gram counted, in words."""


def check_captions(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> None:
    """`check_pairs` of images, each with a list of at least one reference text."""
    check_pairs(predictions, references, "image", "pass references as [[reference, ...] of image 0, ...]")
    for row, texts in enumerate(references):
        if isinstance(texts, (str, bytes)) or not hasattr(texts, "__len__"):
            raise TypeError(
                f"references[{row}] must be a list of str, got {texts!r:.80}; wrap a single reference in a list"
            )
        if len(texts) == 0:
            raise ValueError(
                f"references[{row}] must hold at least one reference, got []; drop that image or add its text"
            )
        for index, text in enumerate(texts):
            if not isinstance(text, str):
                raise TypeError(f"references[{row}][{index}] must be a str, got {text!r:.80}; remove it or convert it")


def score_captions(
    predictions: Sequence[str],
    references: Sequence[Sequence[str]],
    *,
    with_brevity_penalty: bool = True,
    n_bootstrap: int = 0,
    seed: int = 0,
) -> dict[str, Any]:
    """What `BLEU.compute` takes, returns and raises, without the cache file that `evaluate` writes."""
    if n_bootstrap < 0:
        raise ValueError(f"n_bootstrap must be at least 0, got {n_bootstrap}; 0 computes no interval")
    statistics = bleu_statistics(predictions, references)
    totals = statistics.sum(axis=0)
    scores = bleu_from_statistics(totals, with_brevity_penalty=with_brevity_penalty)
    result: dict[str, Any] = {f"bleu{order}": float(score) for order, score in enumerate(scores, 1)}
    if n_bootstrap:
        resamples = bootstrap_totals(statistics, n_bootstrap, seed)
        interval = percentile_interval(bleu_from_statistics(resamples, with_brevity_penalty=with_brevity_penalty))
        result |= {f"bleu{order}_ci": [float(low), float(high)] for order, (low, high) in enumerate(interval.T, 1)}
    result["precisions"] = [100.0 * float(precision) for precision in ngram_precisions(totals)]
    result["brevity_penalty"] = float(brevity_penalty(totals)) if with_brevity_penalty else 1.0
    result["hyp_length"], result["ref_length"] = int(totals[0]), int(totals[1])
    counts = {len(texts) for texts in references}
    result["signature"] = signature(
        nrefs=counts.pop() if len(counts) == 1 else "var",
        bs=n_bootstrap or None,
        seed=seed if n_bootstrap else None,
        case="lc",
        eff="no",
        tok="none",
        smooth="none",
        brevity="yes" if with_brevity_penalty else "no",
        order=f"1-{MAX_ORDER} cumulative",
        version=sacrebleu.__version__,
    )
    return result


def bleu_statistics(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> Statistics:
    """Counts clipped n-gram matches per sentence, lower-cased and split at white space.

    The reference length is the closest one, the shorter of two equally close: Moses' rule since 2010, and sacrebleu's.

    Args:
        predictions: One text per image.
        references: All reference texts of each image; images may have different numbers of them.

    Returns:
        (images, 10) int64: hypothesis length, reference length (words), matches of order 1..4, n-grams of order 1..4.

    Raises:
        TypeError: If a text is no str, or a string stands where a list belongs; like ValueError, as `check_captions`.
        ValueError: If a list is empty, or the two differ in length.
    """
    check_captions(predictions, references)
    counter = _counter()
    scores = [counter.sentence_score(text, list(of)) for text, of in zip(predictions, references, strict=True)]
    return np.array([_counts(score) for score in scores], dtype=np.int64)


def corpus_counter(references: Sequence[Sequence[str]]) -> Callable[[Sequence[str]], Statistics]:
    """From predictions to the (10,) sums of `bleu_statistics`; the references' n-grams are counted once, at first use.

    For scores that are wanted again and again, each time a captioner is evaluated.
    """

    @cache
    def counter() -> sacrebleu.BLEU:
        longest = max(map(len, references))
        # One text of each image; sacrebleu passes over those that are None.
        streams = [[texts[n] if n < len(texts) else None for texts in references] for n in range(longest)]
        return _counter(references=streams)

    def count(predictions: Sequence[str]) -> Statistics:
        check_captions(predictions, references)
        return np.array(_counts(counter().corpus_score(predictions, None)), dtype=np.int64)

    return count


def _counter(**options: Any) -> sacrebleu.BLEU:
    # effective_order only silences a warning about sentence scores; the counts do not depend on it.
    return sacrebleu.BLEU(
        lowercase=True,
        force=True,
        tokenize="none",
        smooth_method="none",
        max_ngram_order=MAX_ORDER,
        effective_order=True,
        **options,
    )


def _counts(score: sacrebleu.metrics.bleu.BLEUScore) -> list[int]:
    return [score.sys_len, score.ref_len, *score.counts, *score.totals]


def brevity_penalty(totals: Statistics) -> Scores:
    """The factor for text shorter than its references, of (..., 10) summed statistics.

    Returns:
        (...) in [0, 1]: exp(1 - reference length / hypothesis length) where the text is shorter, else 1; 0 where the
        text or all references are empty, where `multi-bleu.perl` divides by zero or prints 0.
    """
    lengths = np.asarray(totals)[..., :2].astype(np.float64)
    hypothesis, reference = lengths[..., 0], lengths[..., 1]
    penalty = np.exp(np.minimum(0.0, 1.0 - reference / np.maximum(hypothesis, 1.0)))
    return np.where((hypothesis == 0) | (reference == 0), 0.0, penalty)


def ngram_precisions(totals: Statistics) -> Scores:
    """Share of the n-grams that occur in a reference, per order and not cumulative.

    From (..., 10) summed statistics to (..., 4) in [0, 1]; 0 where there are no n-grams of that order.
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
    """
    precisions = ngram_precisions(totals)
    with np.errstate(divide="ignore"):  # log 0 = -inf, and exp(-inf) = 0 is the unsmoothed score
        log_means = np.cumsum(np.log(precisions), axis=-1) / np.arange(1, MAX_ORDER + 1)
    scores = 100.0 * np.exp(log_means)
    if with_brevity_penalty:
        scores = scores * brevity_penalty(totals)[..., None]
    return np.asarray(scores)
