"""The character tokenizer of the speech models: transformers' own CTC tokenizer with DeepSpeech's 29 symbols."""

import json
import string
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from transformers import Wav2Vec2CTCTokenizer

BLANK_TOKEN, WORD_DELIMITER = "<pad>", "|"
ALPHABET = "'" + string.ascii_lowercase


def build_character_tokenizer(characters: str = ALPHABET) -> Wav2Vec2CTCTokenizer:
    """Builds the tokenizer: the blank (id 0), the word delimiter (id 1), then `characters`: 29 symbols by default.

    It is a plain `Wav2Vec2CTCTokenizer`: whoever loads it needs transformers only. It knows lower case alone and turns
    any other character into the blank, which the models refuse as a label; use `encode_transcript` for labels. The
    characters are distinct, and none is a space, "|" or upper case.
    """
    for character in characters:
        if (
            characters.count(character) > 1
            or character.isspace()
            or character in (WORD_DELIMITER, *string.ascii_uppercase)
        ):
            raise ValueError(
                f"characters must be distinct, lower case and neither space nor {WORD_DELIMITER!r}, got {character!r}; "
                "drop it: words are separated anyway, and transcripts are lower-cased"
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


def encode_transcript(tokenizer: Any, transcript: str) -> list[int]:
    """Encodes a raw transcript as labels: symbol ids without blanks, in the vocabulary's case, one space between words.

    Args:
        tokenizer: From `build_character_tokenizer`, or another CTC tokenizer with a word delimiter, such as wav2vec
            2.0's with its upper-case letters.
        transcript: A ValueError names the characters in it that the tokenizer does not know.
    """
    known = tokenizer.get_vocab()
    text = " ".join(_fold_case(transcript, known).split())
    symbols = [tokenizer.word_delimiter_token if character == " " else character for character in text]
    unknown = sorted({symbol for symbol in symbols if symbol not in known})
    if unknown:
        raise ValueError(
            f"transcript must use the tokenizer's characters only, got {unknown} in {transcript!r}; spell them out "
            "(digits as words), strip them, or build the tokenizer with them"
        )
    return [known[symbol] for symbol in symbols]


def _fold_case(text: str, vocabulary: Iterable[str]) -> str:
    """Puts a text into the only case that the vocabulary's letters have; with both or neither it stays as it is."""
    letters = [symbol for symbol in vocabulary if len(symbol) == 1]
    if not any(letter.isupper() for letter in letters):
        return text.lower()
    return text if any(letter.islower() for letter in letters) else text.upper()


__all__ = ["ALPHABET", "build_character_tokenizer", "encode_transcript"]
