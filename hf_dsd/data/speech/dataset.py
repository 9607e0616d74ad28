"""Speech as training reads it: the torch Dataset of model inputs and labels."""

import logging
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from hf_dsd.data.epoch import SharedEpoch
from hf_dsd.data.splits import check_seed

from .audio import BadUtteranceError, Samples, resampled_length
from .labels import Encode, required_frames
from .utterances import SpeechData, Utterance, report_skipped

logger = logging.getLogger(__name__)

Extract = Callable[[Samples, int], Tensor]
"""From samples and their rate in Hz to model input: (frames, bins) or (samples,) float, without a batch dimension."""

Augment = Callable[[Tensor, torch.Generator], Tensor]
"""From an utterance's model input to a changed copy, drawing from the generator only."""


class SpeechDataset(Dataset[dict[str, Any]]):
    """One row per utterance: `{input_name: model input, "labels": list[int]}`, in the order of the split.

    Transcripts are encoded and checked once, here; audio is decoded when a row is asked for, or here with `precompute`.

    With `augment`, a row changes from epoch to epoch: the draw depends on `seed`, the epoch and the row only, so a
    resumed run sees what the unbroken run would have seen, with any number of worker processes, persistent or not.
    `set_epoch` must be
    called at the start of every epoch; `LengthGroupedSampler` does, with another order do it in a callback's
    `on_epoch_begin`.

    Args:
        data: The speech.
        encode: Raw transcript -> label ids, ValueError for what it cannot encode; `encode_transcript` of a tokenizer.
        extract: Samples and sampling rate -> model input.
        output_length: Number of samples -> frames that the model puts out, to refuse transcripts that CTC cannot align
            (their loss would be infinite, or silently 0). None leaves the check out.
        split: Split to read.
        input_name: The row's key for the model input.
        precompute: Whether to extract everything here and keep it in memory; by default at every access.
        augment: Changes the model input of a row; give it to the training set only. See `SpecAugment`.
        seed: Of the augmentation, at least 0.
        skip_bad_examples: Whether to leave out utterances that cannot be used, and log them, instead of raising.

    Attributes:
        utterances: Of each row.
        skipped: Name -> why, for every utterance of the split that was left out, in loading or here.

    Raises:
        BadUtteranceError: Unless `skip_bad_examples`: if a transcript has no label, a character outside the vocabulary,
            or more labels than CTC can align; with `precompute`, if audio cannot be decoded. Without `precompute`,
            indexing raises it.
        ValueError: If the split is missing, no utterance is left, or `seed` is negative.
    """

    def __init__(
        self,
        data: SpeechData,
        encode: Encode,
        extract: Extract,
        *,
        output_length: Callable[[int], int] | None,
        split: str = "train",
        input_name: str = "input_features",
        precompute: bool = False,
        augment: Augment | None = None,
        seed: int = 0,
        skip_bad_examples: bool = False,
    ) -> None:
        check_seed(seed)
        self._data, self._extract, self._augment = data, extract, augment
        self._input_name, self._seed, self._epoch = input_name, seed, SharedEpoch()
        self.utterances: list[Utterance] = []
        left_out: dict[str, str] = {}
        self._labels: list[list[int]] = []
        self._inputs: list[Tensor] | None = [] if precompute else None
        for utterance in data.split(split):
            try:
                self._add(utterance, encode, output_length)
            except BadUtteranceError as error:
                if not skip_bad_examples:
                    raise
                left_out[utterance.name] = error.problem
        report_skipped(left_out, len(data.split(split)), f"split {split!r}")
        self.skipped = {**data.skipped.get(split, {}), **left_out}
        if not self.utterances:
            raise ValueError(f"split {split!r} must have an utterance that can be used, got none; see the log for why")

    def _add(self, utterance: Utterance, encode: Encode, output_length: Callable[[int], int] | None) -> None:
        labels = _encode_utterance(utterance, encode)
        if output_length is not None:
            samples = resampled_length(utterance.header, self._data.sampling_rate)
            _check_alignable(utterance, labels, output_length(samples))
        if self._inputs is not None:
            self._inputs.append(self._read(utterance))
        self.utterances.append(utterance)
        self._labels.append(labels)

    def _read(self, utterance: Utterance) -> Tensor:
        samples = self._data.samples(utterance)
        try:
            inputs = self._extract(samples, self._data.sampling_rate)
        except (RuntimeError, ValueError) as error:  # what torch raises for audio shorter than a window
            raise BadUtteranceError(
                f"{utterance.name}: extract must take {utterance.seconds:.3f} s of audio, got {error}; pad it"
            ) from error
        if inputs.ndim not in (1, 2) or len(inputs) == 0 or not inputs.isfinite().all():
            raise BadUtteranceError(
                f"{utterance.name}: extract must give finite (frames, bins) or (samples,), at least one, got "
                f"{tuple(inputs.shape)} from {utterance.seconds:.2f} s; pad short audio and guard logarithms in extract"
            )
        return inputs

    def set_epoch(self, epoch: int) -> None:
        """Chooses the epoch whose augmentation the rows show.

        Args:
            epoch: At least 0.
        """
        self._epoch.number = epoch

    @property
    def speakers(self) -> list[str] | None:
        """Who speaks in each row; None unless the data says it of all of them, with a warning if it does of some."""
        speakers = [utterance.speaker for utterance in self.utterances if utterance.speaker is not None]
        if len(speakers) == len(self.utterances):
            return speakers
        if speakers:
            unnamed = next(utterance.name for utterance in self.utterances if utterance.speaker is None)
            logger.warning(
                "%d of %d utterances name their speaker, %s does not: intervals draw utterances, which are too narrow "
                "for other speakers; name the others",
                *(len(speakers), len(self.utterances), unnamed),
            )
        return None

    @property
    def lengths(self) -> list[int]:
        """Samples of each row's audio; for batches of like length."""
        return [resampled_length(utterance.header, self._data.sampling_rate) for utterance in self.utterances]

    def __len__(self) -> int:
        return len(self.utterances)

    def __getitem__(self, index: int) -> dict[str, Any]:
        inputs = self._inputs[index] if self._inputs is not None else self._read(self.utterances[index])
        if self._augment is not None:
            row = range(len(self))[index]  # -1 is the last row's draw
            (draw,) = np.random.SeedSequence((self._seed, self._epoch.number, row)).generate_state(1)
            inputs = self._augment(inputs, torch.Generator().manual_seed(int(draw)))
        return {self._input_name: inputs, "labels": self._labels[index]}


def _encode_utterance(utterance: Utterance, encode: Encode) -> list[int]:
    try:
        labels = encode(utterance.transcript)
    except ValueError as error:
        raise BadUtteranceError(f"{utterance.name}: {error}") from error
    if not labels:
        raise BadUtteranceError(
            f"{utterance.name}: transcript must have at least one label, got none from {utterance.transcript!r:.80}; "
            "correct it"
        )
    return labels


def _check_alignable(utterance: Utterance, labels: Sequence[int], frames: int) -> None:
    required = required_frames(labels)
    if frames < required:
        raise BadUtteranceError(
            f"{utterance.name}: transcript must fit its audio, got {len(labels)} labels, {required} frames by CTC, for "
            f"{frames} output frames from {utterance.seconds:.2f} s; check that they belong together, or use a model "
            "with less subsampling in time"
        )
