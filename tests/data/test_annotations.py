"""Each reader on a small file in the real layout."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from scipy.io import savemat

from hf_dsd.data.captions.annotations import Annotation, read_annotations

# As in dataset_flickr8k.json, with the fields that are not read, too.
KARPATHY = {
    "images": [
        {
            "sentids": [0, 1],
            "imgid": 0,
            "sentences": [
                {"tokens": ["a", "dog", "runs"], "raw": "A dog runs .", "imgid": 0, "sentid": 0},
                {"tokens": ["one", "dog"], "imgid": 0, "sentid": 1},
            ],
            "split": "train",
            "filename": "1.jpg",
        },
        {"sentences": [{"raw": "Ein Kätzchen ."}], "split": "val", "filename": "2.jpg", "imgid": 1},
        {"sentences": [{"raw": "一 只 狗 。"}], "split": "test", "filename": "3.jpg", "imgid": 2},
        # As in dataset_coco.json.
        {"sentences": [{"raw": "A cat ."}], "split": "restval", "filename": "4.jpg", "filepath": "val2014"},
    ],
    "dataset": "flickr8k",
}
COCO = {
    "info": {"year": 2017},
    "licenses": [],
    "images": [
        {"license": 4, "file_name": "000000397133.jpg", "height": 427, "width": 640, "id": 397133},
        {"license": 1, "file_name": "000000037777.jpg", "height": 230, "width": 352, "id": 37777},
    ],
    "annotations": [
        {"image_id": 37777, "id": 1, "caption": "A kitchen with a window."},
        {"image_id": 397133, "id": 2, "caption": "A man cooks."},
        {"image_id": 37777, "id": 3, "caption": "An empty kitchen."},
    ],
}
FLICKR = (
    "1_a.jpg#0\tA dog runs .\r\n"
    "1_a.jpg#1\tA #1 dog , to\u2028day .\r\n"
    "2_b.jpg#0\tUn chien\x85noir .\r\n"
    "3_c.jpg#0\tA cat .\r\n"
    "9_z.jpg.1#0\tIn no list .\r\n"
)


def read(path: Path) -> list[tuple[str, str | None, list[str]]]:
    return [(found.name, found.split, found.captions) for found in read_annotations(path)]


def write(path: Path, content: Any) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8", newline="")
    return path


def write_flickr(folder: Path, **lists: str) -> Path:
    for name, content in lists.items():
        write(folder / f"Flickr_8k.{name}Images.txt", content)
    return write(folder / "Flickr8k.token.txt", FLICKR)


@pytest.mark.parametrize("indent", [None, 1], ids=["one-line", "indented"])
def test_karpathys_json(tmp_path, indent):
    path = write(tmp_path / "dataset_flickr8k.json", json.dumps(KARPATHY, indent=indent, ensure_ascii=False))
    assert read(path) == [
        ("1.jpg", "train", ["A dog runs .", "one dog"]),
        ("2.jpg", "validation", ["Ein Kätzchen ."]),
        ("3.jpg", "test", ["一 只 狗 。"]),
        ("val2014/4.jpg", "train", ["A cat ."]),
    ]


def test_flickrs_tokens_with_their_lists(tmp_path, caplog):
    path = write_flickr(tmp_path, train="1_a.jpg\r\n", dev="3_c.jpg\r\n", test="2_b.jpg")
    assert read(path) == [
        ("1_a.jpg", "train", ["A dog runs ."]),
        ("1_a.jpg", "train", ["A #1 dog , to\u2028day ."]),
        ("2_b.jpg", "test", ["Un chien\x85noir ."]),
        ("3_c.jpg", "validation", ["A cat ."]),
    ]
    assert caplog.messages == ["Flickr8k.token.txt: left out 1 picture(s) that are in no list of a split"]


def test_flickrs_tokens_alone(tmp_path):
    assert {split for _, split, _ in read(write_flickr(tmp_path))} == {None}


@pytest.mark.parametrize(
    ("name", "split"),
    [("captions_train2017.json", "train"), ("captions_val2014.json", "validation"), ("mine.json", None)],
)
def test_cocos_annotations(tmp_path, name, split):
    assert read(write(tmp_path / name, COCO)) == [
        ("000000037777.jpg", split, ["A kitchen with a window."]),
        ("000000397133.jpg", split, ["A man cooks."]),
        ("000000037777.jpg", split, ["An empty kitchen."]),
    ]


def test_cocos_images_without_a_caption_are_counted(tmp_path, caplog):
    assert len(read(write(tmp_path / "mine.json", {**COCO, "annotations": COCO["annotations"][:1]}))) == 1
    assert caplog.messages == ["mine.json: left out 1 picture(s) without a caption"]


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        pytest.param(
            "train/metadata.jsonl",
            '{"file_name": "1.png", "text": "a dog"}\n{"file_name": "2.png", "text": ["a cat", "cat"]}\n',
            [("1.png", "train", ["a dog"]), ("2.png", "train", ["a cat", "cat"])],
            id="jsonl-in-a-splits-folder",
        ),
        pytest.param(
            "metadata.csv",
            'file_name,text\ntrain/1.png,"a dog, running"\nvalidation/2.png,a cat\nx/3.png,два кота\n',
            [
                ("train/1.png", "train", ["a dog, running"]),
                ("validation/2.png", "validation", ["a cat"]),
                ("x/3.png", None, ["два кота"]),
            ],
            id="csv-at-the-root",
        ),
        pytest.param(
            "captions.jsonl",
            '{"image": "1.png", "split": "test", "captions": ["a dog", "dog"]}\n',
            [("1.png", "test", ["a dog", "dog"])],
            id="ours",
        ),
        pytest.param(
            "captions.txt",
            "image,caption\n1.jpg,A dog .\n1.jpg,One dog .\n",
            [("1.jpg", None, ["A dog ."]), ("1.jpg", None, ["One dog ."])],
            id="csv-of-flickr8k",
        ),
        pytest.param(
            "coco_karpathy_train.json",
            '[{"image": "val2014/1.jpg", "caption": "A dog", "split": "restval"}]',
            [("val2014/1.jpg", "train", ["A dog"])],
            id="json-list",
        ),
    ],
)
def test_tables(tmp_path, name, content, expected):
    assert read(write(tmp_path / name, content)) == expected


def karpathy(**changes: Any) -> dict[str, Any]:
    return {"images": [{**KARPATHY["images"][0], **changes}]}


def coco(images: Any = COCO["images"], annotations: Any = COCO["annotations"]) -> dict[str, Any]:
    return {"images": images, "annotations": annotations}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param("", "got f without a line; check the path", id="empty"),
        pytest.param("[3]", r"got f with \[3\]; check the file", id="list-of-numbers"),
        pytest.param('{"images": [', "f must be JSON, got invalid JSON (Expecting value", id="cut-off"),
        pytest.param({"a": 1}, "f entry 1 must have one of the fields ('file_name', 'image'), got ['a']", id="other"),
        pytest.param("name;text\n", "must be separated by commas, got ';'", id="semicolons"),
        pytest.param(
            karpathy(split="dev2"), "f images[0]: split must be train, restval, val or test, got 'dev2'", id="k-split"
        ),
        pytest.param(karpathy(filename=None), "f images[0]: filename must be a str, got", id="k-no-name"),
        pytest.param(
            karpathy(sentences="a dog"), "(1.jpg): sentences must be a list of objects with raw or", id="k-string"
        ),
        pytest.param(karpathy(sentences=[]), "(1.jpg): sentences must be a list of objects", id="k-no-sentence"),
        pytest.param(karpathy(sentences=[{"tokens": []}]), "(1.jpg): a sentence must have raw", id="k-no-token"),
        pytest.param(karpathy(sentences=["a dog"]), "a sentence must have raw, a str, or tokens", id="k-bare"),
        pytest.param({"images": [3]}, "f images[0]: filename must be a str, got 3", id="k-number"),
        pytest.param(coco(annotations=[{"image_id": 5, "caption": "a"}]), "image_id must be the id of one", id="c-id"),
        pytest.param(coco(annotations=[{"image_id": 37777}]), "annotations[0]: caption must be a str", id="c-none"),
        pytest.param({"images": KARPATHY["images"][:1] * 2}, "images[1]: 1.jpg must appear once", id="k-twice"),
        pytest.param(coco(images=COCO["images"][:1] * 2), "images[1]: 000000397133.jpg must appear", id="c-twice"),
        pytest.param(
            coco(images=[{"id": 1, "file_name": name} for name in "ab"]), "images[1] (b): id must be there", id="c-ids"
        ),
        pytest.param(coco(images=[{"id": [1], "file_name": "a"}]), "(a): id must be there and its own", id="c-list"),
        pytest.param(coco(annotations=3), "annotations must be a list, got 3; check the file", id="c-number"),
        pytest.param("[" * 100_000, "f must be JSON, got invalid JSON (it is nested too deeply", id="deep"),
        pytest.param(FLICKR + "5.jpg A dog", "/f line 6 must be NAME.jpg#NUMBER, a tab and", id="f-line"),
        pytest.param("\n" + FLICKR * 2, "/f line 7: 1_a.jpg#0 must appear once", id="f-twice"),
        pytest.param(
            '{"image": "1.png", "split": "test", "captions": "a dog"}',
            """captions must be a non-empty list of str, got 'a dog'; write ["a dog runs"]""",
            id="one-string",
        ),
        pytest.param('{"image": "1", "caption": "a", "text": "b"}', "got ['caption', 'text']; rename", id="two-texts"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(tmp_path, content, message):
    with pytest.raises(ValueError, match=message if message.startswith("got f with") else re.escape(message)):
        list(read_annotations(write(tmp_path / "f", content)))


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ({"train": "1_a.jpg\n", "test": "1_a.jpg\n"}, "a picture must be in one list, got '1_a.jpg' in another"),
        ({"train": "4_d.jpg\n"}, "must have a caption of every picture in its lists, got none of '4_d.jpg'"),
    ],
    ids=["two-lists", "no-caption"],
)
def test_flickrs_lists_are_checked(tmp_path, lists, message):
    with pytest.raises(ValueError, match=message):
        list(read_annotations(write_flickr(tmp_path, **lists)))


def test_a_matlab_file_is_told_from_captions(tmp_path):
    savemat(tmp_path / "vgg_feats.mat", {"feats": [[1.0]]})
    with pytest.raises(ValueError, match="got the MATLAB file vgg_feats.mat, which holds image vectors; give the"):
        read_annotations(tmp_path / "vgg_feats.mat")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="captions must be a file, got '.*no.json'; check the path"):
        read_annotations(tmp_path / "no.json")


def test_an_annotation_names_its_place(tmp_path):
    path = write(tmp_path / "metadata.csv", "file_name,text\n\n1.png,a dog\n")
    place = f"{tmp_path.name}/metadata.csv line 3"
    assert list(read_annotations(path)) == [Annotation(place, "1.png", None, ["a dog"])]
