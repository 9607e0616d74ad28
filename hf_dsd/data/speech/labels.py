"""Transcripts as CTC labels, and how many frames labels need."""

from collections.abc import Callable, Sequence
from itertools import pairwise

Encode = Callable[[str], list[int]]
"""From a raw transcript to its label ids; raises ValueError for a transcript that it cannot encode."""


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
