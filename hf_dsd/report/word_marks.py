"""Which words of a transcript are not the reference's.

Layer: plain Python.
"""

from collections.abc import Sequence
from difflib import SequenceMatcher


def mark_words(prediction: str, references: Sequence[str]) -> list[tuple[str, bool]]:
    """The words of a prediction and whether each is wrong; with several references nothing is marked as wrong.

    Args:
        prediction: Words separated by white space.
        references: What people said; only a single one can be aligned.
    """
    words = prediction.split()
    if len(references) != 1:
        return [(word, False) for word in words]
    right: set[int] = set()
    for block in SequenceMatcher(None, references[0].split(), words, autojunk=False).get_matching_blocks():
        right |= set(range(block.b, block.b + block.size))
    return [(word, index not in right) for index, word in enumerate(words)]
