"""Whether a vocabulary can spell the transcripts of every split."""

import logging
from collections import Counter
from collections.abc import Callable, Iterable

from .utterances import SpeechData

logger = logging.getLogger(__name__)


def check_characters(data: SpeechData, unknown: Callable[[str], Iterable[str]], *, skip_bad_examples: bool) -> None:
    """Refuses transcripts that a vocabulary cannot spell; with `skip_bad_examples` it counts them in the log.

    Args:
        data: The speech.
        unknown: From a transcript to the characters that the vocabulary lacks, each once; `unknown_characters` of a
            tokenizer.
        skip_bad_examples: Whether `SpeechDataset` will leave such utterances out.

    Raises:
        ValueError: Unless `skip_bad_examples`: if there are any. It counts them by split and character.
    """
    found = []
    for split, utterances in data.splits.items():
        lacking = [set(unknown(utterance.transcript)) for utterance in utterances]
        counts = Counter(character for characters in lacking for character in characters)
        if counts:
            listed = ", ".join(f"{character!r} in {count}" for character, count in counts.most_common(20))
            found.append(f"{listed} ({sum(map(bool, lacking))} of {len(lacking)} utterances of split {split!r})")
    if found and skip_bad_examples:
        logger.warning("left out for characters that the vocabulary lacks: %s", "; ".join(found))
    elif found:
        raise ValueError(
            f"transcripts must use characters of the vocabulary only, got {'; '.join(found)}; take a text_normalizer "
            "that changes them ('basic' takes punctuation out), characters that hold them all, or skip_bad_examples to "
            "leave these utterances out"
        )
