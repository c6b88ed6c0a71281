"""Facts of a WebP from its chunks.

Opening a WebP with Pillow builds a decoder with two canvases, ten times the cost of all that is
asked here, so the feeder walks the chunks instead.
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from caption_flow.errors import BadImage


class WebpHeader(NamedTuple):
    """What the chunks of a WebP say."""

    width: int  # pixels as stored
    height: int
    frames: int
    exif: bytes


def read_webp(data: bytes) -> WebpHeader:
    """Walk the chunks; raises BadImage where they do not hold what they promise."""
    width = height = frames = 0
    exif = b""
    for kind, at, length in _chunks(data):
        if kind == b"ANMF":
            frames += 1
        elif kind == b"EXIF":
            exif = data[at : at + length]
        elif not width:
            width, height = _size(kind, data, at)
    if not width:
        raise BadImage("corrupt", "a WebP without a picture in it")
    return WebpHeader(width, height, max(1, frames), exif)


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    end = int.from_bytes(data[4:8], "little") + 8
    if end > len(data) + (end & 1):
        raise BadImage("truncated", f"the file promises {end} bytes and has {len(data)}")
    at = 12
    while at + 8 <= end:
        kind, length = struct.unpack_from("<4sI", data, at)
        yield kind, at + 8, length
        at += 8 + length + (length & 1)


def _size(kind: bytes, data: bytes, at: int) -> tuple[int, int]:
    if kind == b"VP8X":
        width = int.from_bytes(data[at + 4 : at + 7], "little") + 1
        return width, int.from_bytes(data[at + 7 : at + 10], "little") + 1
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, at + 1)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, at + 6)
        return width & 0x3FFF, height & 0x3FFF
    return 0, 0
