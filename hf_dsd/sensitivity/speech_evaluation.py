"""CTC models on transcribed speech of a validation split.

Layer: transformers, and the models, data and metrics of hf_dsd.
"""

from collections.abc import Mapping
from functools import cache, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import ctc_loss
from transformers import AutoModelForCTC, AutoProcessor, PreTrainedModel, PreTrainedTokenizerBase

from hf_dsd.data import SpeechCollator, SpeechData, SpeechDataset, load_speech, make_spoken_digits
from hf_dsd.metrics import argmax_logits, decode_paths, score_transcripts
from hf_dsd.models import encode_transcript

from .evaluation import Evaluation, batches, device, spread_evenly

_BATCH_SIZE = 16
_DIGITS = 80


def load_recognizer(name: str, data: str | None, examples: int) -> Evaluation:
    """Loads a CTC model and utterances; see `load_evaluation`.

    The loss is the mean over the transcripts' symbols. Utterances that cannot be used are left out, and logged.
    """
    model = AutoModelForCTC.from_pretrained(name).to(device())
    processor = AutoProcessor.from_pretrained(name)
    extractor, tokenizer = processor.feature_extractor, processor.tokenizer
    input_name, sampling_rate = extractor.model_input_names[0], extractor.sampling_rate

    def extract(samples: Any, rate: int) -> Tensor:
        features: Tensor = extractor(samples, sampling_rate=rate, return_tensors="pt")[input_name][0]
        return features

    @cache
    def count_frames(samples: int) -> int:
        return int(model._get_feat_extract_output_lengths(len(extract(np.zeros(samples, np.float32), sampling_rate))))

    rows = SpeechDataset(
        _load_data(data, sampling_rate),
        partial(encode_transcript, tokenizer),
        extract,
        output_length=count_frames,
        split="validation",
        input_name=input_name,
        skip_bad_examples=True,
    )
    chosen = sorted(spread_evenly(len(rows), examples), key=lambda row: rows.lengths[row])  # little padding
    collate = SpeechCollator(return_attention_mask=extractor.return_attention_mask)
    inputs = batches([rows[row] for row in chosen], _BATCH_SIZE, collate)
    references = [rows.utterances[row].transcript for row in chosen]

    def evaluate() -> Mapping[str, Any]:
        losses, texts = recognize(model, inputs, tokenizer)
        return {"loss": losses, "wer": score_transcripts(texts, references)["wer"]}

    source = "spoken digits" if data is None else data
    text = f"validation split of {source}: {len(chosen)} of {len(rows)} utterances"
    return Evaluation(model, evaluate, text, {"loss": False, "wer": False})


def _load_data(data: str | None, sampling_rate: int) -> SpeechData:
    if data is not None:
        return load_speech(data, sampling_rate=sampling_rate)
    return make_spoken_digits({"train": 1, "validation": _DIGITS}).data


@torch.no_grad()
def recognize(
    model: PreTrainedModel, inputs: list[dict[str, Tensor]], tokenizer: PreTrainedTokenizerBase
) -> tuple[Tensor, list[str]]:
    """Each utterance's contribution (utterances,) to the mean loss per symbol, and its greedy transcript."""
    losses, texts, symbols = [], list[str](), 0
    for batch in inputs:
        labels = batch["labels"]
        arguments = {key: value for key, value in batch.items() if key != "labels"}
        logits = model(**arguments).logits.float()  # (batch, frames, symbols)
        lengths = (labels >= 0).sum(dim=1)
        losses.append(
            ctc_loss(
                logits.log_softmax(dim=-1).transpose(0, 1),
                labels.clamp(min=0),
                _output_frames(model, batch),
                lengths,
                blank=model.config.pad_token_id,
                reduction="none",
                zero_infinity=model.config.ctc_zero_infinity,
            )
        )
        texts += decode_paths(tokenizer, argmax_logits(logits).cpu().numpy())
        symbols += int(lengths.sum())
    total = torch.cat(losses).double()
    return total * (len(total) / symbols), texts


def _output_frames(model: PreTrainedModel, batch: Mapping[str, Tensor]) -> Tensor:
    """Frames that the model puts out for each row; where it is not told about padding, padding counts."""
    mask = batch.get("attention_mask")
    if mask is None:
        mask = torch.ones(next(iter(batch.values())).shape[:2], dtype=torch.int64)
    frames: Tensor = model._get_feat_extract_output_lengths(mask.sum(dim=1))
    return frames
