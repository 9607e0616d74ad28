"""Image vectors of picture files, made once: kept in files that know which encoder and which pictures made them."""

import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import torch
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from transformers.utils import logging

from .pictures import check_all_read, read_picture

FOLDER = ".image_vectors"
"""In the pictures' folder; hidden, because `datasets` reads every other folder below as pictures."""

PICTURES_PER_FILE = 256
"""What a killed process loses at most: some seconds on a CPU."""


class PictureEncoder(Protocol):
    """What makes image vectors; `hf_dsd.models.ImageEncoder` is one."""

    @property
    def name(self) -> str:
        """What the files are called by."""

    @property
    def digest(self) -> str:
        """Hexadecimal; differs where the encoder makes other vectors."""

    def encode(self, pictures: Sequence[Image.Image]) -> Tensor:
        """Pictures in RGB -> `(pictures, dims)` float32 on the CPU."""


def make_image_vectors(
    paths: Sequence[Path], encoder: PictureEncoder, folder: str | Path, *, batch_size: int = 32
) -> Tensor:
    """The vector of every picture; those that were made before are read, others are made now, with a progress bar.

    A vector belongs to the bytes of a picture and to the weights of an encoder: both are hashed at every call. A
    changed picture or another encoder gets new vectors, a renamed picture keeps its own. After a kill the next call
    goes on, with the last 256 pictures at most.

    Args:
        paths: The pictures.
        encoder: Makes the vectors.
        folder: Where they are kept: in a folder of the encoder's name and digest.
        batch_size: Pictures at a time, at least 1.

    Returns:
        (pictures, dims) float32, in the order of `paths`.

    Raises:
        ValueError: If `batch_size` is out of range, a picture cannot be read or gives a vector that is not finite
            (after the others' vectors have been kept), or a file of vectors is damaged.
        OSError: If a picture is missing, or the folder cannot be written.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}; choose a larger integer")
    kept_in = _folder_of(encoder, Path(folder))
    with ThreadPoolExecutor() as threads:  # Pillow and hashlib let other threads run
        digests = list(logging.tqdm(threads.map(_file_digest, paths), "checking pictures", len(paths), unit="picture"))
        vectors = _read_vectors(kept_in, encoder.digest)
        new = {digest: path for digest, path in zip(digests, paths, strict=True) if digest not in vectors}
        if new:
            vectors |= _make(new, encoder, kept_in, batch_size, threads)
    return torch.stack([vectors[digest] for digest in digests])


def _folder_of(encoder: PictureEncoder, folder: Path) -> Path:
    """Where an encoder's vectors are, which may have had another name when they were made."""
    name, digest = re.sub(r"[^A-Za-z0-9._-]+", "_", Path(encoder.name).name), encoder.digest[:12]
    return next(iter(sorted(folder.glob(f"*-{digest}"))), folder / f"{name}-{digest}")


def _file_digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return _blake(file.read())


def _blake(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=32).digest()


def _make(
    new: dict[bytes, Path], encoder: PictureEncoder, kept_in: Path, batch_size: int, threads: ThreadPoolExecutor
) -> dict[bytes, Tensor]:
    try:
        kept_in.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"the image vectors cannot be kept in {kept_in} ({error}); pass vectors_dir") from error
    made: dict[bytes, Tensor] = {}
    damaged: list[str] = []
    with logging.tqdm(total=len(new), desc=f"image vectors ({encoder.name})", unit="picture") as bar:
        for part in _parts(list(new), PICTURES_PER_FILE):
            vectors: dict[bytes, Tensor] = {}
            for batch in _parts(part, batch_size):
                vectors |= _encode({digest: new[digest] for digest in batch}, encoder, damaged, threads)
                bar.update(len(batch))
            if vectors:
                _write_vectors(kept_in, encoder, vectors)
            made |= vectors
    check_all_read(damaged, len(new))
    return made


def _parts(digests: list[bytes], size: int) -> Iterator[list[bytes]]:
    return (digests[start : start + size] for start in range(0, len(digests), size))


def _encode(
    batch: dict[bytes, Path], encoder: PictureEncoder, damaged: list[str], threads: ThreadPoolExecutor
) -> dict[bytes, Tensor]:
    """The vectors of a batch; what is wrong with a picture is added to `damaged`."""
    read = dict(zip(batch, threads.map(_read_or_error, batch.values()), strict=True))
    damaged += [picture for picture in read.values() if isinstance(picture, str)]
    pictures = {digest: picture for digest, picture in read.items() if not isinstance(picture, str)}
    if not pictures:
        return {}
    vectors = encoder.encode(list(pictures.values()))
    finite = vectors.isfinite().all(dim=1).tolist()
    damaged += [
        f"{batch[digest]}: its vector is not finite" for digest, good in zip(pictures, finite, strict=True) if not good
    ]
    return {digest: vector for digest, vector, good in zip(pictures, vectors, finite, strict=True) if good}


def _read_or_error(path: Path) -> Image.Image | str:
    try:
        return read_picture(path)
    except ValueError as error:
        return str(error)


def _write_vectors(folder: Path, encoder: PictureEncoder, vectors: dict[bytes, Tensor]) -> None:
    """One file, named by its pictures: two processes that make the same vectors write the same file."""
    path = folder / f"{_blake(b''.join(vectors)).hex()[:32]}.safetensors"
    partial = path.with_suffix(f".{os.getpid()}.partial")
    pictures = torch.stack([torch.frombuffer(bytearray(digest), dtype=torch.uint8) for digest in vectors])
    tensors = {"vectors": torch.stack(list(vectors.values())), "pictures": pictures}
    try:
        save_file(tensors, partial, {"encoder": encoder.name, "encoder_digest": encoder.digest})
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _read_vectors(folder: Path, encoder_digest: str) -> dict[bytes, Tensor]:
    found: dict[bytes, Tensor] = {}
    for path in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(path, framework="pt") as file:
                made_by = (file.metadata() or {}).get("encoder_digest")
                vectors, pictures = file.get_tensor("vectors"), file.get_tensor("pictures")
        except SafetensorError as error:
            raise ValueError(f"{path} is damaged ({error}): remove it, and its vectors are made again") from error
        if made_by != encoder_digest:
            raise ValueError(f"{path} must be of the encoder {encoder_digest}, got {made_by}: remove it")
        found |= zip((bytes(row) for row in pictures.numpy()), vectors, strict=True)
    return found
