"""Headers of Arrow's stream messages: what comes, how long it is, how many rows it has.

Arrow's own reader gives a header only together with its body, and the bodies are the images. So
the few numbers are read from the header itself; they come from strangers and are checked.
"""

import struct

from msgspec import Struct

SCHEMA, DICTIONARY, BATCH = 1, 2, 3
PREFIX = 8  # bytes before a header: a mark and its length
LONGEST = 16 << 20  # bytes of a header
_MARK = 0xFFFFFFFF
_TYPE, _HEADER, _BODY_LENGTH = 1, 2, 3  # fields of a message
_ROWS = 0  # field of a batch
_BATCHES = 3  # field of a footer
_BLOCK = 24  # bytes of what a footer says of one batch


class HeaderError(ValueError):
    """These bytes are no header of a message."""


class Header(Struct, frozen=True):
    """What a message's header says."""

    kind: int
    body: int  # bytes
    rows: int


def header_length(prefix: bytes) -> int:
    """Give the length of the header that follows; 0 at the end of the stream."""
    mark, length = struct.unpack("<Ii", prefix)
    if mark != _MARK:
        raise HeaderError("it is no Arrow stream, or one from before Arrow 0.15: write it again")
    if not 0 <= length <= LONGEST:
        raise HeaderError(f"the header of a message claims {length:,} bytes")
    return int(length)


def read_header(data: bytes) -> Header:
    """Read what is needed of a header."""
    try:
        return _read(data)
    except struct.error as exc:
        raise HeaderError(f"the header of a message is damaged: {exc}") from exc


def _read(data: bytes) -> Header:
    message = _number(data, 0, "<I")
    kind = _field(data, message, _TYPE, "<B")
    body = _field(data, message, _BODY_LENGTH, "<q")
    rows = 0
    if kind == BATCH:
        at = _place(data, message, _HEADER)
        rows = _field(data, at + _number(data, at, "<I"), _ROWS, "<q")
    if body < 0 or rows < 0:
        raise HeaderError("the header of a message is damaged: a length below zero")
    return Header(kind, body, rows)


def read_footer(data: bytes) -> list[tuple[int, int]]:
    """Give where the headers of all batches of a file are, and how long with their prefix."""
    try:
        footer = _number(data, 0, "<I")
        place = _place(data, footer, _BATCHES)
        if not place:
            return []
        blocks = place + _number(data, place, "<I")
        count = min(_number(data, blocks, "<I"), len(data) // _BLOCK)
        starts = range(blocks + 4, blocks + 4 + count * _BLOCK, _BLOCK)
        return [(_number(data, at, "<q"), _number(data, at + 8, "<i")) for at in starts]
    except struct.error as exc:
        raise HeaderError(f"its footer is damaged: {exc}") from exc


def _field(data: bytes, table: int, index: int, form: str) -> int:
    at = _place(data, table, index)
    return _number(data, at, form) if at else 0


def _place(data: bytes, table: int, index: int) -> int:
    """Find a field of a flatbuffers table; 0 where it is left at its default."""
    known = table - _number(data, table, "<i")
    entry = 4 + 2 * index
    if entry >= _number(data, known, "<H"):
        return 0
    offset = _number(data, known + entry, "<H")
    return table + offset if offset else 0


def _number(data: bytes, at: int, form: str) -> int:
    if at < 0:
        raise HeaderError("the header of a message is damaged: it points out of itself")
    return int(struct.unpack_from(form, data, at)[0])
