"""Transcripts as CTC labels: which characters there are, their ids, and how many frames they need.

Layer: the data structures of speech.py; any tokenizer of transformers is taken by its behaviour.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from .speech import SpeechData

Encode = Callable[[str], list[int]]
"""From a raw transcript to its label ids; raises ValueError for a transcript that it cannot encode."""


def transcript_characters(
    data: SpeechData, normalize: Callable[[str], str] | None = None, *, split: str = "train"
) -> list[str]:
    """The characters that a split's transcripts use: what a character vocabulary must have.

    Args:
        data: The speech.
        normalize: What `transcript_encoder` is given; None takes transcripts as they are.
        split: Split to read.

    Returns:
        Sorted characters, the space among them.

    Raises:
        ValueError: If the split is missing.
    """
    texts = (utterance.transcript for utterance in data.split(split))
    return sorted({char for text in texts for char in (normalize(text) if normalize else text)})


def transcript_encoder(tokenizer: Any, normalize: Callable[[str], str] | None = None) -> Encode:
    """Label ids of transcripts by a character tokenizer, refusing what its vocabulary lacks.

    Args:
        tokenizer: A CTC tokenizer of transformers, such as `Wav2Vec2CTCTokenizer`.
        normalize: From a raw transcript to the text whose characters are labels; None takes it as it is.

    Returns:
        A function from a raw transcript to ids. It raises ValueError if a character is not in the vocabulary.
    """

    def encode(transcript: str) -> list[int]:
        text = normalize(transcript) if normalize else transcript
        tokens = tokenizer.tokenize(text)
        ids: list[int] = tokenizer.convert_tokens_to_ids(tokens)
        unknown = (None, tokenizer.unk_token_id)  # a vocabulary without an unknown token gives None
        lacking = sorted({token for token, index in zip(tokens, ids, strict=True) if index in unknown})
        if lacking:
            raise ValueError(
                f"characters must be in the tokenizer's vocabulary, got {lacking} in {text!r:.80}; normalize the "
                "transcripts, or extend the vocabulary to transcript_characters(data, normalize)"
            )
        return ids

    return encode


def required_frames(labels: Sequence[int]) -> int:
    """Output frames that CTC needs for a label sequence: one each, and a blank between two equal neighbours.

    Args:
        labels: Label ids.

    Returns:
        The number of frames of the shortest alignment.

    References:
        Graves et al., `Connectionist Temporal Classification <https://doi.org/10.1145/1143844.1143891>`_, 2006,
        section 3.1.
    """
    return len(labels) + sum(left == right for left, right in pairwise(labels))
