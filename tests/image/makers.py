"""Images made byte by byte where no library writes what is wanted.

All show the same picture: SIZE pixels of BLUE with a RED block in the upper left corner, so one
look at a pixel tells whether it was turned, inverted or lost.
"""

import struct
import zlib
from collections.abc import Sequence
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageOps

SIZE = (40, 30)
RED = (220, 40, 40)
BLUE = (40, 60, 200)
WHITE = (255, 255, 255)
_BLOCK = (0, 0, 16, 16)  # whole JPEG blocks, so that no colour bleeds into the corner
_ORIENTATION = 0x0112


def picture(mode: str = "RGB") -> Image.Image:
    """The picture, in a mode that Pillow converts to."""
    drawn = Image.new("RGB", SIZE, BLUE)
    drawn.paste(RED, _BLOCK)
    return drawn.convert(mode)


def grey(dtype: Any, high: float, low: float) -> NDArray[Any]:
    """The picture as one plane of numbers: `high` in the corner, `low` elsewhere."""
    plane = np.full(SIZE[::-1], low, dtype)
    plane[: _BLOCK[3], : _BLOCK[2]] = high
    return plane


def encode(image: Image.Image, form: str, **options: Any) -> bytes:
    """Save with Pillow."""
    out = BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def noise(side: int) -> Image.Image:
    """A picture that does not compress, the same each time."""
    pixels = np.random.default_rng(7).integers(0, 255, (side, side, 3), np.uint8)
    return Image.fromarray(pixels)


def frames(form: str, **options: Any) -> bytes:
    """The picture first, then two others."""
    others = [Image.new("RGB", SIZE, colour) for colour in ("green", "black")]
    return encode(picture(), form, save_all=True, append_images=others, **options)


def lying(orientation: int) -> tuple[Image.Image, Image.Exif]:
    """The picture as a camera stores it when held that way, and the EXIF that says so."""
    exif = Image.Exif()
    exif[_ORIENTATION] = {6: 8, 8: 6}.get(orientation, orientation)
    turned = picture()
    turned.info["exif"] = exif.tobytes()
    turned = ImageOps.exif_transpose(turned)
    exif[_ORIENTATION] = orientation
    return turned, exif


def see_through(mode: str) -> Image.Image:
    """BLUE under full transparency, but for the corner."""
    image = picture("RGBA")
    alpha = Image.new("L", SIZE, 0)
    alpha.paste(255, _BLOCK)
    image.putalpha(alpha)
    return image.convert(mode)


def segment(marker: int, payload: bytes) -> bytes:
    """One JPEG segment."""
    return struct.pack(">HH", marker, len(payload) + 2) + payload


def without_segment(jpeg: bytes, marker: int) -> bytes:
    """Cut the first segment of that kind out of a JPEG."""
    at = jpeg.index(struct.pack(">H", marker))
    (length,) = struct.unpack_from(">H", jpeg, at + 2)
    return jpeg[:at] + jpeg[at + 2 + length :]


def with_size(jpeg: bytes, width: int, height: int) -> bytes:
    """Write another size into the frame header of a baseline JPEG."""
    at = jpeg.index(b"\xff\xc0") + 5
    return jpeg[:at] + struct.pack(">HH", height, width) + jpeg[at + 4 :]


def twelve_bit_jpeg() -> bytes:
    """A JPEG whose frame header says twelve bits."""
    jpeg = encode(picture(), "JPEG")
    at = jpeg.index(b"\xff\xc0") + 4
    return jpeg[:at] + b"\x0c" + jpeg[at + 1 :]


def cmyk() -> Image.Image:
    """The picture as ink: no black, so that the naive conversion is exact."""
    inks = [ImageOps.invert(band) for band in picture().split()]
    return Image.merge("CMYK", (*inks, Image.new("L", SIZE, 0)))


def plain_cmyk_jpeg() -> bytes:
    """CMYK as the standard has it: not turned over, and without Adobe's mark."""
    return without_segment(encode(ImageChops.invert(cmyk()), "JPEG", quality=95), 0xFFEE)


def ycck_jpeg() -> bytes:
    """CMYK with the inks as luminance and colour, as Photoshop writes it."""
    *inks, black = cmyk().split()
    planes = Image.merge("RGB", inks).convert("YCbCr").split()
    # Pillow turns all bands over when it saves; only the black one is meant to be.
    stored = Image.merge("CMYK", (*(ImageOps.invert(plane) for plane in planes), black))
    data = encode(stored, "JPEG", quality=95)
    at = data.index(b"Adobe") + 11
    return data[:at] + b"\2" + data[at + 1 :]


def chunk(kind: bytes, payload: bytes) -> bytes:
    """One PNG chunk, with its checksum."""
    return (
        struct.pack(">I", len(payload))
        + kind
        + payload
        + struct.pack(">I", zlib.crc32(kind + payload))
    )


def png(
    planes: NDArray[Any],
    colour: int,
    *,
    before: Sequence[bytes] = (),
    after: Sequence[bytes] = (),
    size: tuple[int, int] | None = None,
) -> bytes:
    """A PNG of eight or sixteen bits with any chunks; `size` may lie."""
    height, width = planes.shape[:2]
    depth = planes.dtype.itemsize * 8
    header = struct.pack(">IIBBBBB", *(size or (width, height)), depth, colour, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(f">u{depth // 8}").tobytes() for row in planes)
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", header),
            *before,
            chunk(b"IDAT", zlib.compress(rows)),
            *after,
            chunk(b"IEND", b""),
        )
    )


def rgb_png(**options: Any) -> bytes:
    """The picture as a plain PNG with any chunks."""
    return png(np.asarray(picture()), 2, **options)


def interlaced_png() -> bytes:
    """The picture in the seven passes of Adam7."""
    pixels = np.asarray(picture())
    passes = ((0, 8, 0, 8), (0, 8, 4, 8), (4, 8, 0, 4), (0, 4, 2, 4), (2, 4, 0, 2), (0, 2, 1, 2))
    rows = [
        b"\0" + row.tobytes()
        for top, down, left, across in (*passes, (1, 2, 0, 1))
        for row in pixels[top::down, left::across]
    ]
    header = struct.pack(">IIBBBBB", *SIZE, 8, 2, 0, 0, 1)
    chunks = (b"IHDR", header), (b"IDAT", zlib.compress(b"".join(rows))), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*each) for each in chunks)


def bad_checksum(data: bytes, kind: bytes) -> bytes:
    """Flip a bit in the checksum of the first PNG chunk of that kind."""
    at = data.index(kind)
    (length,) = struct.unpack_from(">I", data, at - 4)
    at += 4 + length
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def bomb() -> bytes:
    """32 MB of nothing, deflated to 32 KB."""
    return zlib.compress(bytes(32 << 20), 9)


def bmp(size: tuple[int, int], bits: int, compression: int, palette: bytes, body: bytes) -> bytes:
    """A BMP with the common 40-byte header."""
    offset = 54 + len(palette)
    return (
        struct.pack("<2sIHHI", b"BM", offset + len(body), 0, 0, offset)
        + struct.pack("<IiiHHIIiiII", 40, *size, 1, bits, compression, len(body), 0, 0, 0, 0)
        + palette
        + body
    )


def rle_bmp() -> bytes:
    """The picture run-length encoded, rows from the bottom up."""
    palette = bytes([*BLUE[::-1], 0, *RED[::-1], 0]) + bytes(4 * 254)
    width, height = SIZE
    blue, split = bytes([width, 0, 0, 0]), bytes([16, 1, width - 16, 0, 0, 0])
    return bmp(SIZE, 8, 1, palette, blue * (height - 16) + split * 16 + b"\0\1")


def top_down_bmp() -> bytes:
    """The picture with its rows in reading order, which a negative height says."""
    pixels = np.ascontiguousarray(np.asarray(picture())[:, :, ::-1])
    return bmp((SIZE[0], -SIZE[1]), 24, 0, b"", pixels.tobytes())


def tiff(tags: dict[int, tuple[int, list[int]]], body: bytes) -> bytes:
    """A little-endian TIFF of one strip; each tag is (type, values)."""
    layout = {3: "<H", 4: "<I"}
    end = 8 + 2 + 12 * (len(tags) + 1) + 4
    entries, outside = [], b""
    for tag, (kind, values) in sorted({**tags, 273: (4, [0])}.items()):
        packed = b"".join(struct.pack(layout[kind], value) for value in values)
        if len(packed) > 4:
            packed, outside = struct.pack("<I", end + len(outside)), outside + packed
        entries.append(struct.pack("<HHI", tag, kind, len(values)) + packed.ljust(4, b"\0"))
    strip = struct.pack("<HHII", 273, 4, 1, end + len(outside))
    entries = [strip if entry[:2] == strip[:2] else entry for entry in entries]
    head = struct.pack("<2sHIH", b"II", 42, 8, len(entries))
    return head + b"".join(entries) + bytes(4) + outside + body


def white_0_tiff(plane: NDArray[Any]) -> bytes:
    """A 16-bit TIFF that counts up to black."""
    return tiff(_grey_tags(plane, 16, 0, plane.nbytes), (0xFFFF - plane).tobytes())


def twelve_bit_tiff(plane: NDArray[Any]) -> bytes:
    """A TIFF that packs the upper twelve bits of each grey, two in three bytes."""
    body = bytes.fromhex("".join(f"{value >> 4:03x}" for value in plane.ravel().tolist()))
    return tiff(_grey_tags(plane, 12, 1, len(body)), body)


def _grey_tags(
    plane: NDArray[Any], bits: int, photometric: int, length: int
) -> dict[int, tuple[int, list[int]]]:
    height, width = plane.shape
    size = {256: (4, [width]), 257: (4, [height]), 278: (4, [height]), 279: (4, [length])}
    return {**size, 258: (3, [bits]), 259: (3, [1]), 262: (3, [photometric]), 277: (3, [1])}


def huge_tiff() -> bytes:
    """A TIFF that claims 50,000 pixels a side."""
    tags = {256: (4, [50_000]), 257: (4, [50_000]), 258: (3, [8]), 259: (3, [1]), 262: (3, [1])}
    return tiff({**tags, 278: (4, [50_000]), 279: (4, [100])}, bytes(100))


def huge_gif(canvas: int, frame: int) -> bytes:
    """A GIF of a few bytes that claims to be that large, and wants its frame wiped after."""
    screen = b"GIF89a" + struct.pack("<HHBBB", canvas, canvas, 0x80, 0, 0) + bytes(6)
    control = b"\x21\xf9\x04\x08\0\0\0\0"
    image = b"," + struct.pack("<HHHHB", 0, 0, frame, frame, 0) + b"\2\2\x44\1\0"
    return screen + control + image + b";"


def riff(*chunks: tuple[bytes, bytes]) -> bytes:
    """A WebP of these chunks."""
    body = b"".join(
        kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) & 1)
        for kind, data in chunks
    )
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def huge_webp() -> bytes:
    """A WebP whose canvas claims 16 million pixels a side, in 30 bytes."""
    return riff((b"VP8X", bytes(4) + b"\xff" * 6))


def junk_webp() -> bytes:
    """A WebP with a sound header and nothing behind it."""
    frame = struct.pack("<BBB3sHH", 0x10, 0, 0, b"\x9d\x01\x2a", *SIZE)
    return riff((b"VP8 ", frame + b"x" * 50))
