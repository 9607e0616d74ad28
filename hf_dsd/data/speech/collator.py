"""Batches of transcribed speech for a Trainer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

AUDIO_INPUTS = ("input_features", "input_values")
"""Keys of a row that hold the audio: a spectrogram, or raw samples."""


@dataclass(frozen=True)
class SpeechCollator:
    """Pads audio and labels, for training and evaluation alike.

    Attributes:
        input_padding: Fills inputs after an utterance's end; models must not look at it, the mask says where it is.
        label_pad_token_id: Fills labels after their end; -100 is what losses ignore.
        return_attention_mask: False for models that must not be given one, such as wav2vec2-base.
        return_lengths: True adds `input_lengths` and `targets`, Python lists that stay on the host when the batch moves
            to an accelerator. DeepSpeech and DeepSpeech 2 read them instead of waiting for the device; other models do
            not know them, and accelerate cannot join them across processes (`dispatch_batches`).
    """

    input_padding: float = 0.0
    label_pad_token_id: int = -100
    return_attention_mask: bool = True
    return_lengths: bool = False

    @classmethod
    def for_processor(cls, processor: Any) -> "SpeechCollator":
        """Builds the collator of the model that a processor belongs to.

        Args:
            processor: With a feature extractor, which says whether the model takes a mask, and `model_input_names`,
                which say whether it takes lengths.
        """
        names = set(processor.model_input_names)
        has_mask = bool(getattr(processor.feature_extractor, "return_attention_mask", True))
        return cls(return_attention_mask=has_mask, return_lengths={"input_lengths", "targets"} <= names)

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Collates rows into a batch.

        Args:
            rows: Each with `input_features` (frames, bins) or `input_values` (samples,), and `labels`, a list of ids.
                Rows without `labels` make a batch without.

        Returns:
            A dict, the input first because a Trainer reads the batch size from the first tensor:
            input_features: (batch, frames, bins) float32, or instead input_values: (batch, samples) float32.
            attention_mask: (batch, frames or samples) int64, 1 where the utterance is.
            labels: (batch, time) int64.
            input_lengths and targets: if asked for, each row's frames or samples, and its labels without padding.

        Raises:
            ValueError: If the batch is empty, a row has no audio or another kind than the first, the number of bins
                differs, or a row has no labels while others have.
        """
        if not rows:
            raise ValueError("rows must not be empty, got 0; a batch needs at least one utterance")
        name = next((key for key in AUDIO_INPUTS if key in rows[0]), None)
        if name is None:
            raise ValueError(f"rows must have one of {AUDIO_INPUTS}, got {sorted(rows[0])}; add the audio to every row")
        inputs = [_audio_tensor(name, index, row) for index, row in enumerate(rows)]
        shapes = {tuple(tensor.shape[1:]) for tensor in inputs}
        if len(shapes) > 1:
            raise ValueError(f"{name} must have one number of bins, got {sorted(shapes)}; extract all rows alike")
        batch: dict[str, Any] = {name: pad_sequence(inputs, batch_first=True, padding_value=self.input_padding)}
        if self.return_attention_mask:
            batch["attention_mask"] = pad_sequence([torch.ones(len(x), dtype=torch.int64) for x in inputs], True)
        if any("labels" in row for row in rows):
            labels = [_label_tensor(index, row) for index, row in enumerate(rows)]
            batch["labels"] = pad_sequence(labels, batch_first=True, padding_value=self.label_pad_token_id)
            if self.return_lengths:
                batch["targets"] = [row.tolist() for row in labels]
        if self.return_lengths:
            batch["input_lengths"] = [len(row) for row in inputs]
        return batch


def _audio_tensor(name: str, index: int, row: Mapping[str, Any]) -> Tensor:
    if row.get(name) is None:
        raise ValueError(f"rows must all have {name!r} if the first has, got {sorted(row)} in row {index}; batch alike")
    tensor = torch.as_tensor(row[name], dtype=torch.float32)
    if tensor.ndim != AUDIO_INPUTS[::-1].index(name) + 1 or len(tensor) == 0:
        expected = "(frames, bins)" if name == "input_features" else "(samples,)"
        raise ValueError(
            f"{name} of row {index} must be {expected}, at least one, got {tuple(tensor.shape)}; "
            "remove the row's batch dimension, or the row"
        )
    return tensor


def _label_tensor(index: int, row: Mapping[str, Any]) -> Tensor:
    labels = torch.as_tensor(row.get("labels", ()))
    if labels.ndim != 1 or len(labels) == 0:
        raise ValueError(
            f"labels of row {index} must be a list of ids, got {row.get('labels')!r:.80}; skip utterances without words"
        )
    return labels.to(torch.int64)
