"""BLEU and WER as metrics of the `evaluate` library, which takes a second to load: the only file that needs it."""

from collections.abc import Callable, Sequence
from typing import Any

import datasets
import evaluate

from .bleu import check_captions, score_captions
from .wer import check_transcripts, score_transcripts


class CheckedMetric(evaluate.Metric):
    """A metric whose inputs go through `check` first: Arrow would turn wrong shapes into its own errors, or letters."""

    check: Callable[[Sequence[Any], Sequence[Any]], None]

    def add(self, *, prediction: Any = None, reference: Any = None, **kwargs: Any) -> None:
        """Stores one prediction with its reference until `compute()`; raises what `check_pairs` raises."""
        type(self).check([prediction], [reference])
        super().add(prediction=prediction, reference=reference, **kwargs)

    def add_batch(self, *, predictions: Any = None, references: Any = None, **kwargs: Any) -> None:
        """Stores a batch until `compute()`, whose own texts pass through here too; raises what `check_pairs` raises."""
        type(self).check(predictions, references)
        super().add_batch(predictions=list(predictions), references=list(references), **kwargs)


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
    lists, different lengths, and a negative `n_bootstrap` or `seed`.
    """

    check = staticmethod(check_captions)

    def _info(self) -> evaluate.MetricInfo:
        return _metric_info(
            BLEU,
            "Corpus BLEU-1..4, lower-cased, split at white space, no smoothing, any number of references per text.",
            "Papineni et al., BLEU: a Method for Automatic Evaluation of Machine Translation, ACL 2002.",
            datasets.Sequence(datasets.Value("string")),
        )

    def _compute(
        self,
        predictions: Sequence[str],
        references: Sequence[Sequence[str]],
        brevity_penalty: bool = True,
        **options: int,
    ) -> dict[str, Any]:
        return score_captions(predictions, references, with_brevity_penalty=brevity_penalty, **options)


class WER(CheckedMetric):
    """Word error rate as a fraction: `WER().compute(predictions=[str], references=[str])`.

    Both sides go through `normalize_transcript`: case, punctuation (but apostrophes) and white space never count. Rates
    are those of the whole set, errors over reference words, not the mean over utterances.

    `compute` takes, besides `predictions` and `references`:
        n_bootstrap: Resamples of the utterances for a 95 % percentile interval; 0 (default) computes none.
        seed: Seed of the resamples, at least 0. Default 0.
        decoding: How the predictions were made, for the signature, for example "greedy". Default: not stated.
        skipped: Utterances of the set that could not be used and were left out, for the signature. Default 0.
        speakers: Who speaks each utterance: whole speakers are drawn then, where there are two or more, and the
            signature says so. Default: utterances are drawn.

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
    not strings, ValueError for empty lists, different lengths, and a negative `n_bootstrap` or `seed`.
    """

    check = staticmethod(check_transcripts)

    def _info(self) -> evaluate.MetricInfo:
        return _metric_info(
            WER,
            "Word and character error rate, lower-cased, without punctuation but apostrophes, words split at spaces.",
            "Morris, Maier and Green, From WER and RIL to MER and WIL, Interspeech 2004.",
            datasets.Value("string"),
        )

    def _compute(self, predictions: Sequence[str], references: Sequence[str], **options: Any) -> dict[str, Any]:
        return score_transcripts(predictions, references, **options)


def _metric_info(metric: type, description: str, citation: str, references: Any) -> evaluate.MetricInfo:
    """What `evaluate` shows of a metric of texts, and stores them as; its class's docstring says how to use it."""
    return evaluate.MetricInfo(
        description=description,
        citation=citation,
        inputs_description=metric.__doc__ or "",
        features=datasets.Features({"predictions": datasets.Value("string"), "references": references}),
    )
