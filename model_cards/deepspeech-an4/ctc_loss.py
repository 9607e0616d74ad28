"""The CTC loss of both speech models, with every input that it cannot score refused by name.

Shape legend: T output frames, B batch, V symbols, S longest transcript.
"""

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

IGNORED_LABEL = -100


def compute_ctc_loss(
    logits: Tensor,
    frames: Sequence[int],
    labels: Tensor,
    *,
    blank_id: int,
    reduction: str = "mean",
    zero_infinity: bool = False,
    num_items_in_batch: Tensor | int | None = None,
    targets: Sequence[Sequence[int]] | None = None,
) -> Tensor:
    """Computes the negative log-likelihood of the transcripts, in nats.

    "mean" is the sum over the batch divided by its number of symbols, so that a long and a short utterance count by
    their length; torch's own "mean" averages the utterances' averages, which micro-batches could not add up to. On CUDA
    the gradient differs in the last bits from run to run: torch adds it up in no fixed order.

    Args:
        logits: `(T, B, V)`, any float type.
        frames: Valid frames of each row, in [1, T].
        labels: `(B, S)` int64 symbol ids without blanks, then -100 as padding; anything else is a ValueError.
        blank_id: Id of the blank, in [0, V).
        reduction: "mean" or "sum".
        zero_infinity: True gives rows with too few frames for their transcript a loss and a gradient of 0; False
            refuses them by a ValueError.
        num_items_in_batch: Divisor in place of this batch's symbols under "mean": the symbols of all micro-batches of
            one optimizer step. The Trainer does not divide such a loss again.
        targets: The labels without padding on the host, which spare an accelerator the look into its labels.
    """
    host = _labels_on_host(labels, targets)
    _check_labels(host, len(frames), logits.shape[-1], blank_id)
    lengths = (host != IGNORED_LABEL).sum(dim=1).tolist()
    if not zero_infinity:
        _check_alignable(host, lengths, frames)
    loss = F.ctc_loss(
        logits.float().log_softmax(dim=-1),
        labels.clamp(min=0),
        torch.tensor(frames),
        torch.tensor(lengths),
        blank=blank_id,
        reduction="sum",
        zero_infinity=zero_infinity,
    )
    if reduction == "sum":
        return loss
    items = sum(lengths) if num_items_in_batch is None else num_items_in_batch
    return loss / (items.to(loss.device).clamp(min=1) if isinstance(items, Tensor) else max(items, 1))


def _labels_on_host(labels: Tensor, targets: Sequence[Sequence[int]] | None) -> Tensor:
    """Returns the labels where they can be looked at: `(B, S)` int64 on the CPU."""
    # A replica of nn.DataParallel gets the targets of all rows, and must look at its own labels.
    if targets is None or len(targets) != len(labels) or labels.device.type == "cpu":
        return labels.cpu()
    rows = [torch.tensor(row, dtype=torch.int64) for row in targets]
    return pad_sequence(rows, batch_first=True, padding_value=IGNORED_LABEL)


def _check_labels(targets: Tensor, rows: int, vocab_size: int, blank_id: int) -> None:
    if targets.dim() != 2 or len(targets) != rows:
        raise ValueError(
            f"labels must have shape (rows of input_features={rows}, longest transcript), got {tuple(targets.shape)}; "
            "pad the transcripts with -100"
        )
    valid = targets != IGNORED_LABEL
    bad = valid & ((targets < 0) | (targets >= vocab_size) | (targets == blank_id))
    if bool(bad.any()):
        row, column = bad.nonzero()[0].tolist()
        raise ValueError(
            f"labels must be in [0, {vocab_size}) and not the blank {blank_id}, got {targets[row, column]} in row {row}"
            "; encode transcripts with the model's own tokenizer and pad them with -100"
        )
    gaps = valid[:, 1:] & ~valid[:, :-1]
    if bool(gaps.any()):
        row = gaps.nonzero()[0, 0].item()
        raise ValueError(
            f"labels must hold -100 only after the transcript, got it before in row {row}; pad on the right"
        )


def _check_alignable(targets: Tensor, lengths: list[int], frames: Sequence[int]) -> None:
    for row, (length, available) in enumerate(zip(lengths, frames, strict=True)):
        symbols = targets[row, :length].tolist()
        # One frame per symbol and, between two equal ones, a blank.
        repeats = sum(a == b for a, b in itertools.pairwise(symbols))
        needed = length + repeats
        if needed > available:
            raise ValueError(
                f"labels row {row} needs {needed} frames ({length} symbols, {repeats} repeated), its audio has "
                f"{available}; drop the utterance, use a smaller stride in time, or set ctc_zero_infinity=True in the "
                "config to give such rows no weight"
            )
