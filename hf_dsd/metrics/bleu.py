"""Corpus BLEU-1 to BLEU-4 of captions, comparable with `multi-bleu.perl -lc`, as an `evaluate` metric."""

from collections.abc import Sequence
from typing import Any

import datasets
import evaluate
import sacrebleu

from .bleu_statistics import (
    MAX_ORDER,
    bleu_from_statistics,
    bleu_statistics,
    brevity_penalty,
    check_captions,
    ngram_precisions,
)
from .bootstrap import Statistics, bootstrap_totals, percentile_interval
from .checked_metric import CheckedMetric

_DESCRIPTION = "Corpus BLEU-1..4, lower-cased, split at white space, no smoothing, any number of references per text."
_CITATION = "Papineni et al., BLEU: a Method for Automatic Evaluation of Machine Translation, ACL 2002."


class BLEU(CheckedMetric):
    """Corpus BLEU-1..4 on the 0..100 scale: `BLEU().compute(predictions=[str], references=[[str, ...]])`.

    Text is lower-cased and split at white space, nothing else: normalise both sides the same way before. The numbers
    equal Moses' `multi-bleu.perl -lc` on ASCII text to every digit it prints; any number of references per prediction.

    `compute` takes, besides `predictions` and `references`:
        brevity_penalty: False leaves the penalty out, as the copy of the script that NeuralTalk ships does. Default
            True.
        n_bootstrap: Resamples of the images for a 95 % percentile interval; 0 (default) computes none.
        seed: Seed of the resamples, at least 0. Default 0.

    and returns a dict:
        bleu1, bleu2, bleu3, bleu4: Cumulative geometric means, [0, 100]; 0 from the first order without a match.
        bleu1_ci ... bleu4_ci: [low, high], only if `n_bootstrap` > 0.
        precisions: Precision of each order 1..4 by itself, [0, 100].
        brevity_penalty: The factor applied, [0, 1]; 1 where it is left out.
        hyp_length, ref_length: Words in the predictions and in the closest references (of two equally close: shorter).
        signature: How the number was made, in sacrebleu's style; print it beside the number.

    Wrong shapes raise before anything is stored: TypeError for a string where a list belongs, ValueError for empty
    lists and different lengths.
    """

    check = staticmethod(check_captions)

    def _info(self) -> evaluate.MetricInfo:
        texts = datasets.Value("string")
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=BLEU.__doc__ or "",
            features=datasets.Features({"predictions": texts, "references": datasets.Sequence(texts)}),
        )

    def _compute(
        self,
        predictions: Sequence[str],
        references: Sequence[Sequence[str]],
        brevity_penalty: bool = True,
        n_bootstrap: int = 0,
        seed: int = 0,
    ) -> dict[str, Any]:
        return score_captions(
            predictions, references, with_brevity_penalty=brevity_penalty, n_bootstrap=n_bootstrap, seed=seed
        )


def score_captions(
    predictions: Sequence[str],
    references: Sequence[Sequence[str]],
    *,
    with_brevity_penalty: bool = True,
    n_bootstrap: int = 0,
    seed: int = 0,
) -> dict[str, Any]:
    """What `BLEU.compute` returns, without the cache file that `evaluate` writes.

    Args:
        predictions: One text per image.
        references: All reference texts of each image.
        with_brevity_penalty: False leaves the penalty out (NeuralTalk's variant).
        n_bootstrap: Resamples for a 95 % interval; 0 computes none.
        seed: Seed of the resamples, at least 0.

    Returns:
        The keys listed at `BLEU`.

    Raises:
        TypeError: As `check_captions`.
        ValueError: As `check_captions`, or if `n_bootstrap` or `seed` is negative.
    """
    return score_counts(
        bleu_statistics(predictions, references),
        references,
        with_brevity_penalty=with_brevity_penalty,
        n_bootstrap=n_bootstrap,
        seed=seed,
    )


def score_counts(
    statistics: Statistics,
    references: Sequence[Sequence[str]],
    *,
    with_brevity_penalty: bool = True,
    n_bootstrap: int = 0,
    seed: int = 0,
) -> dict[str, Any]:
    """`score_captions` for who has counted already.

    Args:
        statistics: From `bleu_statistics`.
        references: Those that were counted, for the signature.
        with_brevity_penalty: As `score_captions`.
        n_bootstrap: As `score_captions`.
        seed: As `score_captions`.

    Returns:
        The keys listed at `BLEU`.

    Raises:
        ValueError: If `n_bootstrap` or `seed` is negative.
    """
    if n_bootstrap < 0:
        raise ValueError(f"n_bootstrap must be at least 0, got {n_bootstrap}; 0 computes no interval")
    totals = statistics.sum(axis=0)
    scores = bleu_from_statistics(totals, with_brevity_penalty=with_brevity_penalty)
    result: dict[str, Any] = {f"bleu{order}": float(scores[order - 1]) for order in range(1, MAX_ORDER + 1)}
    if n_bootstrap:
        samples = bleu_from_statistics(
            bootstrap_totals(statistics, n_bootstrap, seed), with_brevity_penalty=with_brevity_penalty
        )
        low, high = percentile_interval(samples)
        for order in range(1, MAX_ORDER + 1):
            result[f"bleu{order}_ci"] = [float(low[order - 1]), float(high[order - 1])]
    result["precisions"] = [100.0 * float(precision) for precision in ngram_precisions(totals)]
    result["brevity_penalty"] = float(brevity_penalty(totals)) if with_brevity_penalty else 1.0
    result["hyp_length"], result["ref_length"] = int(totals[0]), int(totals[1])
    result["signature"] = _signature(references, with_brevity_penalty, n_bootstrap, seed)
    return result


def _signature(references: Sequence[Sequence[str]], with_brevity_penalty: bool, n_bootstrap: int, seed: int) -> str:
    counts = {len(texts) for texts in references}
    fields = {
        "nrefs": str(counts.pop()) if len(counts) == 1 else "var",
        **({"bs": str(n_bootstrap), "seed": str(seed)} if n_bootstrap else {}),
        "case": "lc",
        "eff": "no",
        "tok": "none",
        "smooth": "none",
        "brevity": "yes" if with_brevity_penalty else "no",
        "order": f"1-{MAX_ORDER} cumulative",
        "version": sacrebleu.__version__,
    }
    return "|".join(f"{name}:{value}" for name, value in fields.items())
