"""WER while a CTC model trains: `compute_metrics` and `preprocess_logits_for_metrics` for a Trainer."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .wer import score_transcripts

if TYPE_CHECKING:
    from transformers import EvalPrediction, PreTrainedTokenizerBase, ProcessorMixin

_TRAINER_PADDING = -100
_RATES = ("wer", "cer")
_COUNTS = ("substitutions", "insertions", "deletions", "words")


def argmax_logits(logits: Tensor | tuple[Tensor, ...], labels: Tensor | None = None) -> Tensor:
    """The best symbol of every frame, on the device: `Trainer(preprocess_logits_for_metrics=argmax_logits)`.

    Evaluation then keeps one integer per frame instead of one float per frame and symbol. Frames that the Trainer added
    to make processes agree in length (every logit -100) stay -100, whatever symbol 0 is. Frames that the collator added
    are the model's business: it must predict blank there.

    Args:
        logits: (batch, frames, symbols) float, or a model's outputs after the loss with the logits first; a ValueError
            for another number of dimensions.
        labels: Ignored; the Trainer passes them.

    Returns:
        (batch, frames) int64 ids, -100 in frames that the Trainer added.
    """
    frames = logits[0] if isinstance(logits, (tuple, list)) else logits
    if frames.ndim != 3:
        raise ValueError(
            f"logits must be (batch, frames, symbols), got shape {tuple(frames.shape)}; argmax_logits is for CTC models"
        )
    best, ids = frames.max(dim=-1)
    return torch.where(best == _TRAINER_PADDING, _TRAINER_PADDING, ids)


def ctc_metrics(processor: ProcessorMixin | PreTrainedTokenizerBase) -> Callable[[EvalPrediction], dict[str, float]]:
    """Builds the `compute_metrics` that scores greedy CTC transcripts against the labels.

    For a Trainer with `preprocess_logits_for_metrics=argmax_logits`. References are decoded from the labels, so they
    are right in any order of evaluation (length-grouped batches reorder it). A character that the vocabulary lacks is
    the unknown token there: an error, unless the model predicts that token too.

    Args:
        processor: A CTC tokenizer such as `Wav2Vec2CTCTokenizer`, whose pad token is the blank and whose decoding
            merges repeats, or a processor that has one as `tokenizer`; without a pad token, a ValueError.

    Returns:
        A function that takes an `EvalPrediction` with (utterances, frames) ids and (utterances, time) label ids, either
        padded with -100, and returns floats only, as the Trainer's logs need: `wer` and `cer` (fractions), and the
        counts `substitutions`, `insertions`, `deletions` and `words`, as at `WER`.
    """
    tokenizer = getattr(processor, "tokenizer", processor)
    if tokenizer.pad_token_id is None:
        raise ValueError("tokenizer.pad_token must be set, it is the CTC blank, got None; set it to the blank's token")

    def compute_metrics(evaluation: EvalPrediction) -> dict[str, float]:
        labels = _token_ids("label_ids", evaluation.label_ids, tokenizer.pad_token_id)
        references = tokenizer.batch_decode(labels, skip_special_tokens=False, group_tokens=False)
        result = score_transcripts(decode_paths(tokenizer, evaluation.predictions), references)
        return {name: float(result[name]) for name in (*_RATES, *_COUNTS)}

    return compute_metrics


def decode_paths(tokenizer: PreTrainedTokenizerBase, predictions: object) -> list[str]:
    """Transcripts of the best symbols of every frame, as an evaluation with `argmax_logits` gives them.

    Args:
        tokenizer: A CTC tokenizer whose pad token is the blank.
        predictions: (utterances, frames) ids padded with -100, or a tuple that begins with them; else a ValueError.
    """
    frames = predictions[0] if isinstance(predictions, tuple) else predictions
    # Special tokens must stay in: the tokenizer drops them before it merges repeats, and without the blank between
    # them two equal letters become one.
    ids = _token_ids("predictions", frames, tokenizer.pad_token_id)
    return list(tokenizer.batch_decode(ids, skip_special_tokens=False))


def _token_ids(name: str, ids: object, pad_token_id: int) -> NDArray[np.int64]:
    array = np.asarray(ids)
    if array.ndim != 2 or not np.issubdtype(array.dtype, np.integer):
        raise ValueError(
            f"{name} must be (utterances, time) integer ids, got shape {array.shape} of {array.dtype}; "
            "set preprocess_logits_for_metrics=argmax_logits and give every evaluation row labels"
        )
    return np.where(array < 0, pad_token_id, array)
