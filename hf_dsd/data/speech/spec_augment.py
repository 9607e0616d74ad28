"""SpecAugment: random stretches of time and bands of frequency of a spectrogram set to its mean."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class SpecAugment:
    """Masks of a training utterance; give it to the training `SpeechDataset` as `augment`.

    A mask's width is uniform from 0 to its limit, its place uniform over the spectrogram; masks may overlap.

    Attributes:
        time_masks: Number of masked stretches of time, at least 0.
        time_mask_frames: Their limit in frames, at least 0.
        time_mask_share: Their limit as a share of the utterance, in [0, 1], so that short words survive.
        frequency_masks: Number of masked bands, at least 0.
        frequency_mask_bins: Their limit in bins, at least 0.
        mask_value: What masked cells become; 0 is the mean of features normalised per utterance.

    Raises:
        ValueError: If a field is out of its range.

    References:
        Park et al., `SpecAugment <https://arxiv.org/abs/1904.08779>`_, 2019, section 2; without time warping.
    """

    time_masks: int = 2
    time_mask_frames: int = 40
    time_mask_share: float = 0.2
    frequency_masks: int = 2
    frequency_mask_bins: int = 20
    mask_value: float = 0.0

    def __post_init__(self) -> None:
        for name in ("time_masks", "time_mask_frames", "frequency_masks", "frequency_mask_bins"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be at least 0, got {getattr(self, name)}; 0 switches it off")
        if not 0.0 <= self.time_mask_share <= 1.0:
            raise ValueError(f"time_mask_share must be in [0, 1], got {self.time_mask_share}; 0.2 is a fifth")

    def __call__(self, features: Tensor, generator: torch.Generator) -> Tensor:
        """Masks a copy.

        Args:
            features: (frames, bins) float.
            generator: All draws come from it.

        Returns:
            The copy.

        Raises:
            ValueError: If `features` is not two-dimensional.
        """
        if features.ndim != 2:
            raise ValueError(
                f"features must be (frames, bins), got shape {tuple(features.shape)}; SpecAugment needs a spectrogram, "
                "leave augment out for raw audio"
            )
        frames, bins = features.shape
        masked = features.clone()
        longest = min(self.time_mask_frames, int(self.time_mask_share * frames))
        for _ in range(self.time_masks):
            start, stop = _draw_mask(frames, longest, generator)
            masked[start:stop] = self.mask_value
        for _ in range(self.frequency_masks):
            start, stop = _draw_mask(bins, min(self.frequency_mask_bins, bins), generator)
            masked[:, start:stop] = self.mask_value
        return masked


def _draw_mask(size: int, longest: int, generator: torch.Generator) -> tuple[int, int]:
    width = int(torch.randint(longest + 1, (), generator=generator))
    start = int(torch.randint(size - width + 1, (), generator=generator))
    return start, start + width
