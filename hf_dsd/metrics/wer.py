"""Word and character error rate of transcripts, as an `evaluate` metric."""

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import datasets
import evaluate

from .bootstrap import bootstrap_totals, percentile_interval
from .checked_metric import CheckedMetric
from .wer_statistics import WER_COLUMNS, check_transcripts, error_rates, wer_statistics

_DESCRIPTION = "Word and character error rate, lower-cased, without punctuation but apostrophes, words split at spaces."
_CITATION = "Morris, Maier and Green, From WER and RIL to MER and WIL, Interspeech 2004."


class WER(CheckedMetric):
    """Word error rate as a fraction: `WER().compute(predictions=[str], references=[str])`.

    Both sides go through `normalize_transcript`: case, punctuation (but apostrophes) and white space never count. Rates
    are those of the whole set, errors over reference words, not the mean over utterances.

    `compute` takes, besides `predictions` and `references`:
        n_bootstrap: Resamples of the utterances for a 95 % percentile interval; 0 (default) computes none.
        seed: Seed of the resamples, at least 0. Default 0.
        decoding: How the predictions were made, for the signature, for example "greedy". Default: not stated.
        skipped: Utterances of the set that were left out, for the signature. Default 0.

    and returns a dict:
        wer, cer: Word and character error rate, at least 0; above 1 where more is inserted than spoken. Spaces between
            words are characters.
        wer_ci, cer_ci: [low, high], only if `n_bootstrap` > 0.
        substitutions, insertions, deletions: Word errors of the alignment with the fewest.
        words: Words of the references.
        signature: How the number was made, in sacrebleu's style; print it beside the number.

    An empty prediction counts its reference's words as deletions, an empty reference its prediction's words as
    insertions. If all references are empty, `wer` is the number of insertions (0 if all predictions are empty too),
    as jiwer's; `words` is then 0.

    Wrong shapes raise before anything is stored: TypeError for a string where a list belongs and for entries that are
    not strings, ValueError for empty lists and different lengths.
    """

    check = staticmethod(check_transcripts)

    def _info(self) -> evaluate.MetricInfo:
        texts = datasets.Value("string")
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=WER.__doc__ or "",
            features=datasets.Features({"predictions": texts, "references": texts}),
        )

    def _compute(
        self,
        predictions: Sequence[str],
        references: Sequence[str],
        n_bootstrap: int = 0,
        seed: int = 0,
        decoding: str | None = None,
        skipped: int = 0,
    ) -> dict[str, Any]:
        return score_transcripts(
            predictions, references, n_bootstrap=n_bootstrap, seed=seed, decoding=decoding, skipped=skipped
        )


def score_transcripts(
    predictions: Sequence[str],
    references: Sequence[str],
    *,
    n_bootstrap: int = 0,
    seed: int = 0,
    decoding: str | None = None,
    skipped: int = 0,
) -> dict[str, Any]:
    """What `WER.compute` returns, without the cache file that `evaluate` writes.

    Args:
        predictions: One text per utterance.
        references: One text per utterance.
        n_bootstrap: Resamples for a 95 % interval; 0 computes none.
        seed: Seed of the resamples, at least 0.
        decoding: How the predictions were made, for the signature; None leaves it out.
        skipped: Utterances of the set that were left out because they could not be used, for the signature.

    Returns:
        The keys listed at `WER`.

    Raises:
        TypeError: As `check_transcripts`.
        ValueError: As `check_transcripts`, or if `n_bootstrap` or `seed` is negative.
    """
    if n_bootstrap < 0:
        raise ValueError(f"n_bootstrap must be at least 0, got {n_bootstrap}; 0 computes no interval")
    statistics = wer_statistics(predictions, references)
    totals = statistics.sum(axis=0)
    wer, cer = error_rates(totals)
    result: dict[str, Any] = {"wer": float(wer), "cer": float(cer)}
    if n_bootstrap:
        low, high = percentile_interval(error_rates(bootstrap_totals(statistics, n_bootstrap, seed)))
        result["wer_ci"], result["cer_ci"] = [float(low[0]), float(high[0])], [float(low[1]), float(high[1])]
    result.update({name: int(total) for name, total in zip(WER_COLUMNS[:4], totals[:4], strict=True)})
    result["signature"] = _signature(n_bootstrap, seed, decoding, skipped)
    return result


def _signature(n_bootstrap: int, seed: int, decoding: str | None, skipped: int) -> str:
    fields = {
        "nrefs": "1",
        **({"skipped": str(skipped)} if skipped else {}),
        **({"bs": str(n_bootstrap), "seed": str(seed)} if n_bootstrap else {}),
        **({"decoding": decoding} if decoding else {}),
        "case": "lc",
        "punct": "apostrophes only",
        "unicode": "NFC",
        "tok": "spaces",
        "cer": "with spaces",
        "version": f"rapidfuzz {version('rapidfuzz')}",
    }
    return "|".join(f"{name}:{value}" for name, value in fields.items())
