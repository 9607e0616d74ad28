"""`dsd_masks.safetensors` and `dsd_state.json`: round trip, whole writes, and no damage that goes unnoticed."""

import json
import os
import re
import struct

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from hf_dsd.engine.mask_file import META_FILE_NAME, STATE_FILE_NAME, read_state_file, write_state_file

META = {
    "version": 1,
    "phase": 1,
    "left_early": [],
    "shapes": {"lstm.weight_ih_l0": [4, 5], "h\u00e4ad": [3, 1]},
    "extra": {"best": 1 / 3, "none": None},
}
FILES = [STATE_FILE_NAME, META_FILE_NAME]
MASKS = {
    "lstm.weight_ih_l0": torch.tensor([170, 85, 240], dtype=torch.uint8),
    "h\u00e4ad": torch.tensor([160], dtype=torch.uint8),
}


def as_lists(read):
    """What a file holds, comparable with ==."""
    masks, meta = read
    return {name: mask.tolist() for name, mask in masks.items()}, {"shapes": {}, **meta}


def names_in(folder):
    return sorted(os.listdir(folder))


@pytest.mark.parametrize(
    ("masks", "meta"), [(MASKS, META), ({}, {}), ({}, META), (MASKS, {"a": [1, "x", None, True, 2.5]})], ids=str
)
def test_round_trip(tmp_path, masks, meta):
    path = write_state_file(tmp_path, masks, meta)
    assert path == tmp_path / STATE_FILE_NAME
    read = read_state_file(str(tmp_path))
    assert as_lists(read) == as_lists((masks, meta))
    assert {mask.dtype for mask in read[0].values()} <= {torch.uint8}
    assert names_in(tmp_path) == FILES


def test_the_later_file_wins(tmp_path):
    write_state_file(tmp_path, MASKS, META)
    write_state_file(tmp_path, {}, {"phase": 2})
    assert read_state_file(tmp_path) == ({}, {"phase": 2, "shapes": {}})


def test_file_is_a_bit_per_weight(tmp_path):
    masks = {"a": torch.zeros(100_000, dtype=torch.uint8)}
    assert write_state_file(tmp_path, masks, {}).stat().st_size < 100_000 + 500


class Unwritable:
    """What JSON and safetensors both refuse."""


@pytest.mark.parametrize(
    ("masks", "meta"),
    [(MASKS, {"phase": Unwritable()}), ({**MASKS, "bad": Unwritable()}, META), ({"bad": [1, 2]}, META)],
    ids=["meta", "mask", "list"],
)
def test_a_write_that_fails_leaves_the_old_file_whole(tmp_path, masks, meta):
    write_state_file(tmp_path, MASKS, META)
    before = [(tmp_path / name).read_bytes() for name in FILES]
    with pytest.raises((TypeError, AttributeError, ValueError)):
        write_state_file(tmp_path, masks, meta)
    assert [(tmp_path / name).read_bytes() for name in FILES] == before
    assert names_in(tmp_path) == FILES


def test_a_rename_that_fails_leaves_nothing_behind(tmp_path):
    (tmp_path / STATE_FILE_NAME).mkdir()
    with pytest.raises(IsADirectoryError):
        write_state_file(tmp_path, MASKS, META)
    assert names_in(tmp_path) == [STATE_FILE_NAME]


def test_a_folder_that_is_missing_is_made(tmp_path):
    path = write_state_file(tmp_path / "run" / "checkpoint-1", MASKS, META)
    assert path == tmp_path / "run" / "checkpoint-1" / STATE_FILE_NAME
    assert names_in(path.parent) == FILES


def test_missing_file_says_what_to_do(tmp_path):
    message = (
        f"{tmp_path / STATE_FILE_NAME} is missing: a DSD run cannot resume without its masks. Resume from a checkpoint "
        "that DSDTrainer wrote, or start from these weights with a first phase of length 0"
    )
    with pytest.raises(FileNotFoundError, match="^" + re.escape(message) + "$"):
        read_state_file(tmp_path)


def test_masks_without_their_state_say_what_to_do(tmp_path):
    write_state_file(tmp_path, MASKS, META)
    (tmp_path / META_FILE_NAME).unlink()
    with pytest.raises(FileNotFoundError, match=r"dsd_state\.json is missing: .*; resume from an earlier checkpoint$"):
        read_state_file(tmp_path)


def test_masks_and_state_of_different_steps_are_refused(tmp_path):
    write_state_file(tmp_path / "one", MASKS, META)
    for masks, meta in (({}, META), (MASKS, {**META, "shapes": {}})):
        path = write_state_file(tmp_path / "other", masks, meta)
        path.write_bytes((tmp_path / "one" / STATE_FILE_NAME).read_bytes())
        with pytest.raises(ValueError, match=r"dsd_state\.json is damaged \(it belongs to other masks than dsd_masks"):
            read_state_file(path.parent)


def test_the_masks_file_holds_masks_alone(tmp_path):
    with safe_open(write_state_file(tmp_path, MASKS, META), framework="pt") as file:
        metadata = file.metadata()
    assert metadata.keys() == {"format", "shapes", "digest"}
    assert json.loads(metadata["shapes"]) == META["shapes"]
    state = json.loads((tmp_path / META_FILE_NAME).read_text())
    assert (state["phase"], state["extra"]) == (META["phase"], META["extra"])
    assert "shapes" not in state


def test_foreign_safetensors_are_refused(tmp_path):
    path = tmp_path / STATE_FILE_NAME
    message = f"{path} was not written by hf_dsd: resume from a checkpoint that DSDTrainer wrote"
    for metadata in (None, {"format": "pt"}, {"dsd": "{}"}, {"digest": "0"}):
        save_file({"weight": torch.zeros(3)}, path, metadata=metadata)
        with pytest.raises(ValueError, match="^" + re.escape(message) + "$"):
            read_state_file(tmp_path)


def accepted(path, content):
    """What is read where a file of the state has these bytes, or None if it is refused as damaged or foreign."""
    path.write_bytes(content)
    try:
        return read_state_file(path.parent)
    except ValueError as error:
        assert re.match(f"^{re.escape(str(path.parent))}/dsd_[a-z.]+ (is damaged|was not written by)", str(error))  # noqa: PT017
        return None


@pytest.mark.parametrize("name", FILES)
def test_no_truncation_is_accepted(tmp_path, name):
    write_state_file(tmp_path, MASKS, META)
    content = (tmp_path / name).read_bytes()
    stripped = len(content.rstrip())  # the last line end of a JSON file says nothing
    assert [n for n in range(stripped) if accepted(tmp_path / name, content[:n]) is not None] == []
    assert accepted(tmp_path / name, content + b"\0") is None


@pytest.mark.parametrize("name", FILES)
def test_no_flipped_bit_changes_what_is_read(tmp_path, name):
    write_state_file(tmp_path, MASKS, META)
    content = (tmp_path / name).read_bytes()
    for position in range(len(content)):
        for bit in {position % 8, (5 * position + 3) % 8}:
            flipped = bytearray(content)
            flipped[position] ^= 1 << bit
            read = accepted(tmp_path / name, bytes(flipped))
            if read is not None:  # such as a space in the header's padding
                assert as_lists(read) == as_lists((MASKS, META)), f"bit {bit} of byte {position}"


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [(META_FILE_NAME, b'"phase": 1', b'"phase": 2'), (STATE_FILE_NAME, b"[4, 5]", b"[5, 4]")],
)
def test_edited_metadata_is_refused(tmp_path, name, old, new):
    write_state_file(tmp_path, MASKS, META)
    content = (tmp_path / name).read_bytes()
    assert content.count(old) == 1
    (tmp_path / name).write_bytes(content.replace(old, new))
    with pytest.raises(ValueError, match=r"is damaged \(its content does not match its digest\): resume from an"):
        read_state_file(tmp_path)


@pytest.mark.parametrize("content", [b"42", b"[]", b"{}", b"null", b"\xff\xfe", b""])
def test_a_state_that_is_no_state_is_refused(tmp_path, content):
    write_state_file(tmp_path, MASKS, META)
    assert accepted(tmp_path / META_FILE_NAME, content) is None


@pytest.mark.parametrize("dtype", ["I8", "BOOL"])
def test_masks_of_another_type_are_refused(tmp_path, dtype):
    path = write_state_file(tmp_path, MASKS, META)
    content = path.read_bytes()
    size = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + size])
    for name in MASKS:
        header[name]["dtype"] = dtype
    text = json.dumps(header, ensure_ascii=False).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + content[8 + size :])
    with pytest.raises(ValueError, match=r"is damaged \(its content does not match its digest\): resume from an"):
        read_state_file(tmp_path)
