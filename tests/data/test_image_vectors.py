"""Vectors are made once, and never another picture's or another encoder's."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from hf_dsd.data.captions import image_vectors
from hf_dsd.data.captions.image_vectors import make_image_vectors


@dataclass
class MeanColour:
    """An encoder whose vectors can be told: the mean of red, green and blue, times a factor."""

    factor: float = 1.0
    name: str = "org/mean-colour"
    encoded: list[int] = field(default_factory=list)

    @property
    def digest(self) -> str:
        return f"{self.factor:.6f}".replace(".", "0") * 8

    def encode(self, pictures: Sequence[Image.Image]) -> Tensor:
        self.encoded.append(len(pictures))
        means = [np.asarray(picture).mean(axis=(0, 1)) for picture in pictures]
        return torch.tensor(np.stack(means), dtype=torch.float32) * self.factor


def draw(folder: Path, count: int = 5) -> list[Path]:
    """Pictures with the colours (0, 10, 20), (1, 10, 20), and so on."""
    paths = [folder / f"{number}.png" for number in range(count)]
    for number, path in enumerate(paths):
        Image.new("RGB", (3, 2), (number, 10, 20)).save(path)
    return paths


def kept(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.*"))


def test_vectors_are_made_once_and_in_the_order_of_the_pictures(tmp_path):
    paths, folder, encoder = draw(tmp_path), tmp_path / "kept", MeanColour()
    expected = [[number, 10, 20] for number in range(5)]
    assert make_image_vectors(paths, encoder, folder, batch_size=2).tolist() == expected
    assert encoder.encoded == [2, 2, 1]
    again = make_image_vectors([*reversed(paths), paths[1]], encoder, folder)
    assert again.tolist() == [*reversed(expected), expected[1]]
    assert encoder.encoded == [2, 2, 1]
    assert [path.parent.name for path in kept(folder)] == ["mean-colour-100000001000"]


def test_a_changed_picture_gets_another_vector_whatever_its_size_and_time(tmp_path):
    paths, encoder = [path.with_suffix(".bmp") for path in draw(tmp_path)], MeanColour()
    for path in paths:
        Image.open(path.with_suffix(".png")).save(path)
    make_image_vectors(paths, encoder, tmp_path / "kept")
    before = paths[2].stat()
    Image.new("RGB", (3, 2), (200, 10, 20)).save(paths[2])
    os.utime(paths[2], ns=(before.st_atime_ns, before.st_mtime_ns))
    assert paths[2].stat().st_size == before.st_size
    assert make_image_vectors(paths, encoder, tmp_path / "kept")[2].tolist() == [200, 10, 20]
    assert encoder.encoded == [5, 1]
    paths[0].rename(tmp_path / "renamed.bmp")
    assert make_image_vectors([tmp_path / "renamed.bmp"], encoder, tmp_path / "kept").tolist() == [[0, 10, 20]]
    assert encoder.encoded == [5, 1]


def test_an_encoder_by_another_name_finds_its_vectors(tmp_path):
    paths = draw(tmp_path)
    make_image_vectors(paths, MeanColour(), tmp_path / "kept")
    renamed = MeanColour(name="/somewhere/else")
    assert make_image_vectors(paths, renamed, tmp_path / "kept")[4].tolist() == [4, 10, 20]
    assert renamed.encoded == []


def test_another_encoder_makes_its_own(tmp_path):
    paths = draw(tmp_path)
    make_image_vectors(paths, MeanColour(), tmp_path / "kept")
    doubled = make_image_vectors(paths, MeanColour(2.0), tmp_path / "kept")
    assert doubled.tolist() == [[2 * number, 20, 40] for number in range(5)]
    assert len(kept(tmp_path / "kept")) == 2


class Killed(BaseException):
    """As a signal ends a process: nothing catches it."""


class KilledEncoder(MeanColour):
    def encode(self, pictures: Sequence[Image.Image]) -> Tensor:
        if len(self.encoded) == 3:
            raise Killed
        return super().encode(pictures)


def test_a_killed_call_is_gone_on_with(tmp_path, monkeypatch):
    monkeypatch.setattr(image_vectors, "PICTURES_PER_FILE", 2)
    paths, encoder = draw(tmp_path, 9), MeanColour()
    with pytest.raises(Killed):
        make_image_vectors(paths, KilledEncoder(), tmp_path / "kept", batch_size=1)
    (folder,) = (tmp_path / "kept").iterdir()
    (folder / "x.1.partial").write_bytes(b"half a file")
    assert make_image_vectors(paths, encoder, tmp_path / "kept").tolist() == [[n, 10, 20] for n in range(9)]
    assert sum(encoder.encoded) == 7  # of nine, the first file's two were kept


def test_damaged_pictures_are_named_together_after_the_others_are_kept(tmp_path):
    paths, encoder = draw(tmp_path), MeanColour()
    paths[1].write_bytes(b"no picture")
    paths[3].write_bytes(paths[3].read_bytes()[:40])
    with pytest.raises(ValueError, match="got 2 of 5 that are not: .*1.png: .*; .*3.png: .*; restore them"):
        make_image_vectors(paths, encoder, tmp_path / "kept")
    draw(tmp_path)
    assert make_image_vectors(paths, encoder, tmp_path / "kept").tolist() == [[n, 10, 20] for n in range(5)]
    assert encoder.encoded == [3, 2]


def test_a_vector_that_is_not_finite_is_refused_by_its_picture(tmp_path):
    with pytest.raises(ValueError, match="got 2 of 2 that are not: .*0.png: its vector is not finite"):
        make_image_vectors(draw(tmp_path, 2), MeanColour(factor=torch.inf), tmp_path / "kept")


def test_files_of_vectors_are_checked(tmp_path):
    paths, encoder = draw(tmp_path), MeanColour()
    make_image_vectors(paths, encoder, tmp_path / "kept")
    (file,) = kept(tmp_path / "kept")
    whole = file.read_bytes()
    file.write_bytes(whole[:-8])
    with pytest.raises(ValueError, match=f"{file.name} is damaged .*: remove it, and its vectors are made again"):
        make_image_vectors(paths, encoder, tmp_path / "kept")
    tensors = {"vectors": torch.zeros(1, 3), "pictures": torch.zeros(1, 32, dtype=torch.uint8)}
    save_file(tensors, file, {"encoder_digest": "other"})
    with pytest.raises(ValueError, match=f"{file.name} must be of the encoder {encoder.digest}, got other: remove"):
        make_image_vectors(paths, encoder, tmp_path / "kept")


def test_batch_size_is_checked(tmp_path):
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0; choose a larger integer"):
        make_image_vectors([], MeanColour(), tmp_path, batch_size=0)


def test_a_folder_that_cannot_be_written_is_named_with_the_way_out(tmp_path):
    (tmp_path / "kept").write_text("a file where the folder should be")
    with pytest.raises(OSError, match="the image vectors cannot be kept in .*kept/mean-colour.*; pass vectors_dir"):
        make_image_vectors(draw(tmp_path, 1), MeanColour(), tmp_path / "kept")
