import numpy as np
import pytest
import torch

from hf_dsd.data import CaptionCollator


def image(value: float) -> torch.Tensor:
    """A two-dimensional image vector."""
    return torch.tensor([value, value + 0.5])


def test_training_rows():
    batch = CaptionCollator()(
        [{"labels": [5, 6, 0], "image_features": image(1)}, {"labels": [7, 0], "image_features": image(2)}]
    )
    assert list(batch) == ["image_features", "labels"]  # the Trainer reads the batch size from the first
    assert batch["image_features"].tolist() == [[1.0, 1.5], [2.0, 2.5]]
    assert batch["labels"].tolist() == [[5, 6, 0], [7, 0, -100]]
    assert batch["labels"].dtype == torch.int64


def test_evaluation_rows_map_each_caption_to_its_image():
    batch = CaptionCollator()(
        [
            {"labels": [[5, 0], [6, 7, 0]], "image_features": image(1)},
            {"labels": [[8, 0]], "image_features": image(2)},
            {"labels": [[9, 9, 9, 0], [1, 0], [2, 0]], "image_features": image(3)},
        ]
    )
    assert list(batch) == ["image_features", "labels", "image_index"]
    assert batch["image_features"].shape == (3, 2)
    assert batch["labels"].tolist() == [
        [5, 0, -100, -100],
        [6, 7, 0, -100],
        [8, 0, -100, -100],
        [9, 9, 9, 0],
        [1, 0, -100, -100],
        [2, 0, -100, -100],
    ]
    assert batch["image_index"].tolist() == [0, 0, 1, 2, 2, 2]
    assert batch["image_index"].dtype == torch.int64


def test_pixel_values_pass_through_and_may_replace_the_vectors():
    pixels = torch.ones(3, 2, 2)
    batch = CaptionCollator(label_pad_token_id=-1)(
        [{"pixel_values": pixels, "labels": [1, 0]}, {"pixel_values": 2 * pixels, "labels": [0]}]
    )
    assert list(batch) == ["pixel_values", "labels"]
    assert batch["pixel_values"].shape == (2, 3, 2, 2)
    assert batch["labels"].tolist() == [[1, 0], [0, -1]]


def test_rows_without_labels_make_a_batch_to_caption():
    assert list(CaptionCollator()([{"image_features": image(1)}])) == ["image_features"]


@pytest.mark.parametrize("make", [list, np.array, torch.tensor], ids=["list", "numpy", "torch"])
def test_rows_of_any_dataset_format(make):
    row = {"image_features": make([1.0, 2.0]), "labels": make([3, 0])}
    batch = CaptionCollator()([row])
    assert batch["image_features"].dtype == torch.float32
    assert batch["labels"].tolist() == [[3, 0]]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        pytest.param([], "rows must not be empty", id="empty"),
        pytest.param([{"labels": [1]}], r"rows must have one of .* got \['labels'\]", id="no-image"),
        pytest.param(
            [{"image_features": image(1), "labels": [1]}, {"labels": [1]}], r"got none in rows \[1\]", id="one-without"
        ),
        pytest.param(
            [{"image_features": image(1)}, {"image_features": torch.zeros(3)}],
            r"one shape in a batch, got \[\(2,\), \(3,\)\]",
            id="dims-differ",
        ),
        pytest.param(
            [{"image_features": image(1), "labels": [1]}, {"image_features": image(1), "labels": [[1]]}],
            "got both; batch them apart",
            id="mixed",
        ),
        pytest.param([{"image_features": image(1), "labels": []}], "labels of row 0 must not be empty", id="no-words"),
        pytest.param([{"image_features": image(1), "labels": [[1], []]}], "labels of row 0", id="one-caption-empty"),
        pytest.param(
            [{"image_features": image(1), "labels": [1]}, {"image_features": image(1)}], "row 1", id="no-labels"
        ),
    ],
)
def test_a_batch_that_cannot_be_trained_on_is_refused(rows, message):
    with pytest.raises(ValueError, match=message):
        CaptionCollator()(rows)
