import numpy as np
import pytest
import torch

from hf_dsd.data import SpeechCollator


def spectrogram(frames: int, value: float = 1.0) -> torch.Tensor:
    """Frames of three bins."""
    return torch.full((frames, 3), value)


def test_spectrograms_are_padded_in_time():
    batch = SpeechCollator()(
        [
            {"labels": [4, 4, 5], "input_features": spectrogram(2)},
            {"labels": [6], "input_features": spectrogram(4, 2.0)},
        ]
    )
    assert list(batch) == ["input_features", "attention_mask", "labels"]  # the Trainer reads the size from the first
    assert batch["input_features"].tolist() == [[[1.0] * 3] * 2 + [[0.0] * 3] * 2, [[2.0] * 3] * 4]
    assert batch["input_features"].dtype == torch.float32
    assert batch["attention_mask"].tolist() == [[1, 1, 0, 0], [1, 1, 1, 1]]
    assert batch["attention_mask"].dtype == torch.int64
    assert batch["labels"].tolist() == [[4, 4, 5], [6, -100, -100]]
    assert batch["labels"].dtype == torch.int64


def test_raw_audio_and_other_paddings():
    collate = SpeechCollator(input_padding=-1.0, label_pad_token_id=0, return_attention_mask=False)
    batch = collate([{"input_values": torch.ones(1), "labels": [1, 2]}, {"input_values": torch.ones(3), "labels": [3]}])
    assert list(batch) == ["input_values", "labels"]
    assert batch["input_values"].tolist() == [[1.0, -1.0, -1.0], [1.0, 1.0, 1.0]]
    assert batch["labels"].tolist() == [[1, 2], [3, 0]]


def test_lengths_stay_python_lists():
    rows = [{"labels": [4, 4, 5], "input_features": spectrogram(2)}, {"labels": [6], "input_features": spectrogram(4)}]
    batch = SpeechCollator(return_lengths=True)(rows)
    assert next(iter(batch)) == "input_features"
    assert (batch["input_lengths"], batch["targets"]) == ([2, 4], [[4, 4, 5], [6]])
    unlabelled = SpeechCollator(return_lengths=True)([{"input_features": spectrogram(3)}])
    assert list(unlabelled) == ["input_features", "attention_mask", "input_lengths"]


def test_rows_without_labels_make_a_batch_to_transcribe():
    assert list(SpeechCollator()([{"input_features": spectrogram(1)}])) == ["input_features", "attention_mask"]


@pytest.mark.parametrize("make", [list, np.array, torch.tensor], ids=["list", "numpy", "torch"])
def test_rows_of_any_dataset_format(make):
    batch = SpeechCollator()([{"input_features": make([[1.0, 2.0]]), "labels": make([3, 4])}])
    assert batch["input_features"].tolist() == [[[1.0, 2.0]]]
    assert batch["labels"].tolist() == [[3, 4]]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        pytest.param([], "rows must not be empty", id="empty"),
        pytest.param([{"labels": [1]}], r"rows must have one of .* got \['labels'\]", id="no-audio"),
        pytest.param(
            [{"input_features": spectrogram(1)}, {"input_values": torch.ones(3)}],
            r"rows must all have 'input_features' .* got \['input_values'\] in row 1",
            id="two-kinds",
        ),
        pytest.param(
            [{"input_features": spectrogram(1)}, {"input_features": torch.ones(1, 4)}],
            r"one number of bins, got \[\(3,\), \(4,\)\]",
            id="bins-differ",
        ),
        pytest.param(
            [{"input_features": spectrogram(2)[None]}],
            r"input_features of row 0 must be \(frames, bins\).* got \(1, 2, 3\); remove the row's batch dimension",
            id="batch-dimension",
        ),
        pytest.param([{"input_values": spectrogram(2)}], r"input_values of row 0 must be \(samples,\)", id="not-raw"),
        pytest.param([{"input_features": spectrogram(0)}], r"at least one, got \(0, 3\)", id="no-frame"),
        pytest.param(
            [{"input_features": spectrogram(1), "labels": [1]}, {"input_features": spectrogram(1)}],
            "labels of row 1 must be a list of ids, got None",
            id="one-without-labels",
        ),
        pytest.param([{"input_features": spectrogram(1), "labels": []}], "labels of row 0 .* got", id="no-words"),
    ],
)
def test_a_batch_that_cannot_be_trained_on_is_refused(rows, message):
    with pytest.raises(ValueError, match=message):
        SpeechCollator()(rows)
