"""Scores of a whole split, example by example: what a published number and a paired test are made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from .bleu import score_captions
from .bootstrap import score_with_interval
from .caption_metrics import decode_captions, normalize_references
from .ctc_metrics import decode_paths
from .f1 import score_f1
from .label_error import check_labels, error_counts, label_error, ranked_errors, score_labels
from .wer import check_transcripts, score_transcripts
from .words import normalize_transcript

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

N_BOOTSTRAP = 1000
"""Resamples behind every published 95 % interval."""


@dataclass(frozen=True)
class TextScorer:
    """How the predictions of one split become texts and scores; a ValueError if there is not one id per example.

    Attributes:
        metric: The headline score, a key of the scores: "bleu4", "wer" or "error".
        greater_is_better: Its direction.
        ids: Name of each example, in the order of the evaluation rows.
        references: Normalised reference texts of each example.
        decode: From a Trainer's predictions to one normalised text per example.
        score: From the texts to the scores, with interval and signature; see `score_captions`, `score_transcripts`.
        clusters: What each example has in common with others, such as its speaker; None where nobody knows.
        score_predictions: From a Trainer's predictions to more scores, which the texts do not tell; None for none.

    Raises:
        ValueError: If there is not one id, or one cluster, per example.
    """

    metric: str
    greater_is_better: bool
    ids: Sequence[str]
    references: Sequence[Sequence[str]]
    decode: Callable[[Any], list[str]]
    score: Callable[[Sequence[str]], Mapping[str, Any]]
    clusters: Sequence[str] | None = None
    score_predictions: Callable[[Any], Mapping[str, Any]] | None = None

    def __post_init__(self) -> None:
        for name, values in (("ids", self.ids), ("clusters", self.clusters)):
            if values is not None and len(values) != len(self.references):
                raise ValueError(
                    f"{name} and references must be one per example, got {len(values)} and {len(self.references)}; "
                    "give those of one split"
                )


def caption_scorer(
    tokenizer: PreTrainedTokenizerBase, ids: Sequence[str], references: Sequence[Sequence[str]]
) -> TextScorer:
    """Scores generated captions by BLEU.

    The scores are those of `BLEU` with a 95 % interval; `bleu4_without_penalty` beside them leaves the brevity penalty
    out, as the copy of `multi-bleu.perl` that NeuralTalk ships does.

    Args:
        tokenizer: Decodes the generated ids.
        ids: Name of each image.
        references: Raw captions of each image; those without a word are dropped, as `caption_metrics` does, and what it
            refuses is refused.
    """
    normalized = normalize_references(tokenizer, references)

    def score(texts: Sequence[str]) -> Mapping[str, Any]:
        scores = score_captions(texts, normalized, n_bootstrap=N_BOOTSTRAP)
        penalty = scores["brevity_penalty"]  # a factor: counting again would give the same
        return {**scores, "bleu4_without_penalty": scores["bleu4"] / penalty if penalty else 0.0}

    return TextScorer("bleu4", True, ids, normalized, partial(decode_captions, tokenizer), score)


def transcript_scorer(
    tokenizer: PreTrainedTokenizerBase,
    ids: Sequence[str],
    references: Sequence[str],
    *,
    skipped: int = 0,
    speakers: Sequence[str] | None = None,
) -> TextScorer:
    """Scores greedy transcripts by WER, with a 95 % interval.

    Args:
        tokenizer: A CTC tokenizer; its pad token is the blank.
        ids: Name of each utterance.
        references: Raw transcript of each utterance, at least one; a TypeError if one is no str.
        skipped: Utterances of the split that were left out because they could not be used; the signature says so.
        speakers: Who speaks each utterance, where all are known: an interval of two or more then draws speakers.
    """
    check_transcripts(references, references)

    def decode(predictions: Any) -> list[str]:
        return [normalize_transcript(text) for text in decode_paths(tokenizer, predictions)]

    def score(texts: Sequence[str]) -> Mapping[str, Any]:
        options: dict[str, Any] = {"decoding": "greedy", "skipped": skipped, "speakers": speakers}
        return score_transcripts(texts, list(references), n_bootstrap=N_BOOTSTRAP, **options)

    texts = [[normalize_transcript(text)] for text in references]
    return TextScorer("wer", False, ids, texts, decode, score, speakers)


def label_scorer(
    class_names: Sequence[str], ids: Sequence[str], labels: Sequence[int], *, with_f1: bool = False
) -> TextScorer:
    """Scores a classifier by its top-1 error, and its predictions, of `ranked_labels`, by the top-5 error.

    All have a 95 % interval; the texts are the names of the best classes.

    Args:
        class_names: By label.
        ids: Name of each example.
        labels: Index of each example's class; a ValueError if one is hidden (-1) or no class.
        with_f1: Whether the macro F1 is scored, too, with its interval; of few classes, since it counts each.
    """
    check_labels(labels, len(class_names))
    references = [class_names[label] for label in labels]

    def decode(predictions: Any) -> list[str]:
        best = [row[0] for row in predictions]
        check_labels(best, len(class_names))
        return [class_names[label] for label in best]

    def score(texts: Sequence[str]) -> Mapping[str, Any]:
        scores = score_labels(texts, references, n_bootstrap=N_BOOTSTRAP)
        return scores | score_f1(texts, references, n_bootstrap=N_BOOTSTRAP) if with_f1 else scores

    def score_predictions(predictions: Any) -> Mapping[str, Any]:
        scores: dict[str, Any] = {}
        for name, wrong in ranked_errors(predictions, labels).items():
            if name != "error":  # which the texts tell
                scores |= score_with_interval(name, label_error, error_counts(wrong), N_BOOTSTRAP, seed=0)
        return scores

    names = [[name] for name in references]
    return TextScorer("error", False, ids, names, decode, score, score_predictions=score_predictions)
