"""Scores of a whole split, example by example: what a published number and a paired test are made of.

Layer: transformers types and the metrics next door.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerBase

from .bleu import score_captions
from .caption_metrics import tokenizer_normalizer
from .ctc_metrics import decode_paths
from .label_error import score_labels
from .wer import score_transcripts
from .wer_statistics import normalize_transcript

N_BOOTSTRAP = 1000
"""Resamples behind every published 95 % interval."""


@dataclass(frozen=True)
class TextScorer:
    """How the predictions of one split become texts and scores.

    Attributes:
        metric: The headline score, a key of the scores: "bleu4", "wer" or "error".
        greater_is_better: Its direction.
        ids: Name of each example, in the order of the evaluation rows.
        references: Normalised reference texts of each example.
        decode: From a Trainer's predictions to one normalised text per example.
        score: From the texts to the scores, with interval and signature; see `score_captions`, `score_transcripts`.
    """

    metric: str
    greater_is_better: bool
    ids: Sequence[str]
    references: Sequence[Sequence[str]]
    decode: Callable[[Any], list[str]]
    score: Callable[[Sequence[str]], Mapping[str, Any]]


def caption_scorer(
    tokenizer: PreTrainedTokenizerBase, ids: Sequence[str], references: Sequence[Sequence[str]]
) -> TextScorer:
    """Scores generated captions by BLEU.

    The scores are those of `BLEU` with a 95 % interval; `bleu4_without_penalty` beside them leaves the brevity penalty
    out, as the copy of `multi-bleu.perl` that NeuralTalk ships does.

    Args:
        tokenizer: Decodes the generated ids.
        ids: Name of each image.
        references: Raw captions of each image.
    """
    normalize = tokenizer_normalizer(tokenizer)
    normalized = [[normalize(text) for text in texts] for texts in references]

    def decode(predictions: Any) -> list[str]:
        generated = np.where(predictions < 0, tokenizer.pad_token_id, predictions)
        return [normalize(text) for text in tokenizer.batch_decode(generated, skip_special_tokens=True)]

    def score(texts: Sequence[str]) -> Mapping[str, Any]:
        without_penalty = score_captions(texts, normalized, with_brevity_penalty=False)
        scores = score_captions(texts, normalized, n_bootstrap=N_BOOTSTRAP)
        return {**scores, "bleu4_without_penalty": without_penalty["bleu4"]}

    return TextScorer("bleu4", True, ids, normalized, decode, score)


def transcript_scorer(tokenizer: PreTrainedTokenizerBase, ids: Sequence[str], references: Sequence[str]) -> TextScorer:
    """Scores greedy transcripts by WER, with a 95 % interval.

    Args:
        tokenizer: A CTC tokenizer; its pad token is the blank.
        ids: Name of each utterance.
        references: Raw transcript of each utterance.
    """

    def decode(predictions: Any) -> list[str]:
        return [normalize_transcript(text) for text in decode_paths(tokenizer, predictions)]

    def score(texts: Sequence[str]) -> Mapping[str, Any]:
        return score_transcripts(texts, list(references), n_bootstrap=N_BOOTSTRAP, decoding="greedy")

    return TextScorer("wer", False, ids, [[normalize_transcript(text)] for text in references], decode, score)


def label_scorer(class_names: Sequence[str], ids: Sequence[str], labels: Sequence[int]) -> TextScorer:
    """Scores a classifier by its top-1 error, with a 95 % interval; its texts are the names of classes.

    Args:
        class_names: By label.
        ids: Name of each example.
        labels: Of each example.
    """
    references = [class_names[label] for label in labels]

    def decode(predictions: Any) -> list[str]:
        return [class_names[label] for label in predictions]

    def score(texts: Sequence[str]) -> Mapping[str, Any]:
        return score_labels(texts, references, n_bootstrap=N_BOOTSTRAP)

    return TextScorer("error", False, ids, [[name] for name in references], decode, score)
