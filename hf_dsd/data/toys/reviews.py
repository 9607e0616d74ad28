"""The embedded sentences for a text classifier: short reviews whose last clause says what the writer thinks.

Hard on purpose: a first clause of the other opinion, negations, and a few writers who contradict themselves.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hf_dsd.data.splits import SPLITS, check_split_sizes

OPINIONS = ("negative", "positive")
"""Classes, by label."""

DEFAULT_SPLIT_SIZES: Mapping[str, int] = {"train": 600, "validation": 200, "test": 200}

_THINGS = """soup bread coffee room bed view film plot music actor ending book chapter hero hotel staff train seat song
concert singer garden museum guide lamp chair screen keyboard battery camera"""
_BAD = "bad dull cold slow noisy dirty broken weak bland boring rude ugly tired cheap late stale"
_GOOD = "good warm quick quiet clean fresh strong rich lovely kind clever pretty bright sharp calm funny"
_OPENINGS = ("the", "my", "our", "that", "this")
_DEGREES = ("", "very ", "rather ", "quite ", "so ")
_CONTRASTS = (" but ", " , yet ", " although nobody minded , for ", " and still ")
_CONTRADICTIONS = 0.05


@dataclass(frozen=True)
class Reviews:
    """One split.

    Attributes:
        sentences: Lower case, words separated by spaces.
        labels: Index of each writer's opinion in `OPINIONS`.
    """

    sentences: Sequence[str]
    labels: Sequence[int]


def make_reviews(split_sizes: Mapping[str, int] | None = None, seed: int = 0) -> dict[str, Reviews]:
    """Writes the splits; no sentence stands in two of them, or twice in one.

    Args:
        split_sizes: Split name -> number of sentences, at least 1; None means 600 / 200 / 200.
        seed: Non-negative; the same seed and sizes give the same sentences.

    Raises:
        ValueError: If a split's name is unknown, a size is out of range, or the seed is negative.
    """
    sizes = dict(DEFAULT_SPLIT_SIZES if split_sizes is None else split_sizes)
    check_split_sizes(sizes, seed)
    used: set[str] = set()
    splits = {}
    for split in reversed(SPLITS):  # the test sentences do not depend on how many there are to train on
        if split in sizes:
            generator = np.random.default_rng((seed, SPLITS.index(split)))
            splits[split] = _write(sizes[split], generator, used)
    return {split: splits[split] for split in sizes}


def _write(size: int, generator: np.random.Generator, used: set[str]) -> Reviews:
    sentences: list[str] = []
    labels: list[int] = []
    while len(sentences) < size:
        opinion = int(generator.integers(2))
        sentence = _clause(opinion, generator)
        if generator.random() < 0.3:
            contrast = str(generator.choice(_CONTRASTS))
            sentence = f"{_clause(1 - opinion, generator)}{contrast}{sentence}"
        if sentence not in used:
            used.add(sentence)
            sentences.append(sentence)
            labels.append(1 - opinion if generator.random() < _CONTRADICTIONS else opinion)
    return Reviews(sentences, labels)


def _clause(opinion: int, generator: np.random.Generator) -> str:
    is_negated = generator.random() < 0.15
    word = generator.choice((_GOOD if opinion != is_negated else _BAD).split())
    opening, thing = generator.choice(_OPENINGS), generator.choice(_THINGS.split())
    return f"{opening} {thing} was {'not ' if is_negated else ''}{generator.choice(_DEGREES)}{word}"
