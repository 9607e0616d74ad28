"""The processor of both speech models: audio in, labels in, transcripts out."""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor
from transformers import BatchFeature, ProcessorMixin

from .decoding_deepspeech import Prefix, decode_beam, decode_greedy
from .tokenization_deepspeech import encode_transcript

IGNORED_LABEL = -100


class DeepSpeechProcessor(ProcessorMixin):
    """Prepares audio and transcripts for training, and turns a model's scores back into text (`transcribe`).

    `decode` and `batch_decode` are the tokenizer's: they collapse the symbol ids of a path.

    Args:
        feature_extractor: A `DeepSpeechFeatureExtractor`.
        tokenizer: From `build_character_tokenizer`, or another CTC tokenizer with a word delimiter.

    Raises:
        TypeError: If one of the two is missing or of the wrong kind.
    """

    def __init__(self, feature_extractor: Any = None, tokenizer: Any = None) -> None:
        super().__init__(feature_extractor, tokenizer)

    def __call__(
        self, audio: Any = None, text: str | list[str] | None = None, return_tensors: str | None = None, **kwargs: Any
    ) -> BatchFeature:
        """Prepares audio, transcripts or both.

        Args:
            audio: One utterance `(samples,)` or a list of them.
            text: One transcript or a list, in any case.
            return_tensors: "pt" makes tensors, with labels padded by -100; "np" or None leaves labels as lists.
            **kwargs: The feature extractor's own options, above all `sampling_rate`.

        Returns:
            `input_features` and `attention_mask` given audio, `labels` given text.

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
            inputs["labels"] = _pad_labels(labels) if return_tensors == "pt" else labels
        return inputs

    @property
    def model_input_names(self) -> list[str]:
        """Names of the inputs that calling the processor can produce."""
        return [*self.feature_extractor.model_input_names, "labels"]

    def transcribe(
        self,
        logits: Tensor,
        beam_width: int | None = None,
        language_model: Callable[[str], float] | None = None,
        language_model_weight: float = 1.0,
        word_bonus: float = 0.0,
        scores_partial_words: bool = False,
    ) -> list[str]:
        """Turns a model's scores into text, words separated by one space.

        Greedy by default. A beam ranks a transcript by log P(text | audio) + `language_model_weight` *
        language_model(text) + `word_bonus` * words.

        Args:
            logits: `(B, T', V)`, padded frames scoring the blank, as the models make them.
            beam_width: Transcripts kept after every frame, >= 1; None searches greedily.
            language_model: Takes a text and returns its natural log-probability. It sees the complete words of an
                unfinished transcript and, at the end, the whole text; never an empty one. With kenlm:
                `lambda text: model.score(text, eos=False) * math.log(10)`.
            language_model_weight: Weight of the language model, >= 0.
            word_bonus: Added per word, against the language model's taste for short texts.
            scores_partial_words: True shows the language model unfinished words too, for one that knows characters.

        Returns:
            One text per row.

        Raises:
            ValueError: If `beam_width` is below 1, or there is a language model without a beam.
        """
        if beam_width is None:
            if language_model is not None:
                raise ValueError("beam_width must be given with a language_model, got None; try beam_width=32")
            return [_tidy(self._spell(tuple(row))) for row in decode_greedy(logits, self.tokenizer.pad_token_id)]

        @cache
        def score_text(text: str) -> float:
            if not text:
                return 0.0
            bonus = word_bonus * len(text.split())
            return bonus if language_model is None else bonus + language_model_weight * language_model(text)

        def score_prefix(prefix: Prefix) -> float:
            text = self._spell(prefix)
            return score_text(_tidy(text if scores_partial_words else text.rpartition(" ")[0]))

        def score_whole(prefix: Prefix) -> float:
            return score_text(_tidy(self._spell(prefix)))

        best = [
            decode_beam(
                row,
                beam_width,
                blank_id=self.tokenizer.pad_token_id,
                language_score=score_prefix,
                final_score=score_whole,
            )[0]
            for row in logits
        ]
        return [_tidy(self._spell(hypothesis.symbols)) for hypothesis in best]

    def _spell(self, symbols: Prefix) -> str:
        tokens = self.tokenizer.convert_ids_to_tokens(list(symbols))
        return "".join(" " if token == self.tokenizer.word_delimiter_token else token for token in tokens)


def _tidy(text: str) -> str:
    """Leaves one space between words and none around them."""
    return " ".join(text.split())


def _pad_labels(labels: list[list[int]]) -> Tensor:
    """Pads label rows to `(B, longest)` int64."""
    longest = max(len(row) for row in labels)
    return torch.tensor([row + [IGNORED_LABEL] * (longest - len(row)) for row in labels], dtype=torch.long)


__all__ = ["DeepSpeechProcessor"]
