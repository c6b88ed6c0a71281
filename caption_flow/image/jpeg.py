"""Facts of a JPEG from its segments.

Pillow reads all tables and descriptions on opening a JPEG, which takes many times what is asked
here. What is anything but plain is left to it, for it also says what is wrong.
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

_FRAMES = frozenset({0xC0, 0xC1, 0xC2})  # baseline, extended and progressive
_SCAN, _TABLES, _EXIF = 0xDA, 0xDB, 0xE1
_OTHERS = frozenset({0xC4, 0xDD, 0xFE, *range(0xE0, 0xF0)})  # say nothing that is asked here
_EXIF_HEAD = b"Exif\0\0"
_BITS, _LAYERS = 8, frozenset({1, 3, 4})
_TABLE = 65  # bytes: a number, below 16 where the rest is 64 bytes


class JpegHeader(NamedTuple):
    """What the segments of a JPEG say."""

    width: int = 0  # pixels as stored
    height: int = 0
    exif: bytes = b""


class _Odd(Exception):
    """It is not plain; it never leaves this file."""


def read_jpeg(data: bytes) -> JpegHeader | None:
    """Walk the segments up to the pixels; None where Pillow has to look."""
    header = JpegHeader()
    try:
        for kind, held in _segments(data):
            header = _with(header, kind, held)
    except (struct.error, _Odd):
        return None
    return header if min(header.width, header.height) > 0 else None


def _segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the kind of each segment before the pixels, and what it holds."""
    at = 2
    while True:
        start, kind, length = struct.unpack_from(">BBH", data, at)
        end = at + 2 + length
        if start != 0xFF or length < 2 or end > len(data):  # noqa: PLR2004 - as every one begins
            raise _Odd
        if kind == _SCAN:
            return
        yield kind, data[at + 4 : end]
        at = end


def _with(header: JpegHeader, kind: int, held: bytes) -> JpegHeader:
    if kind in _FRAMES and not header.width:
        bits, height, width, layers = struct.unpack_from(">BHHB", held)
        if bits != _BITS or layers not in _LAYERS or len(held) != 6 + 3 * layers:
            raise _Odd
        return header._replace(width=width, height=height)
    if kind == _EXIF:
        if not held.startswith(_EXIF_HEAD):
            return header
        more = held.removeprefix(_EXIF_HEAD) if header.exif else held
        return header._replace(exif=header.exif + more)
    if kind == _TABLES:
        if len(held) % _TABLE or any(number > 15 for number in held[::_TABLE]):  # noqa: PLR2004
            raise _Odd
    elif kind not in _OTHERS:
        raise _Odd
    return header
