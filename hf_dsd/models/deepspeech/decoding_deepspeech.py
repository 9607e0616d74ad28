"""From scores per frame to symbols: greedy collapse, and prefix beam search with an optional language model.

A path gives every frame a symbol or the blank. It spells the transcript that is left after runs of equal symbols are
merged and blanks dropped. Greedy search takes the best path; prefix beam search adds up all paths of each transcript
that it keeps.
"""

import heapq
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from torch import Tensor

_IMPOSSIBLE = -math.inf
Prefix = tuple[int, ...]


@dataclass(frozen=True)
class Hypothesis:
    """One transcript that beam search found.

    Attributes:
        symbols: Its symbol ids.
        score: What it was ranked by: `log_likelihood` plus the weighted language model and the length bonus.
        log_likelihood: log P(symbols | audio), over the paths that stayed in the beam.
    """

    symbols: Prefix
    score: float
    log_likelihood: float


def decode_greedy(logits: Tensor, blank_id: int = 0) -> list[list[int]]:
    """Collapses the best path of every row, as all published numbers do ("max decoding").

    Args:
        logits: `(B, T, V)`; padded frames must score the blank, as the models' do.
        blank_id: Id of the blank, in [0, V).

    Returns:
        One list of symbol ids per row.
    """
    return [_collapse(path, blank_id) for path in logits.argmax(dim=-1).tolist()]


def decode_beam(
    logits: Tensor,
    beam_width: int = 32,
    *,
    blank_id: int = 0,
    language_score: Callable[[Prefix], float] | None = None,
    final_score: Callable[[Prefix], float] | None = None,
    min_log_probability: float = -12.0,
) -> list[Hypothesis]:
    """Finds the transcripts of one row with the best scores, by prefix beam search.

    Args:
        logits: `(T, V)`, scores or log-probabilities of one row.
        beam_width: Transcripts kept after every frame, >= 1.
        blank_id: Id of the blank, in [0, V).
        language_score: Adds to a prefix's score while the search runs; called once per prefix. None adds nothing.
        final_score: The same for whole transcripts, at the end; None means `language_score`.
        min_log_probability: In a frame, symbols below this log-probability start nothing new. -inf considers all.

    Returns:
        Up to `beam_width` hypotheses, best first.

    Raises:
        ValueError: If `beam_width` is below 1 or `logits` has another number of dimensions.

    References:
        Graves, *Sequence Transduction with Recurrent Neural Networks*, 2012; Hannun et al., *First-Pass Large
        Vocabulary Continuous Speech Recognition using Bi-Directional Recurrent DNNs*, 2014, algorithm 1.
    """
    if beam_width < 1:
        raise ValueError(f"beam_width must be >= 1, got {beam_width}; 1 keeps a single transcript")
    if logits.dim() != 2:
        raise ValueError(f"logits must have shape (frames, symbols), got {tuple(logits.shape)}; pass one row at a time")
    score = _remember(language_score)
    # Prefix -> log-probability of the paths that spell it and end in a blank, and of those that end in its last symbol.
    beam: dict[Prefix, tuple[float, float]] = {(): (0.0, _IMPOSSIBLE)}
    for frame in logits.detach().double().log_softmax(dim=-1).cpu():
        beam = _extend(beam, frame.tolist(), blank_id, min_log_probability)
        if len(beam) > beam_width:
            best = heapq.nlargest(beam_width, beam, key=lambda prefix: _add(*beam[prefix]) + score(prefix))
            beam = {prefix: beam[prefix] for prefix in best}
    final = score if final_score is None else final_score
    found = [(prefix, _add(*ends)) for prefix, ends in beam.items()]
    hypotheses = [Hypothesis(prefix, total + final(prefix), total) for prefix, total in found]
    return sorted(hypotheses, key=lambda hypothesis: -hypothesis.score)


def _collapse(path: Iterable[int], blank_id: int) -> list[int]:
    """Merges runs of equal symbols, then drops blanks."""
    symbols: list[int] = []
    last = blank_id
    for symbol in path:
        if symbol not in (last, blank_id):
            symbols.append(symbol)
        last = symbol
    return symbols


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


def _remember(function: Callable[[Prefix], float] | None) -> Callable[[Prefix], float]:
    """Caches the function's answers; None becomes zero everywhere."""
    if function is None:
        return lambda prefix: 0.0
    known: dict[Prefix, float] = {}

    def remembered(prefix: Prefix) -> float:
        if prefix not in known:
            known[prefix] = function(prefix)
        return known[prefix]

    return remembered


def _add(a: float, b: float) -> float:
    """Returns log(exp(a) + exp(b))."""
    if a < b:
        a, b = b, a
    return a if b == _IMPOSSIBLE else a + math.log1p(math.exp(b - a))


__all__ = ["Hypothesis", "decode_beam", "decode_greedy"]
