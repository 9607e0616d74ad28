"""The log spectrogram that both DeepSpeech models read."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import BatchFeature, SequenceFeatureExtractor

_SMALLEST_SCALE = 1e-3  # a bin that hardly changes, as in digital silence, would be all rounding errors


class DeepSpeechFeatureExtractor(SequenceFeatureExtractor):
    """Turns audio into normalised log power spectrograms `(frames, frequency bins)`, batched and padded.

    Frame t is centred on sample t * hop_length, with zeros beyond the audio's ends, as long as that sample exists: n
    samples make ceil(n / hop_length) frames. Each utterance is normalised by itself, so that neither its loudness nor
    its neighbours in the batch matter: every row equals the row alone.

    Args:
        sampling_rate: Samples per second that the audio must have, > 0.
        window_length: Samples of one Hann window and points of its Fourier transform, >= 2. 320 is 20 ms at 16 kHz and
            makes 161 bins.
        hop_length: Samples from one frame to the next, > 0. 160 is 10 ms at 16 kHz.
        log_floor: Added to the power before the logarithm, > 0. 1e-8 is about the quantisation noise of 16-bit audio.
        normalize_per_bin: True gives every frequency bin mean 0 and standard deviation 1 over the utterance, which also
            takes out the microphone's colour; False normalises the whole spectrogram at once.
        padding_value: What fills frames after an utterance's end; the models never read it.
        **kwargs: Options of every `SequenceFeatureExtractor`.
    """

    model_input_names = ["input_features", "attention_mask"]

    def __init__(
        self,
        sampling_rate: int = 16_000,
        window_length: int = 320,
        hop_length: int = 160,
        log_floor: float = 1e-8,
        normalize_per_bin: bool = True,
        padding_value: float = 0.0,
        **kwargs: Any,
    ) -> None:
        sizes = (
            ("sampling_rate", sampling_rate, 1),
            ("window_length", window_length, 2),
            ("hop_length", hop_length, 1),
        )
        for name, value, least in sizes:
            if value < least:
                raise ValueError(f"{name} must be >= {least}, got {value!r}; leave it out for DeepSpeech's own value")
        if not log_floor > 0:
            raise ValueError(f"log_floor must be > 0, got {log_floor!r}; leave it out for 1e-8")
        kwargs.pop("feature_size", None)  # comes back from a saved file; it follows from the window
        super().__init__(window_length // 2 + 1, sampling_rate, padding_value, **kwargs)
        self.window_length = window_length
        self.hop_length = hop_length
        self.log_floor = log_floor
        self.normalize_per_bin = normalize_per_bin

    def __call__(
        self, raw_speech: Any, sampling_rate: int | None = None, padding: bool | str = True, **options: Any
    ) -> BatchFeature:
        """Prepares one utterance or a batch.

        Args:
            raw_speech: One utterance `(samples,)` of floats in [-1, 1], as an array, tensor or list, or a list of
                utterances; a ValueError for one that is empty, not mono, not floating point or not finite names its
                place.
            sampling_rate: The audio's samples per second; always pass it, so that a wrong one is noticed.
            padding: As at `SequenceFeatureExtractor.pad`; True pads to the longest.
            **options: The other options of `pad`, such as `max_length`, in frames, `truncation` and `return_tensors`.

        Returns:
            `input_features` `(B, frames, bins)` float32 and `attention_mask` `(B, frames)` int32.
        """
        if sampling_rate is not None and sampling_rate != self.sampling_rate:
            raise ValueError(
                f"sampling_rate must be {self.sampling_rate}, got {sampling_rate}; resample first, e.g. "
                f"soxr.resample(audio, {sampling_rate}, {self.sampling_rate}) after pip install soxr"
            )
        batch = [_read_waveform(audio, row) for row, audio in enumerate(_split_batch(raw_speech))]
        features = BatchFeature({"input_features": [self._spectrogram(audio).numpy() for audio in batch]})
        return self.pad(features, padding=padding, **options)

    def count_frames(self, samples: int) -> int:
        """Counts the frames of an utterance of `samples` > 0 samples."""
        return -(-samples // self.hop_length)

    def _spectrogram(self, waveform: Tensor) -> Tensor:
        """Returns the normalised log power spectrogram `(frames, bins)` of one utterance `(samples,)`."""
        # The window is made anew: kept, it would have to be saved, moved and restored with the object.
        window = torch.hann_window(self.window_length)
        spectrum = torch.stft(
            waveform, self.window_length, self.hop_length, window=window, pad_mode="constant", return_complex=True
        )
        power = torch.view_as_real(spectrum).square().sum(dim=-1).t()  # (frames, bins)
        power = power[: self.count_frames(len(waveform))]  # torch adds one centred on the end itself
        features = torch.log(power + self.log_floor)
        dims = (0,) if self.normalize_per_bin else (0, 1)
        features = features - features.mean(dim=dims, keepdim=True)
        scale = features.square().mean(dim=dims, keepdim=True).sqrt()
        return features / scale.clamp(min=_SMALLEST_SCALE)


def _split_batch(raw_speech: Any) -> list[Any]:
    """Returns the utterances of a batch; one utterance alone is a batch of one."""
    if isinstance(raw_speech, list | tuple) and (not raw_speech or np.ndim(raw_speech[0]) > 0):
        if not raw_speech:
            raise ValueError("raw_speech must hold at least one utterance, got an empty list; pass audio")
        return list(raw_speech)
    return [raw_speech]


def _read_waveform(audio: Any, row: int) -> Tensor:
    """Returns one utterance as a float32 tensor `(samples,)`, checked."""
    array: NDArray[Any] = np.asarray(audio)
    if array.ndim != 1:
        raise ValueError(
            f"raw_speech must be mono, one dimension per utterance, got shape {array.shape} in row {row}; average the "
            "channels, and pass a batch as a list"
        )
    if array.size == 0:
        raise ValueError(f"raw_speech must not be empty, got 0 samples in row {row}; drop the utterance")
    if not np.issubdtype(array.dtype, np.floating):
        raise ValueError(
            f"raw_speech must be floating point in [-1, 1], got {array.dtype} in row {row}; divide 16-bit audio by "
            "32768"
        )
    waveform = torch.from_numpy(array.astype(np.float32))
    if not bool(waveform.isfinite().all()):
        raise ValueError(f"raw_speech must be finite, got NaN or infinity in row {row}; repair or drop the utterance")
    return waveform
