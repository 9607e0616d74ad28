# ruff: noqa: E402, I001 (as in configuration_deepspeech.py)
"""The processor of both speech models: audio in, labels in, transcripts out."""

from typing import Any

from transformers.utils.versions import require_version

require_version("transformers>=5.20", "DeepSpeech's processor needs it: pip install -U 'transformers>=5.20,<6'")

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import BatchFeature, ProcessorMixin

from .decoding_deepspeech import decode_beam
from .feature_extraction_deepspeech import DeepSpeechFeatureExtractor
from .tokenization_deepspeech import ALPHABET, build_character_tokenizer, encode_transcript

IGNORED_LABEL = -100


class DeepSpeechProcessor(ProcessorMixin):
    """Prepares audio and transcripts for training, and turns a model's scores back into text (`transcribe`).

    `decode` and `batch_decode` are the tokenizer's: they collapse the symbol ids of a path. A feature extractor or a
    tokenizer that is missing or of the wrong kind is a TypeError.

    Args:
        feature_extractor: A `DeepSpeechFeatureExtractor`.
        tokenizer: From `build_character_tokenizer`, or another CTC tokenizer with a word delimiter.
    """

    def __init__(self, feature_extractor: Any = None, tokenizer: Any = None) -> None:
        super().__init__(feature_extractor, tokenizer)

    def __call__(
        self, audio: Any = None, text: str | list[str] | None = None, return_tensors: str | None = None, **kwargs: Any
    ) -> BatchFeature:
        """Prepares audio, transcripts or both: `input_features` and `attention_mask` given audio, `labels` given text.

        Args:
            audio: One utterance `(samples,)` or a list of them.
            text: One transcript or a list, in any case.
            return_tensors: "pt" makes tensors, with labels padded by -100; "np" or None leaves labels as lists.
            **kwargs: The feature extractor's own options, above all `sampling_rate`.

        Raises:
            ValueError: If neither is given, or for what the feature extractor and `encode_transcript` refuse.
        """
        if audio is None and text is None:
            raise ValueError("audio or text must be given, got neither; pass at least one of them")
        inputs = BatchFeature({})
        if audio is not None:
            inputs = self.feature_extractor(audio, return_tensors=return_tensors, **kwargs)
        if text is not None:
            rows = [text] if isinstance(text, str) else text
            labels = [encode_transcript(self.tokenizer, row) for row in rows]
            inputs["labels"] = labels
            if return_tensors == "pt":
                tensors = [torch.tensor(row, dtype=torch.long) for row in labels]
                inputs["labels"] = pad_sequence(tensors, batch_first=True, padding_value=IGNORED_LABEL)
        return inputs

    @property
    def model_input_names(self) -> list[str]:
        """Names of what the models take: from the processor itself, then the two that a collator counts."""
        return [*self.feature_extractor.model_input_names, "labels", "input_lengths", "targets"]

    @classmethod
    def build(cls, characters: str = ALPHABET, **options: Any) -> "DeepSpeechProcessor":
        """Builds the processor of a new model: its tokenizer's `characters`, and options of its feature extractor."""
        return cls(DeepSpeechFeatureExtractor(**options), build_character_tokenizer(characters))

    def extract(self, samples: Any, sampling_rate: int) -> Tensor:
        """Turns `(samples,)` of floats in [-1, 1] into a training row's `input_features` `(frames, bins)`."""
        features: Tensor = self(samples, sampling_rate=sampling_rate, return_tensors="pt")["input_features"][0]
        return features

    def encode(self, transcript: str) -> list[int]:
        """Turns one transcript into a training row's `labels`; see `encode_transcript`."""
        return encode_transcript(self.tokenizer, transcript)

    def transcribe(self, logits: Tensor, beam_width: int | None = None) -> list[str]:
        """Turns a model's scores into one text per row, words separated by one space.

        For another decoder, with a language model say, the logits are the model's own.

        Args:
            logits: `(B, T', V)`, padded frames scoring the blank, as the models make them.
            beam_width: Transcripts that prefix beam search keeps after every frame, >= 1; None searches greedily, as
                all published numbers do.
        """
        if beam_width is None:
            paths = logits.argmax(dim=-1)
            texts = self.tokenizer.batch_decode(paths, clean_up_tokenization_spaces=False)
        else:
            beams = [decode_beam(row, beam_width, blank_id=self.tokenizer.pad_token_id) for row in logits]
            symbols = [list(beam[0].symbols) for beam in beams]
            texts = [
                self.tokenizer.decode(row, group_tokens=False, clean_up_tokenization_spaces=False) for row in symbols
            ]
        return [" ".join(text.split()) for text in texts]
