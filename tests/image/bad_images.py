"""The files that are refused, by what they are or claim to be."""

import gzip
from collections.abc import Callable

from tests.image import makers
from tests.image.case import Maker, bad, cut, saved
from tests.image.makers import chunk, encode


def _jpeg_until(marker: bytes, more: int) -> Maker:
    def make() -> bytes:
        whole = encode(makers.noise(120), "JPEG")
        return whole[: whole.index(marker) + more]

    return make


def _dnl(jpeg: bytes) -> bytes:
    return makers.with_size(jpeg, 40, 0)


def _huge_jpeg(jpeg: bytes) -> bytes:
    return makers.with_size(jpeg, 65_000, 65_000)


def _lossless(jpeg: bytes) -> bytes:
    return jpeg.replace(b"\xff\xc0", b"\xff\xc3")


def _changed(change: Callable[[bytes], bytes]) -> Maker:
    return lambda: change(saved("JPEG")())


def _start(form: str, length: int) -> Maker:
    return lambda: saved(form)()[:length]


def _with_bomb(where: str, kind: bytes) -> Maker:
    return lambda: makers.rgb_png(**{where: [chunk(kind, b"x\0\0" + makers.bomb())]})


def _bmp_of(width: int, height: int) -> Maker:
    return lambda: makers.bmp((width, height), 24, 0, b"", b"")


def _png_of(width: int, height: int) -> Maker:
    return lambda: makers.rgb_png(size=(width, height))


def _broken_header_png() -> bytes:
    return makers.bad_checksum(makers.rgb_png(), b"IHDR")


_SCAN = b"\xff\xda"
_HUGE = "too_many_pixels"

JPEGS = (
    bad("corrupt", "feeder", "jpeg of three bytes", "3.jpg", lambda: b"\xff\xd8\xff"),
    bad("truncated", "feeder", "jpeg cut in a table", "table.jpg", _jpeg_until(b"\xff\xdb", 30)),
    bad("truncated", "feeder", "jpeg cut in its scan header", "sos.jpg", _jpeg_until(_SCAN, 8)),
    bad("truncated", "worker", "jpeg cut before its scan", "none.jpg", _jpeg_until(_SCAN, 14)),
    bad("truncated", "worker", "jpeg cut in its scan", "scan.jpg", _jpeg_until(_SCAN, 60)),
    bad("truncated", "worker", "jpeg cut in the middle", "half.jpg", cut("JPEG", 0.5)),
    bad("truncated", "worker", "jpeg one byte short", "short.jpg", cut("JPEG", 0.9999)),
    bad("truncated", "worker", "half a progressive", "p.jpg", cut("JPEG", 0.5, progressive=True)),
    bad("bad_dimensions", "feeder", "jpeg that tells its height later", "dnl.jpg", _changed(_dnl)),
    bad(_HUGE, "feeder", "jpeg of 65,000 a side", "huge.jpg", _changed(_huge_jpeg)),
    bad("corrupt", "feeder", "jpeg of 12 bits", "12.jpg", makers.twelve_bit_jpeg),
    bad("corrupt", "worker", "jpeg that says lossless", "ll.jpg", _changed(_lossless)),
)

PNGS = (
    bad("truncated", "feeder", "png cut in its head", "head.png", lambda: makers.rgb_png()[:20]),
    bad(
        "corrupt", "feeder", "png cut after its header", "after.png", lambda: makers.rgb_png()[:33]
    ),
    bad("truncated", "worker", "png cut in the middle", "half.png", cut("PNG", 0.5)),
    bad("corrupt", "feeder", "png header of a wrong sum", "crc2.png", _broken_header_png),
    bad("bad_dimensions", "feeder", "png of no width", "zero.png", _png_of(0, 30)),
    bad(_HUGE, "feeder", "png of 50,000 a side", "huge.png", _png_of(50_000, 50_000)),
    bad("corrupt", "feeder", "png, its profile a bomb", "iccp.png", _with_bomb("before", b"iCCP")),
    bad("corrupt", "feeder", "png, its text a bomb", "ztxt.png", _with_bomb("before", b"zTXt")),
    bad("corrupt", "worker", "png, a bomb behind", "behind.png", _with_bomb("after", b"zTXt")),
)

GIFS = (
    bad("corrupt", "feeder", "gif cut in its header", "head.gif", _start("GIF", 20)),
    bad("truncated", "worker", "gif cut in the middle", "half.gif", cut("GIF", 0.5)),
    bad(_HUGE, "feeder", "gif of a huge canvas", "g.gif", lambda: makers.huge_gif(65_535, 10)),
    bad(_HUGE, "feeder", "gif of a huge frame", "f.gif", lambda: makers.huge_gif(10, 65_535)),
    bad("bad_dimensions", "feeder", "gif of no size", "0.gif", lambda: makers.huge_gif(0, 0)),
)

WEBPS = (
    bad("truncated", "feeder", "webp cut in the middle", "half.webp", cut("WEBP", 0.5)),
    bad(_HUGE, "feeder", "webp of a huge canvas", "huge.webp", makers.huge_webp),
    bad("corrupt", "feeder", "webp of no picture", "0.webp", lambda: makers.riff((b"EXIF", b"x"))),
    bad("corrupt", "worker", "webp of junk", "junk.webp", makers.junk_webp),
)

BMPS = (
    bad("truncated", "worker", "bmp cut in the middle", "half.bmp", cut("BMP", 0.5)),
    bad("bad_dimensions", "feeder", "bmp of negative width", "minus.bmp", _bmp_of(-40, 30)),
    bad(_HUGE, "feeder", "bmp of 50,000 a side", "huge.bmp", _bmp_of(50_000, 50_000)),
)

TIFFS = (
    bad("corrupt", "feeder", "tiff cut in its header", "head.tif", _start("TIFF", 12)),
    bad("truncated", "worker", "tiff cut in the middle", "half.tif", cut("TIFF", 0.5)),
    bad(_HUGE, "feeder", "tiff of 50,000 a side", "huge.tif", makers.huge_tiff),
)

AVIFS = (
    bad("truncated", "feeder", "avif cut in its header", "head.avif", _start("AVIF", 40)),
    bad("truncated", "worker", "avif one byte short", "short.avif", _start("AVIF", -1)),
)

_NOT_IMAGES = {
    "one": b"\xff",
    "noise": b"\xc1Xk\xd6" + bytes(range(128, 255)),
    "page": b"\n<!DOCTYPE html><html>404 Not Found",
    "json": b'{"error": "no such image"}',
    "xml": b"<?xml version='1.0'?><Error>denied</Error>",
    "text": "Zugriff für Sie verweigert".encode(),
    "text that begins like a bmp": b"BM is short for bitmap.",
    "git lfs pointer": b"version https://git-lfs.github.com/spec/v1\n",
    "gzip": gzip.compress(b"x"),
    "zip": b"PK\3\4" + bytes(26),
    "mp4": b"\0\0\0\x18ftypisom\0\0\2\0isomiso2",
    "wav": b"RIFF\x24\0\0\0WAVEfmt ",
}
_OTHER_FORMATS = {
    "heic": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
    "pdf": b"%PDF-1.7\n",
    "svg": b'<?xml version="1.0"?><svg width="9">',
    "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n",
    "ico": saved("ICO")(),
    "pnm": saved("PPM")(),
    "jpeg 2000": saved("JPEG2000")(),
    "photoshop": b"8BPS\0\1",
}


def _always(data: bytes) -> Maker:
    return lambda: data


OTHERS = (
    bad("empty", "feeder", "nothing", "empty.jpg", lambda: b""),
    *(
        bad("not_an_image", "feeder", name, f"{name}.jpg", _always(data))
        for name, data in _NOT_IMAGES.items()
    ),
    *(
        bad("unsupported_format", "feeder", name, f"{name}.jpg", _always(data))
        for name, data in _OTHER_FORMATS.items()
    ),
)
