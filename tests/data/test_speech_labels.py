import pytest
import torch

from hf_dsd.data import required_frames


@pytest.mark.parametrize(
    ("labels", "frames"), [([5], 1), ([5, 6, 5], 3), ([5, 5], 3), ([5, 5, 5, 6, 6], 8)], ids=lambda value: str(value)
)
def test_required_frames_are_where_the_ctc_loss_becomes_finite(labels, frames):
    assert required_frames(labels) == frames
    log_probs = torch.zeros(frames, 1, 8).log_softmax(-1)
    for length, finite in ((frames, True), (frames - 1, False)):
        loss = torch.nn.functional.ctc_loss(log_probs, torch.tensor([labels]), [length], [len(labels)])
        assert bool(loss.isfinite()) == finite
