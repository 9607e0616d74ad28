"""What counts as a word, in any script: the normalisation of captions and of transcripts before they are scored."""

import re
import unicodedata
from collections.abc import Callable, Mapping

_APOSTROPHES = str.maketrans({"\u2019": "'", "\u2018": "'", "\u02bc": "'", "\uff07": "'"})
_LONE_APOSTROPHE = re.compile(r"(?<!\S)'+(?!\S)")
_FINAL_SIGMA = re.compile(r"(?<=[^\W\d_])\u03c3(?!\w)")
# Marks without a shape of their own, beside the category Cf: joiners and variation selectors. They stand inside words.
_INVISIBLE = re.compile(r"[\u034f\u180b-\u180d\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef]")


def normalize_caption(text: str) -> str:
    """Lower-cases, keeps letters with their marks, digits and spaces, and joins the words by single spaces.

    Any script, composed as Unicode NFC; empty if nothing is left. Other characters are removed, not replaced:
    `tri-colored` becomes `tricolored`, the convention of NeuralTalk's preprocessing. The tokenizers of
    `build_caption_tokenizer` carry the same rule in their files.
    """
    return _keep_words(text, "", "")


def normalize_transcript(text: str) -> str:
    """Lower-cases, keeps letters with their marks, digits and apostrophes, and joins the words by single spaces.

    Any script, composed as Unicode NFC; empty if nothing is left. Typographic apostrophes become `'`. Characters
    without a shape of their own (joiners, soft hyphens, direction marks: Unicode's category Cf) vanish. Others separate
    words, so `twenty-one` is two words and `A.T.&T.` is three; an apostrophe that stands alone is punctuation too.
    """
    return " ".join(_LONE_APOSTROPHE.sub(" ", _keep_words(text.translate(_APOSTROPHES), "'", " ")).split())


def lower_text(text: str) -> str:
    """Lower case, composed as Unicode NFC so that an accent is always written in one way; nothing is removed."""
    return unicodedata.normalize("NFC", text.lower())


TEXT_NORMALIZERS: Mapping[str, Callable[[str], str]] = {
    "none": str,
    "lower": lower_text,
    "basic": normalize_transcript,
}
"""What a speech model may learn to write, by name: the text as it is, without capitals, or what is scored."""


def _keep_words(text: str, also_kept: str, instead: str) -> str:
    """Letters, their marks and numbers, lower case; `instead` of anything else but `also_kept` and white space."""
    folded = text.lower() if text.isascii() else _fold(text)
    if folded.isascii() and folded.replace(" ", "").isalnum():
        return " ".join(folded.split())
    kept = []
    inside = False  # a mark belongs to the letter before it; one that stands alone was part of a symbol
    for char in folded:
        kind = unicodedata.category(char)[0]
        inside = kind in "LN" or (kind == "M" and inside)
        kept.append(char if inside or char in also_kept else " " if char.isspace() else "" if kind == "M" else instead)
    return " ".join("".join(kept).split())


def _fold(text: str) -> str:
    """Lower case letter by letter, as tokenizers do it; invisible characters out; composed."""
    lower = "".join(char.lower() for char in text if unicodedata.category(char) != "Cf")
    return _FINAL_SIGMA.sub("\u03c2", unicodedata.normalize("NFC", _INVISIBLE.sub("", lower)))
