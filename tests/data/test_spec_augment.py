import pytest
import torch

from hf_dsd.data import SpecAugment


def draw(augment: SpecAugment, frames: int, bins: int, seed: int) -> torch.Tensor:
    """Which cells of a spectrogram of ones are masked."""
    return augment(torch.ones(frames, bins), torch.Generator().manual_seed(seed)) != 1


def test_masks_are_whole_stretches_of_time_and_whole_bands():
    for seed in range(50):
        time = draw(SpecAugment(time_masks=1, frequency_masks=0), 100, 30, seed)
        assert (time == time[:, :1]).all()
        rows = time[:, 0].nonzero().flatten()
        assert len(rows) == 0 or int(rows[-1] - rows[0]) + 1 == len(rows)
        band = draw(SpecAugment(time_masks=0, frequency_masks=1), 100, 30, seed)
        assert (band == band[:1]).all()


def test_widths_are_uniform_up_to_the_limit_and_places_over_everything():
    augment = SpecAugment(time_masks=1, time_mask_frames=9, time_mask_share=1.0, frequency_masks=0)
    masks = torch.stack([draw(augment, 50, 1, seed)[:, 0] for seed in range(4000)])
    widths = masks.sum(dim=1).bincount(minlength=10)
    assert len(widths) == 10
    assert (widths - 400).abs().max() < 80  # 4 standard deviations of a binomial count
    share = masks.float().mean(dim=0)  # mean width 4.5 of 50, less at the ends, where fewer places reach
    assert share[10:40].mean() == pytest.approx(0.1, abs=0.005)
    assert 0.005 < share[0] < 0.04


def test_a_share_of_the_utterance_limits_long_masks_in_short_ones():
    augment = SpecAugment(time_masks=1, time_mask_frames=40, time_mask_share=0.2, frequency_masks=0)
    assert max(int(draw(augment, 50, 1, seed).sum()) for seed in range(200)) == 10
    assert max(int(draw(augment, 1000, 1, seed).sum()) for seed in range(400)) == 40


def test_an_utterance_of_one_frame_and_a_limit_wider_than_the_bins():
    for seed in range(20):
        assert not draw(SpecAugment(frequency_masks=0), 1, 80, seed).any()
        assert draw(SpecAugment(frequency_mask_bins=100), 10, 4, seed).shape == (10, 4)


def test_the_input_is_left_alone_and_the_same_draw_is_the_same():
    features = torch.rand(80, 20)
    before = features.clone()
    first, again, other = (SpecAugment(mask_value=-2.0)(features, torch.Generator().manual_seed(s)) for s in (1, 1, 2))
    assert torch.equal(features, before)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert set(first[first != features].tolist()) == {-2.0}


def test_nothing_is_masked_with_all_masks_off():
    assert not draw(SpecAugment(time_masks=0, frequency_masks=0), 50, 20, 0).any()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"time_masks": -1}, "time_masks must be at least 0, got -1"),
        ({"frequency_mask_bins": -2}, "frequency_mask_bins must be at least 0, got -2"),
        ({"time_mask_share": 20}, r"time_mask_share must be in \[0, 1\], got 20"),
    ],
    ids=["masks", "bins", "percent"],
)
def test_impossible_masks_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        SpecAugment(**fields)


def test_raw_audio_is_refused():
    with pytest.raises(ValueError, match=r"must be \(frames, bins\), got shape \(7,\).* leave augment out"):
        SpecAugment()(torch.ones(7), torch.Generator())
