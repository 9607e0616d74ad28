"""Whether an audio file is whole: libsndfile reads a WAV, AIFF or MP3 file that was cut off as a shorter recording."""

import re
from collections.abc import Callable, Iterator

import soundfile

# libsndfile's log of a chunk that says it is longer than the rest of the file: "data : 32000 (should be 15956)".
_CHUNK = re.compile(r"(\w[\w ]*?) *: (\d+) \(should be (\d+)\)")
_STREAMED = 2**31 - 2**20  # what programs write that do not know the length yet, or more
_NIST_LENGTH = re.compile(rb"sample_count -i (\d+)")


def missing_part(read: Callable[[], bytes], info: "soundfile._SoundFileInfo") -> str | None:
    """What an audio file lacks.

    Args:
        read: Gives the encoded file; called only where the header does not say enough.
        info: What `soundfile.info(file, verbose=True)` says of it.

    Returns:
        How much of the file is there, in words; None if it is whole.
    """
    for chunk, stated, there in reversed(_CHUNK.findall(info.extra_info)):  # the innermost last
        # One byte less is a padding byte that many programs leave out.
        if int(stated) > int(there) + 1 and int(stated) < _STREAMED:
            return f"{there} of {stated} bytes of {chunk.strip()!r}"
    if info.format == "NIST" and (stated := _NIST_LENGTH.search(read()[:1024])):
        return f"{info.frames} of {int(stated[1])} samples" if info.frames < int(stated[1]) else None
    if info.format == "OGG":
        return None if _ogg_ends(read()) else "an Ogg stream without its last page"
    return _missing_of_mp3(read()) if info.format == "MP3" else None


def _ogg_ends(content: bytes) -> bool:
    """Whether the last page has the flag "end of stream", and all its segments (RFC 3533, section 6)."""
    page = content[content.rfind(b"OggS") :]
    if len(page) < 27 or not page[5] & 4:
        return False
    lengths = page[27 : 27 + page[26]]
    return len(page) >= 27 + page[26] + sum(lengths)


def _missing_of_mp3(content: bytes) -> str | None:
    stated, frames = _mp3_lengths(content)
    if stated is not None:
        return f"{len(frames)} of {stated} MP3 frames" if len(frames) < stated else None
    start, length = frames[-1] if frames else (0, 0)
    there = len(content) - start
    return f"{there} of {length} bytes of the last MP3 frame" if there < length else None


def with_stated_length(mp3: bytes) -> bytes:
    """An MP3 file that states its length: libsndfile guesses that of one which does not, and reads no further.

    Args:
        mp3: The encoded file.

    Returns:
        The same frames after one that counts them (Xing's header); the file itself if it has one or is cut off.
    """
    stated, frames = _mp3_lengths(mp3)
    if stated is not None or not frames or sum(frames[-1]) > len(mp3):
        return mp3
    start = frames[0][0]
    header = bytearray(mp3[start : start + 4])
    header[1] |= 1  # no check sum
    header[2] = header[2] & 0x0C | 9 << 4  # a bit rate at which the frame is long enough
    sides = (32, 17) if header[1] >> 3 & 3 == 3 else (17, 9)
    side = sides[header[3] >> 6 == 3]
    frame = bytes(header) + bytes(side) + b"Xing" + (1).to_bytes(4, "big") + len(frames).to_bytes(4, "big")
    ((_, length),) = list(_mp3_frames(frame))[:1]
    return frame.ljust(length, b"\0") + mp3[start:]


def _mp3_lengths(content: bytes) -> tuple[int | None, list[tuple[int, int]]]:
    """How many frames the file states, and those that are there, without the one that states it."""
    frames = list(_mp3_frames(content))
    first = content[frames[0][0] : sum(frames[0])] if frames else b""
    tag = next((place for name in (b"Xing", b"Info") if (place := first.find(name, 4, 44)) > 0), None)
    if first[36:40] == b"VBRI":
        number = first[50:54]
    elif tag is not None and first[tag + 7] & 1:
        number = first[tag + 8 : tag + 12]
    else:
        return None, frames
    whole = [(start, length) for start, length in frames[1:] if start + length <= len(content)]
    return int.from_bytes(number, "big"), whole


_KILOBITS = (
    (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),  # MPEG 1, layer III
    (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),  # MPEG 2 and 2.5, layer III
)
_RATES = (44_100, 48_000, 32_000)


def _mp3_frames(content: bytes) -> Iterator[tuple[int, int]]:
    """Start and length in bytes of every frame of layer III, up to what is no frame: a tag at the end.

    References:
        ISO/IEC 11172-3, section 2.4.1.3, and 13818-3.
    """
    start = 0
    if content[:3] == b"ID3":  # its length has seven bits in a byte
        start = 10 + sum(byte << (21 - 7 * place) for place, byte in enumerate(content[6:10]))
    while start + 4 <= len(content) and content[start] == 0xFF and content[start + 1] & 0xE6 == 0xE2:
        version, rate = content[start + 1] >> 3 & 3, content[start + 2] >> 2 & 3
        kilobits = content[start + 2] >> 4
        if version == 1 or rate == 3 or kilobits in (0, 15):
            return
        halvings = {3: 0, 2: 1, 0: 2}[version]  # MPEG 1, 2, 2.5
        bits = 1000 * _KILOBITS[min(halvings, 1)][kilobits]
        length = (144 if halvings == 0 else 72) * bits // (_RATES[rate] >> halvings) + (content[start + 2] >> 1 & 1)
        yield start, length
        start += length
