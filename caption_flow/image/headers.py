"""Small facts read straight from the bytes, where Pillow would do too much for them.

Pillow opens the images; these readers serve where opening sets aside memory for pixels before the
size is known (GIF), walks all frames to count them (GIF, TIFF), parses every EXIF tag for the sake
of one, or fails without saying which size it did not like.
"""

import struct
from collections.abc import Callable, Iterator
from itertools import islice

_MAX_FRAMES = 1000  # counting stops here: a hostile file can hold millions of empty frames


def orientation(exif: bytes) -> int:
    """Read the EXIF orientation, 1 to 8; 1 where there is none that makes sense."""
    exif = exif.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if order is None:
        return 1
    try:
        (at,) = struct.unpack_from(order + "I", exif, 4)
        (count,) = struct.unpack_from(order + "H", exif, at)
        for entry in range(at + 2, at + 2 + 12 * count, 12):
            tag, kind, _, value, _ = struct.unpack_from(order + "HHIHH", exif, entry)
            if tag == _ORIENTATION and kind == _SHORT:
                return value if 1 <= value <= 8 else 1  # noqa: PLR2004 - as EXIF counts them
    except struct.error:
        pass  # cut short: what cannot be read does not turn the image
    return 1


_ORIENTATION = 0x0112
_SHORT = 3


def late_exif(png: bytes) -> bytes:
    """Find an EXIF chunk behind the pixels, where Pillow looks only after decoding them."""
    at = 8
    while at + 8 <= len(png):
        length, kind = struct.unpack_from(">I4s", png, at)
        if kind == b"eXIf":
            return png[at + 8 : at + 8 + length]
        at += 12 + length
    return b""


def declared_size(form: str, data: bytes) -> tuple[int, int] | None:
    """Read the size that the header states, if it states one where we look."""
    reader = _SIZES.get(form)
    try:
        return reader(data) if reader else None
    except (struct.error, IndexError):
        return None


def _png_size(data: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from(">II", data, 16)
    return width, height


def _gif_size(data: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from("<HH", data, 6)
    return width, height


def _bmp_size(data: bytes) -> tuple[int, int]:
    (header,) = struct.unpack_from("<I", data, 14)
    width, height = struct.unpack_from("<HH" if header == _OS2_HEADER else "<ii", data, 18)
    return width, abs(height)  # negative: stored from the top down


_OS2_HEADER = 12


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    at = 2
    while data[at] == 0xFF:  # noqa: PLR2004 - every JPEG marker begins so
        marker = data[at + 1]
        if marker in _JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", data, at + 5)
            return width, height
        (length,) = struct.unpack_from(">H", data, at + 2)
        at += 2 + length
    return None


_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SIZES: dict[str, Callable[[bytes], tuple[int, int] | None]] = {
    "png": _png_size,
    "gif": _gif_size,
    "bmp": _bmp_size,
    "jpeg": _jpeg_size,
}


def gif_frames(data: bytes) -> int:
    """Count the frames without decoding; a damaged tail ends the count."""
    return max(1, sum(1 for _ in islice(_gif_images(data), _MAX_FRAMES)))


def _gif_images(data: bytes) -> Iterator[int]:
    try:
        at = 13 + _palette_bytes(data[10])
        while True:
            if data[at] == 0x2C:  # noqa: PLR2004 - an image descriptor
                yield at
                at = _after_blocks(data, at + 11 + _palette_bytes(data[at + 9]))
            elif data[at] == 0x21:  # noqa: PLR2004 - an extension
                at = _after_blocks(data, at + 2)
            else:
                return
    except IndexError:
        return


def _palette_bytes(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _after_blocks(data: bytes, at: int) -> int:
    while length := data[at]:
        at += length + 1
    return at + 1


def tiff_frames(data: bytes) -> int:
    """Count the pages by following the directory offsets."""
    return max(1, sum(1 for _ in islice(_tiff_directories(data), _MAX_FRAMES)))


def _tiff_directories(data: bytes) -> Iterator[int]:
    order = "<" if data[:2] == b"II" else ">"
    big = data[2:4] in (b"+\0", b"\0+")
    offset, count, first, entry = ("Q", "Q", 8, 20) if big else ("I", "H", 4, 12)
    seen: set[int] = set()
    try:
        (at,) = struct.unpack_from(order + offset, data, first)
        while at and at not in seen:
            seen.add(at)
            yield at
            (tags,) = struct.unpack_from(order + count, data, at)
            (at,) = struct.unpack_from(order + offset, data, at + (8 if big else 2) + tags * entry)
    except (struct.error, OverflowError):
        return
