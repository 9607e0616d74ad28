import math
import re

import pytest
import torch
from deepspeech_reference import transcript_probabilities

from hf_dsd.models import decode_beam


@pytest.mark.parametrize("blank", [0, 2])
def test_a_wide_beam_finds_every_transcript_with_its_probability(blank):
    logits = 2 * torch.randn(5, 4)
    expected = transcript_probabilities(logits.log_softmax(-1), blank)
    found = decode_beam(logits, beam_width=10_000, blank_id=blank, min_log_probability=-math.inf)
    assert {h.symbols for h in found} == set(expected)
    for hypothesis in found:
        assert math.exp(hypothesis.log_likelihood) == pytest.approx(expected[hypothesis.symbols], rel=1e-5)
    scores = [h.log_likelihood for h in found]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("width", [1, 3, 8])
def test_a_narrow_beam_keeps_that_many_and_never_overrates(width):
    logits = 2 * torch.randn(6, 4)
    expected = transcript_probabilities(logits.log_softmax(-1))
    found = decode_beam(logits, beam_width=width)
    assert len(found) == width
    assert all(math.exp(h.log_likelihood) <= expected[h.symbols] * (1 + 1e-6) for h in found)


def test_a_beam_beats_the_best_path():
    """Two frames, 0.4 blank and 0.6 symbol 1 each... the best path spells nothing, most of the mass spells 1."""
    logits = torch.tensor([[0.6, 0.4], [0.6, 0.4]]).log()
    assert logits.argmax(-1).tolist() == [0, 0]
    best = decode_beam(logits, beam_width=4)[0]
    assert best.symbols == (1,)
    assert math.exp(best.log_likelihood) == pytest.approx(0.4 * 0.4 + 2 * 0.4 * 0.6, rel=1e-6)


def test_unlikely_symbols_start_nothing():
    logits = torch.tensor([[0.9, 0.099, 0.001]] * 3).log()
    found = decode_beam(logits, 100, min_log_probability=math.log(0.01))
    assert {symbol for h in found for symbol in h.symbols} == {1}


def test_padded_frames_change_no_score():
    logits = torch.randn(4, 4)
    padding = torch.tensor([[0.0, -1e4, -1e4, -1e4]] * 3)
    short, long = decode_beam(logits, 8), decode_beam(torch.cat([logits, padding]), 8)
    assert [h.symbols for h in short] == [h.symbols for h in long]
    assert [h.log_likelihood for h in short] == pytest.approx([h.log_likelihood for h in long], abs=1e-9)


@pytest.mark.parametrize(
    ("logits", "width", "message"),
    [
        (torch.zeros(3, 4), 0, "beam_width must be >= 1, got 0; 1 keeps a single transcript"),
        (torch.zeros(1, 3, 4), 5, "logits must have shape (frames, symbols), got (1, 3, 4); pass one row at a time"),
    ],
    ids=["width", "batch"],
)
def test_bad_arguments_are_refused_by_name(logits, width, message):
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        decode_beam(logits, width)
