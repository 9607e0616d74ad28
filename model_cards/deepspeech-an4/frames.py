"""Which frames of a padded batch are valid, and what a model says about the others.

Shape legend: B batch, T frames, F features, V symbols.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

PADDED_LOGIT = -1e4  # far below any score, and within float16


@dataclass(frozen=True)
class Frames:
    """The valid frames of a batch: of each row their number, in [1, T], and a mask `(T, B, 1)`, True on them."""

    lengths: tuple[int, ...]
    mask: Tensor

    def stride(self, step: int) -> "Frames":
        """The frames that a centred window leaves when it moves `step` >= 1 frames at a time: ceil(length / step)."""
        return self if step == 1 else Frames(tuple(-(-n // step) for n in self.lengths), self.mask[::step])

    def index(self) -> Tensor:
        """`(sum of lengths,)` int64: the valid rows of a `(T, B, ...)` tensor flattened to `(T * B, ...)`."""
        # The size is known here, which spares accelerators the wait that `nonzero` would cost.
        return torch.nonzero_static(self.mask.flatten(), size=sum(self.lengths)).squeeze(1)


def read_frames(
    input_features: Tensor, attention_mask: Tensor | None, feature_size: int, input_lengths: Sequence[int] | None = None
) -> Frames:
    """Checks a batch's inputs and finds its valid frames.

    Args:
        input_features: `(B, T, F)`.
        attention_mask: `(B, T)`, nonzero on valid frames, which must come first, at least one; None for all.
        feature_size: What F must be; a ValueError otherwise, as for a mask that does not fit.
        input_lengths: Valid frames of each row, which spare an accelerator the look into the mask.
    """
    if input_features.dim() != 3 or input_features.shape[2] != feature_size:
        raise ValueError(
            f"input_features must have shape (rows, frames, feature_size={feature_size}), got "
            f"{tuple(input_features.shape)}; prepare audio with the model's own feature extractor"
        )
    rows, time = input_features.shape[:2]
    if attention_mask is None:
        return Frames((time,) * rows, torch.ones(time, rows, 1, dtype=torch.bool, device=input_features.device))
    if attention_mask.shape != (rows, time):
        raise ValueError(
            f"attention_mask must have the shape of input_features' rows and frames {(rows, time)}, got "
            f"{tuple(attention_mask.shape)}; pass both as the feature extractor returned them"
        )
    mask = attention_mask != 0
    # A replica of nn.DataParallel gets the lengths of all rows, and must count its own.
    if input_lengths is None or len(input_lengths) != rows or mask.device.type == "cpu":
        input_lengths = _count_frames(mask.cpu())
    return Frames(tuple(input_lengths), mask.t().unsqueeze(-1))  # (T, B, 1)


def _count_frames(mask: Tensor) -> list[int]:
    """Counts the valid frames of each row, and checks that they come first."""
    lengths = mask.sum(dim=1)
    expected = torch.arange(mask.shape[1]) < lengths.unsqueeze(1)
    bad = (mask != expected).any(dim=1) | (lengths == 0)
    if bool(bad.any()):
        raise ValueError(
            f"attention_mask must be ones, at least one, then zeros, got another row {int(bad.nonzero()[0])}; "
            "pad on the right and drop empty utterances"
        )
    counted: list[int] = lengths.tolist()
    return counted


def blank_padding(logits: Tensor, frames: Frames, blank_id: int) -> Tensor:
    """Makes padded frames of `(T, B, V)` score the blank: who decodes a whole row reads nothing into its padding."""
    silence = torch.full_like(logits[0, 0], PADDED_LOGIT)
    silence[blank_id] = 0
    return torch.where(frames.mask, logits, silence)
