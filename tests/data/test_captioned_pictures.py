"""A folder of pictures and files of captions, as people have them, become data to train on."""

import json
from pathlib import Path

import pytest
from PIL import Image
from test_image_vectors import MeanColour

from hf_dsd.data import load_captioned_pictures

CAPTION = "A picture ."


def draw(folder: Path, *names: str) -> None:
    """Pictures whose red is ten times their place in the list."""
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4), (10 * number, 0, 0)).save(folder / name)


def write(path: Path, *rows: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def reds(data, split):
    """Each picture of a split and its place in the list, told by its vector."""
    chosen = data.split(split)
    places = (data.features[chosen.feature_rows][:, 0] / 10).round().int().tolist()  # a JPEG's colours are rounded
    return dict(zip(chosen.images, places, strict=True))


def test_karpathys_json_with_pictures_in_a_sub_folder(tmp_path):
    draw(tmp_path / "pictures", "Flicker8k_Dataset/1.jpg", "Flicker8k_Dataset/2.jpg", "Flicker8k_Dataset/3.jpg")
    sentences = [{"raw": CAPTION}, {"raw": "Another ."}]
    images = [
        {"filename": f"{number}.jpg", "split": split, "sentences": sentences}
        for number, split in ((3, "test"), (1, "train"), (2, "val"))
    ]
    path = write(tmp_path / "dataset.json", {"images": images})
    data = load_captioned_pictures(tmp_path / "pictures", [path], MeanColour())
    assert {split: reds(data, split) for split in data.splits} == {
        "test": {"3.jpg": 2},
        "train": {"1.jpg": 0},
        "validation": {"2.jpg": 1},
    }
    assert data.split("train").captions == [[CAPTION, "Another ."]]


def test_an_imagefolder_with_one_name_in_three_splits(tmp_path):
    draw(tmp_path, "train/1.png", "validation/1.png", "test/1.png", "train/2.png")
    names = {"train": ["1.png", "2.png"], "validation": ["1.png"], "test": ["1.png"]}
    files = [
        write(tmp_path / split / "metadata.jsonl", *({"file_name": name, "text": split} for name in of_split))
        for split, of_split in names.items()
    ]
    data = load_captioned_pictures(tmp_path, files, MeanColour())
    assert reds(data, "train") == {"train/1.png": 0, "train/2.png": 3}
    assert reds(data, "test") == {"test/1.png": 2}
    assert data.split("validation").captions == [["validation"]]


def write_coco(folder: Path, split: str, *numbers: int) -> Path:
    images = [{"id": number, "file_name": f"{number:012}.jpg"} for number in numbers]
    annotations = [{"id": number, "image_id": number, "caption": CAPTION} for number in [*numbers, *numbers]]
    return write(folder / f"captions_{split}2017.json", {"images": images, "annotations": annotations})


def test_cocos_two_files_and_a_test_split_of_ones_own(tmp_path):
    names = [*(f"train2017/{number:012}.jpg" for number in range(10)), "val2017/000000000010.jpg"]
    draw(tmp_path / "coco", *names)
    files = [write_coco(tmp_path / "annotations", "train", *range(10)), write_coco(tmp_path / "annotations", "val", 10)]
    data = load_captioned_pictures(tmp_path / "coco", files, MeanColour(), shares={"test": 0.2})
    assert {split: len(data.split(split)) for split in data.splits} == {"train": 8, "validation": 1, "test": 2}
    assert reds(data, "train") | reds(data, "test") == {f"{number:012}.jpg": number for number in range(10)}
    assert reds(data, "validation") == {"000000000010.jpg": 10}
    assert data.split("validation").captions == [[CAPTION, CAPTION]]


def write_unsplit(folder: Path, count: int = 10) -> Path:
    names = [f"{number}.png" for number in range(count)]
    draw(folder, *names)
    return write(folder / "metadata.jsonl", *({"file_name": name, "text": CAPTION} for name in names))


def test_splits_are_drawn_by_a_seed(tmp_path):
    path, drawn = write_unsplit(tmp_path), {}
    for seed in (0, 0, 1):
        shares = {"validation": 0.2, "test": 0.1}
        data = load_captioned_pictures(tmp_path, [path], MeanColour(), shares=shares, split_seed=seed)
        found = {split: list(data.split(split).images) for split in ("train", "validation", "test")}
        assert {split: len(images) for split, images in found.items()} == {"train": 7, "validation": 2, "test": 1}
        assert sorted(sum(found.values(), [])) == [f"{number}.png" for number in range(10)]
        assert drawn.setdefault(seed, found) == found
    assert drawn[0] != drawn[1]


def test_a_split_can_be_done_without(tmp_path):
    path = write_unsplit(tmp_path)
    options = {"shares": {"validation": 0.01}, "required_splits": ("train", "validation")}
    data = load_captioned_pictures(tmp_path, [path], MeanColour(), **options)
    assert {split: len(data.split(split)) for split in data.splits} == {"train": 9, "validation": 1}


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ({}, "must name a validation and a test split, got \\['train'\\]; .* by validation_share and test_share"),
        ({"validation": 0.1}, "must name a test split, .* by test_share \\(0.1 is a tenth\\)"),
        ({"validation": 1.0, "test": 0.1}, "validation_share must be above 0 and below 1, got 1.0"),
        ({"validation": float("nan"), "test": 0.1}, "must be above 0 and below 1, got nan"),
        ({"validation": 0.5, "test": 0.5}, "shares must leave rows to train on, got .* of 10 rows"),
    ],
    ids=["both", "test", "one", "nan", "too-large"],
)
def test_splits_that_are_not_named_need_a_share(tmp_path, shares, message):
    encoder = MeanColour()
    with pytest.raises(ValueError, match=message):
        load_captioned_pictures(tmp_path, [write_unsplit(tmp_path)], encoder, shares=shares)
    assert encoder.encoded == []  # said before the long work


def row(name: str, split: str | None = None) -> dict[str, str]:
    return {"file_name": name, "text": CAPTION} | ({"split": split} if split else {})


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([[row("0.png", "val")]], r"must be 'train' and any of .* got \['validation'\]"),
        ([[row("0.png", "train"), row("1.png")]], r"of every picture or of none, got none of '1.png', beside \['train"),
        ([[row("0.png", "train"), row("0.png", "val")]], "'0.png' must be in one split, got validation after train"),
        ([[row("0.png", "train")], [row("0.png", "train")]], "'0.png' must be in one file, got it in .*0.jsonl, too"),
        ([[row("0.png", "train"), row("1.png", "val")]], "must name a test split"),
    ],
    ids=["no-train", "some-unnamed", "two-splits", "two-files", "no-test"],
)
def test_captions_that_contradict_themselves_are_refused(tmp_path, files, message):
    paths = [write(tmp_path / f"{number}.jsonl", *rows) for number, rows in enumerate(files)]
    with pytest.raises(ValueError, match=message):
        load_captioned_pictures(tmp_path, paths, MeanColour())


def test_a_split_that_is_there_is_not_drawn_too(tmp_path):
    rows = [row("0.png", "train"), row("1.png", "val"), row("2.png", "test")]
    path = write(tmp_path / "metadata.jsonl", *rows)
    with pytest.raises(ValueError, match="the data has a test split itself, got test_share, too; leave that out"):
        load_captioned_pictures(tmp_path, [path], MeanColour(), shares={"test": 0.1})


def test_a_seed_that_draws_nothing_is_refused(tmp_path):
    options = {"required_splits": ["train"], "split_seed": 1}
    with pytest.raises(ValueError, match="split_seed 1 draws splits, and none is drawn; leave it out"):
        load_captioned_pictures(tmp_path, [write_unsplit(tmp_path)], MeanColour(), **options)


def test_vectors_are_kept_where_they_are_asked_for(tmp_path):
    path = write_unsplit(tmp_path / "pictures")
    options = {"shares": {"validation": 0.1, "test": 0.1}}
    load_captioned_pictures(tmp_path / "pictures", [path], MeanColour(), vectors_dir=tmp_path / "kept", **options)
    assert not (tmp_path / "pictures" / ".image_vectors").exists()
    assert len(list((tmp_path / "kept").rglob("*.safetensors"))) == 1
    load_captioned_pictures(tmp_path / "pictures", [path], encoder := MeanColour(), **options)
    assert encoder.encoded == [10]
    assert len(list((tmp_path / "pictures" / ".image_vectors").rglob("*.safetensors"))) == 1
