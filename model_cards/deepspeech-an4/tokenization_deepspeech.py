"""The character tokenizer of the speech models: transformers' own CTC tokenizer with DeepSpeech's 29 symbols."""

import json
import string
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from transformers import Wav2Vec2CTCTokenizer

BLANK_TOKEN, WORD_DELIMITER = "<pad>", "|"
ALPHABET = "'" + string.ascii_lowercase


def build_character_tokenizer(characters: str = ALPHABET) -> Wav2Vec2CTCTokenizer:
    """Builds the tokenizer: the blank (id 0), the word delimiter (id 1), then `characters`: 29 symbols by default.

    It is a plain `Wav2Vec2CTCTokenizer`: whoever loads it needs transformers only. It turns any other character into
    the blank, which the models refuse as a label; use `encode_transcript` for labels. The characters, for which there
    is `find_characters`, are distinct, and none is a space or "|".
    """
    if not characters:
        raise ValueError("characters must not be empty, got ''; give the letters of the transcripts")
    for character, count in Counter(characters).items():
        if count > 1 or character.isspace() or character == WORD_DELIMITER:
            raise ValueError(
                f"characters must be distinct and neither space nor {WORD_DELIMITER!r}, got {character!r}; drop it: "
                "words are separated anyway"
            )
    vocabulary = {token: index for index, token in enumerate((BLANK_TOKEN, WORD_DELIMITER, *characters))}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "vocab.json"
        file.write_text(json.dumps(vocabulary), encoding="utf-8")
        # An unknown token of its own would become a 30th symbol of the model.
        return Wav2Vec2CTCTokenizer(
            str(file),
            bos_token=None,
            eos_token=None,
            unk_token=BLANK_TOKEN,
            pad_token=BLANK_TOKEN,
            word_delimiter_token=WORD_DELIMITER,
        )


def find_characters(transcripts: Iterable[str]) -> str:
    """The characters for a tokenizer of transcripts: DeepSpeech's own where they are enough, so that models agree.

    Args:
        transcripts: Of the training split, as the model is to write them.

    Returns:
        `ALPHABET` if the transcripts hold no other character, otherwise exactly theirs in Unicode's order; never the
        space and "|", which no tokenizer can hold.
    """
    found = {character for transcript in transcripts for character in transcript if not character.isspace()}
    return ALPHABET if found <= set(ALPHABET) else "".join(sorted(found - {WORD_DELIMITER}))


def encode_transcript(tokenizer: Any, transcript: str) -> list[int]:
    """Encodes a raw transcript as labels: symbol ids without blanks, in the vocabulary's case, one space between words.

    Args:
        tokenizer: From `build_character_tokenizer`, or another CTC tokenizer with a word delimiter, such as wav2vec
            2.0's with its upper-case letters.
        transcript: A ValueError names the characters in it that the tokenizer does not know.
    """
    unknown = unknown_characters(tokenizer, transcript)
    if unknown:
        raise ValueError(
            f"transcript must use the tokenizer's characters only, got {unknown} in {transcript!r}; spell them out "
            "(digits as words), strip them, or build the tokenizer with them"
        )
    known = tokenizer.get_vocab()
    text = " ".join(_fold_case(transcript, known).split())
    return [known[tokenizer.word_delimiter_token if character == " " else character] for character in text]


def unknown_characters(tokenizer: Any, transcript: str) -> list[str]:
    """The characters of a transcript that a tokenizer does not know, each once, sorted.

    Args:
        tokenizer: As at `encode_transcript`.
        transcript: Raw text.
    """
    known = tokenizer.get_vocab()
    delimiter = tokenizer.word_delimiter_token  # stands for a space, never for itself
    characters = set("".join(_fold_case(transcript, known).split()))
    return sorted(character for character in characters if character not in known or character == delimiter)


def _fold_case(text: str, vocabulary: Iterable[str]) -> str:
    """Puts a text into the only case that the vocabulary's letters have; with both or neither it stays as it is."""
    letters = [symbol for symbol in vocabulary if len(symbol) == 1]
    if not any(letter.isupper() for letter in letters):
        return text.lower()
    return text if any(letter.islower() for letter in letters) else text.upper()


__all__ = ["ALPHABET", "build_character_tokenizer", "encode_transcript", "find_characters", "unknown_characters"]
