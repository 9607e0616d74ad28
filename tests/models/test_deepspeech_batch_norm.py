import pytest
import torch

from hf_dsd.models import DeepSpeech2Config
from hf_dsd.models.deepspeech.frames import Frames, read_frames
from hf_dsd.models.deepspeech.modeling_deepspeech2 import SequenceBatchNorm

LENGTHS = (5, 2, 3)


@pytest.fixture
def norm():
    norm = SequenceBatchNorm(4, DeepSpeech2Config(batch_norm_momentum=0.25, batch_norm_eps=1e-3))
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([1.0, 2.0, -1.0, 0.5]))
        norm.bias.copy_(torch.tensor([0.0, 1.0, -1.0, 3.0]))
    return norm


@pytest.fixture
def frames():
    mask = torch.arange(5) < torch.tensor(LENGTHS)[:, None]
    return read_frames(torch.zeros(3, 5, 1), mask, 1)


@pytest.fixture
def hidden(frames):
    return torch.randn(5, 3, 4).masked_fill(~frames.mask, 1e6)


def valid_rows(hidden: torch.Tensor) -> torch.Tensor:
    return torch.cat([hidden[:length, row] for row, length in enumerate(LENGTHS)])


def test_training_statistics_are_those_of_the_valid_frames(norm, frames, hidden):
    output = norm(hidden, frames, frames.index())
    rows = valid_rows(hidden)
    mean, variance = rows.mean(0), rows.var(0, unbiased=False)
    expected = (rows - mean) / (variance + 1e-3).sqrt() * norm.weight + norm.bias
    torch.testing.assert_close(valid_rows(output), expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(norm.running_mean, 0.25 * mean)
    torch.testing.assert_close(norm.running_var, 0.75 + 0.25 * rows.var(0))


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_padding_becomes_exactly_zero(norm, frames, hidden, training):
    output = norm.train(training)(hidden, frames, frames.index())
    assert output.masked_select(~frames.mask).abs().max() == 0
    assert valid_rows(output).abs().min() > 0


def test_evaluation_uses_and_keeps_the_running_statistics(norm, frames, hidden):
    norm.running_mean.fill_(0.5)
    norm.running_var.fill_(4.0)
    output = norm.eval()(hidden, frames, None)
    expected = (valid_rows(hidden) - 0.5) / (4.0 + 1e-3) ** 0.5 * norm.weight + norm.bias
    torch.testing.assert_close(valid_rows(output), expected, atol=1e-5, rtol=0)
    assert norm.running_mean.tolist() == [0.5] * 4
    assert norm.running_var.tolist() == [4.0] * 4


@pytest.mark.parametrize(
    ("step", "lengths"), [(1, (5, 2, 3)), (2, (3, 1, 2)), (3, (2, 1, 1))], ids=["every", "second", "third"]
)
def test_strided_frames_round_up(frames, step, lengths):
    strided = frames.stride(step)
    assert strided.lengths == lengths
    expected = torch.arange(-(-5 // step))[:, None] < torch.tensor(lengths)
    assert torch.equal(strided.mask[..., 0], expected)
    assert strided.index().tolist() == expected.flatten().nonzero().flatten().tolist()


def test_frames_are_immutable():
    with pytest.raises(AttributeError, match="lengths"):
        Frames((1,), torch.ones(1, 1, 1, dtype=torch.bool)).lengths = (2,)
