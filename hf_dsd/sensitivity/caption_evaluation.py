"""NeuralTalk on captioned images of a validation split.

Layer: transformers, and the models, data and metrics of hf_dsd.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import EvalPrediction

from hf_dsd.data import CaptionCollator, CaptionData, CaptionEvaluationSet, load_captions, make_scenes
from hf_dsd.metrics import caption_metrics
from hf_dsd.models import NeuralTalkForConditionalGeneration, NeuralTalkProcessor, encode_caption

from .evaluation import Evaluation, batches, device, spread_evenly

_BATCH_SIZE = 64
_IGNORED = -100


def load_captioner(
    name: str, data: str | None, examples: int, *, bleu: bool, feature_columns: str | None
) -> Evaluation:
    """Loads a captioner and images; see `load_evaluation`.

    An example is an image with all its captions; the loss is the mean over their words, end tokens included.

    Raises:
        ValueError: If the image vectors are not as wide as the model's.
    """
    model = NeuralTalkForConditionalGeneration.from_pretrained(name).to(device())
    tokenizer = NeuralTalkProcessor.from_pretrained(name).tokenizer
    captions = _load_data(data, feature_columns)
    if captions.dims != model.config.image_feature_size:
        raise ValueError(
            f"{data or 'the drawn scenes'}: image vectors must have {model.config.image_feature_size} columns as the "
            f"model was trained, got {captions.dims}; give its own --data, or choose columns by --feature-columns"
        )
    rows = CaptionEvaluationSet(captions, partial(encode_caption, tokenizer))
    chosen = spread_evenly(len(rows), examples)
    inputs = batches([rows[row] for row in chosen], _BATCH_SIZE, CaptionCollator())
    score = caption_metrics(tokenizer, [rows.references[row] for row in chosen])

    def evaluate() -> Mapping[str, Any]:
        scores: dict[str, Any] = {"loss": word_losses(model, inputs)}
        if bleu:
            written = _write_captions(model, inputs, tokenizer.pad_token_id)
            scores |= {"bleu4": score(EvalPrediction(written, None))["bleu4"]}
        return scores

    source = "drawn scenes" if data is None else data
    text = f"validation split of {source}: {len(chosen)} of {len(rows)} images"
    return Evaluation(model, evaluate, text, {"loss": False, **({"bleu4": True} if bleu else {})})


def _load_data(data: str | None, feature_columns: str | None) -> CaptionData:
    return make_scenes().data if data is None else load_captions(data, feature_columns=feature_columns)


@torch.no_grad()
def word_losses(model: NeuralTalkForConditionalGeneration, inputs: list[dict[str, Tensor]]) -> Tensor:
    """Each image's contribution (images,) to the mean loss per word: their mean is that loss."""
    losses, words = [], 0
    for batch in inputs:
        labels = batch["labels"]
        logits = model(**batch).logits.float()
        nll = cross_entropy(logits.transpose(1, 2), labels, ignore_index=_IGNORED, reduction="none").sum(dim=1)
        losses.append(nll.new_zeros(len(batch["image_features"])).index_add(0, batch["image_index"], nll))
        words += int((labels != _IGNORED).sum())
    total = torch.cat(losses).double()
    return total * (len(total) / words)


def _write_captions(
    model: NeuralTalkForConditionalGeneration, inputs: list[dict[str, Tensor]], pad_token_id: int
) -> Any:
    """Token ids (images, time) by the model's own decoding, on the host."""
    written = [model.generate(image_features=batch["image_features"]).cpu().numpy() for batch in inputs]
    longest = max(ids.shape[1] for ids in written)
    padded = [np.pad(ids, ((0, 0), (0, longest - ids.shape[1])), constant_values=pad_token_id) for ids in written]
    return np.concatenate(padded)
