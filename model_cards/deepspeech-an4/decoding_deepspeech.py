"""From scores per frame to symbols by prefix beam search.

A path gives every frame a symbol or the blank. It spells the transcript that is left after runs of equal symbols are
merged and blanks dropped. Greedy search, the tokenizer's own `decode`, takes the best path; prefix beam search adds up
all paths of each transcript that it keeps.
"""

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

_IMPOSSIBLE = -math.inf
Prefix = tuple[int, ...]


@dataclass(frozen=True)
class Hypothesis:
    """A transcript that beam search found: symbol ids, and log P(symbols | audio) over the paths in the beam."""

    symbols: Prefix
    log_likelihood: float


def decode_beam(
    logits: Tensor, beam_width: int = 32, *, blank_id: int = 0, min_log_probability: float = -12.0
) -> list[Hypothesis]:
    """Finds the likeliest transcripts of one row, by prefix beam search.

    Args:
        logits: `(T, V)`, scores or log-probabilities of one row; a ValueError for another number of dimensions.
        beam_width: Transcripts kept after every frame, >= 1; so many hypotheses at most come back, best first.
        blank_id: Id of the blank, in [0, V).
        min_log_probability: In a frame, symbols below this log-probability start nothing new. -inf considers all.

    References:
        Graves, *Sequence Transduction with Recurrent Neural Networks*, 2012; Hannun et al., *First-Pass Large
        Vocabulary Continuous Speech Recognition using Bi-Directional Recurrent DNNs*, 2014, algorithm 1.
    """
    if beam_width < 1:
        raise ValueError(f"beam_width must be >= 1, got {beam_width}; 1 keeps a single transcript")
    if logits.dim() != 2:
        raise ValueError(f"logits must have shape (frames, symbols), got {tuple(logits.shape)}; pass one row at a time")
    # Prefix -> log-probability of the paths that spell it and end in a blank, and of those that end in its last symbol.
    beam: dict[Prefix, tuple[float, float]] = {(): (0.0, _IMPOSSIBLE)}
    for frame in logits.detach().double().log_softmax(dim=-1).cpu():
        beam = _extend(beam, frame.tolist(), blank_id, min_log_probability)
        if len(beam) > beam_width:
            beam = dict(heapq.nlargest(beam_width, beam.items(), key=lambda item: _add(*item[1])))
    hypotheses = [Hypothesis(prefix, _add(*ends)) for prefix, ends in beam.items()]
    return sorted(hypotheses, key=lambda hypothesis: -hypothesis.log_likelihood)


def _extend(
    beam: dict[Prefix, tuple[float, float]], frame: Sequence[float], blank_id: int, floor: float
) -> dict[Prefix, tuple[float, float]]:
    """Moves every prefix one frame on: it stays (blank, or its last symbol again) or grows by one symbol."""
    grown: dict[Prefix, list[float]] = {}
    candidates = [(s, p) for s, p in enumerate(frame) if s != blank_id and p >= floor]
    for prefix, (blank_end, symbol_end) in beam.items():
        total = _add(blank_end, symbol_end)
        ends = grown.setdefault(prefix, [_IMPOSSIBLE, _IMPOSSIBLE])
        ends[0] = _add(ends[0], total + frame[blank_id])
        if prefix:
            ends[1] = _add(ends[1], symbol_end + frame[prefix[-1]])
        for symbol, log_probability in candidates:
            # After the same symbol only a path that ends in a blank can start a new one.
            start = blank_end if prefix and prefix[-1] == symbol else total
            if start > _IMPOSSIBLE:
                ends = grown.setdefault((*prefix, symbol), [_IMPOSSIBLE, _IMPOSSIBLE])
                ends[1] = _add(ends[1], start + log_probability)
    return {prefix: (ends[0], ends[1]) for prefix, ends in grown.items()}


def _add(a: float, b: float) -> float:
    """Returns log(exp(a) + exp(b))."""
    if a < b:
        a, b = b, a
    return a if b == _IMPOSSIBLE else a + math.log1p(math.exp(b - a))
