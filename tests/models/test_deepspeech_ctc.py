import math
import re

import pytest
import torch
from deepspeech_reference import transcript_probabilities

from hf_dsd.models.deepspeech.ctc_loss import compute_ctc_loss

LOGITS = torch.randn(5, 3, 4, generator=torch.Generator().manual_seed(3))
FRAMES = (5, 4, 3)
LABELS = torch.tensor([[1, 1, 2], [3, 1, -100], [2, -100, -100]])


def expected_losses(blank: int = 0, labels: torch.Tensor = LABELS) -> list[float]:
    """Each row's negative log-likelihood, by adding up the probabilities of all of its paths."""
    losses = []
    for row, frames in enumerate(FRAMES):
        probabilities = transcript_probabilities(LOGITS[:frames, row].log_softmax(-1), blank)
        transcript = tuple(symbol for symbol in labels[row].tolist() if symbol != -100)
        losses.append(-math.log(probabilities[transcript]))
    return losses


@pytest.mark.parametrize("blank", [0, 3])
def test_sum_equals_every_path_added_up(blank):
    labels = LABELS if blank == 0 else torch.tensor([[1, 1, 2], [0, 1, -100], [2, -100, -100]])
    loss = compute_ctc_loss(LOGITS, FRAMES, labels, blank_id=blank, reduction="sum")
    assert loss.item() == pytest.approx(sum(expected_losses(blank, labels)), abs=1e-5)


def test_mean_is_per_symbol():
    loss = compute_ctc_loss(LOGITS, FRAMES, LABELS, blank_id=0)
    assert loss.item() == pytest.approx(sum(expected_losses()) / 6, abs=1e-5)


@pytest.mark.parametrize("total", [6, torch.tensor(6), torch.tensor([[6.0]])], ids=["int", "scalar", "data parallel"])
def test_micro_batches_add_up_to_the_mean(total):
    parts = [
        compute_ctc_loss(LOGITS[:, [i]], FRAMES[i : i + 1], LABELS[[i]], blank_id=0, num_items_in_batch=total)
        for i in range(3)
    ]
    assert sum(parts).item() == pytest.approx(sum(expected_losses()) / 6, abs=1e-5)


def test_sum_ignores_the_number_of_items():
    with_items = compute_ctc_loss(LOGITS, FRAMES, LABELS, blank_id=0, reduction="sum", num_items_in_batch=100)
    assert with_items.item() == pytest.approx(sum(expected_losses()), abs=1e-5)


def test_an_empty_transcript_is_all_blanks():
    loss = compute_ctc_loss(LOGITS[:, :1], (5,), torch.full((1, 2), -100), blank_id=0)
    assert loss.item() == pytest.approx(-LOGITS[:, 0].log_softmax(-1)[:, 0].sum().item(), abs=1e-5)


def test_half_precision_logits_are_scored_in_full():
    loss = compute_ctc_loss(LOGITS.bfloat16(), FRAMES, LABELS, blank_id=0)
    expected = compute_ctc_loss(LOGITS.bfloat16().float(), FRAMES, LABELS, blank_id=0)
    assert loss.dtype is torch.float32
    assert torch.equal(loss, expected)


def test_frames_just_long_enough_are_scored():
    labels = torch.tensor([[1, 1, 2]])  # 1 blank 1 2: the only path through four frames
    loss = compute_ctc_loss(LOGITS[:4, :1], (4,), labels, blank_id=0, reduction="sum")
    rows = LOGITS[:4, 0].log_softmax(-1)
    assert loss.item() == pytest.approx(-(rows[0, 1] + rows[1, 0] + rows[2, 1] + rows[3, 2]).item(), abs=1e-5)


def test_too_long_a_transcript_is_refused_by_row():
    message = (
        "labels row 1 needs 4 frames (3 symbols, 1 repeated), its audio has 3; drop the utterance, use a smaller stride"
    )
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        compute_ctc_loss(LOGITS[:, :2], (5, 3), torch.tensor([[1, 1, 2], [1, 1, 2]]), blank_id=0)


def test_zero_infinity_gives_such_a_row_no_loss_and_no_gradient():
    logits = LOGITS[:, :2].clone().requires_grad_()
    labels = torch.tensor([[1, 1, 2], [1, 1, 2]])
    loss = compute_ctc_loss(logits, (5, 3), labels, blank_id=0, reduction="sum", zero_infinity=True)
    loss.backward()
    assert loss.item() == pytest.approx(expected_losses()[0], abs=1e-5)
    assert logits.grad[:, 1].abs().max() == 0
    assert logits.grad[:, 0].abs().max() > 0


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([[1, 2], [4, 1]], "labels must be in [0, 4) and not the blank 0, got 4 in row 1; encode transcripts"),
        ([[1, 0], [2, 1]], "labels must be in [0, 4) and not the blank 0, got 0 in row 0; encode transcripts"),
        ([[1, 2], [2, -1]], "labels must be in [0, 4) and not the blank 0, got -1 in row 1; encode transcripts"),
        ([[1, 2], [-100, 1]], "labels must hold -100 only after the transcript, got it before in row 1; pad"),
        ([[1, 2]], "labels must have shape (rows of input_features=2, longest transcript), got (1, 2); pad"),
        ([1, 2], "labels must have shape (rows of input_features=2, longest transcript), got (2,); pad"),
    ],
    ids=["too large", "blank", "negative", "padding first", "rows", "dimensions"],
)
def test_bad_labels_are_refused_by_name(labels, message):
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        compute_ctc_loss(LOGITS[:, :2], (5, 3), torch.tensor(labels), blank_id=0)
