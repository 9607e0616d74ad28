"""Word and character error rate of transcripts.

The counts of a test set are the sums of its utterances' counts, so a resample or a swap between two systems costs an
addition.
"""

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
from rapidfuzz.distance import Levenshtein

from .bootstrap import Scores, Statistics, bootstrap_totals, cluster_sums, percentile_interval
from .conventions import check_pairs, signature
from .words import normalize_transcript

WER_COLUMNS = ("substitutions", "insertions", "deletions", "words", "character_errors", "characters")
"""Columns of `wer_statistics`; `words` and `characters` are the references', spaces between words included."""

_EDITS = ("replace", "insert", "delete")  # in the order of the first columns


def check_transcripts(predictions: Sequence[str], references: Sequence[str]) -> None:
    """`check_pairs` of utterances, one reference each; either may be an empty text."""
    check_pairs(predictions, references, "utterance", "an utterance without words is an empty str")
    for row, text in enumerate(references):
        if not isinstance(text, str):
            raise TypeError(f"references[{row}] must be a str, got {text!r:.80}; give one reference each")


def score_transcripts(
    predictions: Sequence[str],
    references: Sequence[str],
    *,
    n_bootstrap: int = 0,
    seed: int = 0,
    decoding: str | None = None,
    skipped: int = 0,
    speakers: Sequence[str] | None = None,
) -> dict[str, Any]:
    """What `WER.compute` takes, returns and raises, without the cache file that `evaluate` writes."""
    if n_bootstrap < 0:
        raise ValueError(f"n_bootstrap must be at least 0, got {n_bootstrap}; 0 computes no interval")
    statistics = wer_statistics(predictions, references)
    totals = statistics.sum(axis=0)
    wer, cer = error_rates(totals)
    result: dict[str, Any] = {"wer": float(wer), "cer": float(cer)}
    drawn = speakers if n_bootstrap and speakers is not None and len(set(speakers)) > 1 else None
    if n_bootstrap:
        statistics = cluster_sums(statistics, drawn) if drawn is not None else statistics
        interval = percentile_interval(error_rates(bootstrap_totals(statistics, n_bootstrap, seed)))
        result["wer_ci"], result["cer_ci"] = interval.T.tolist()
    result |= {name: int(total) for name, total in zip(WER_COLUMNS[:4], totals[:4], strict=True)}
    result["signature"] = signature(
        nrefs=1,
        skipped=skipped or None,
        bs=n_bootstrap or None,
        seed=seed if n_bootstrap else None,
        drawn="speakers" if drawn is not None else None,
        decoding=decoding or None,
        case="lc",
        punct="apostrophes only",
        unicode="NFC",
        tok="spaces",
        cer="with spaces",
        version=f"rapidfuzz {version('rapidfuzz')}",
    )
    return result


def wer_statistics(predictions: Sequence[str], references: Sequence[str]) -> Statistics:
    """Counts word and character errors per utterance after `normalize_transcript` on both sides.

    The alignment has the fewest errors possible; where several have, which of substitution, insertion and deletion they
    are is rapidfuzz's choice, and so jiwer's.

    Args:
        predictions: One raw text per utterance.
        references: One raw text per utterance.

    Returns:
        (utterances, 6) int64, the columns `WER_COLUMNS`. An empty reference has one insertion per predicted word, an
        empty prediction one deletion per reference word.

    Raises:
        TypeError: If a text is no str, or a string stands where a list belongs.
        ValueError: If a list is empty, or the two differ in length.
    """
    check_transcripts(predictions, references)
    statistics = np.zeros((len(references), len(WER_COLUMNS)), dtype=np.int64)
    for counts, prediction, reference in zip(statistics, predictions, references, strict=True):
        hypothesis, target = normalize_transcript(prediction), normalize_transcript(reference)
        words = target.split()
        counts[3], counts[5] = len(words), len(target)
        if hypothesis != target:
            edits = [tag for tag, _, _ in Levenshtein.editops(words, hypothesis.split()).as_list()]
            counts[:3] = [edits.count(tag) for tag in _EDITS]
            counts[4] = Levenshtein.distance(target, hypothesis)
    return statistics


def error_rates(totals: Statistics) -> Scores:
    """Word and character error rate, (..., 2), of (..., 6) sums of `wer_statistics`.

    Fractions, at least 0; above 1 where more is inserted than spoken. Where all references are empty the rate would be
    a division by zero: it is then the number of inserted words or characters, as jiwer's, and so always finite.
    """
    counts = np.asarray(totals).astype(np.float64)
    word_errors, words = counts[..., :3].sum(axis=-1), counts[..., 3]
    rates = [word_errors / np.maximum(words, 1.0), counts[..., 4] / np.maximum(counts[..., 5], 1.0)]
    return np.stack(rates, axis=-1)
