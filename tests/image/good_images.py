"""The images that are captioned, by format."""

from typing import Any

import numpy as np
from PIL import Image

from tests.image import makers
from tests.image.case import Maker, good, saved, turned
from tests.image.makers import BLUE, RED, SIZE, WHITE, chunk, encode, picture


def _plain(image: Image.Image, form: str, **options: Any) -> Maker:
    return lambda: encode(image, form, **options)


def _grey_tiff(dtype: Any, high: float, low: float) -> Maker:
    return _plain(Image.fromarray(makers.grey(dtype, high, low)), "TIFF")


def _late_exif_png() -> bytes:
    stored, exif = makers.lying(6)
    return makers.png(np.asarray(stored), 2, after=[chunk(b"eXIf", exif.tobytes()[6:])])


def _key_grey_png() -> bytes:
    ground = picture("L").getpixel((SIZE[0] - 1, SIZE[1] - 1))
    return encode(picture("L"), "PNG", transparency=ground)


def _key_16_bit_png() -> bytes:
    return makers.png(_DEEP_GREY, 0, before=[chunk(b"tRNS", b"\x20\x00")])


def _lab() -> Image.Image:
    planes = [Image.new("L", SIZE, level) for level in (121, 195, 173)]
    return Image.merge("LAB", planes)


def _sixteen(image: Image.Image, colour: int) -> Maker:
    return lambda: makers.png(np.asarray(image).astype(np.uint16) * 257, colour)


_GREY = (94, 94, 94)  # RED without its colour
_COLUMN = Image.new("RGB", (1, 5000), RED)
_BLACK = (0, 0, 0)
_CLEAR = makers.see_through("RGBA")
_CLEAR_GREY = makers.see_through("LA")
_ONE_BIT = picture().getchannel("R").point(lambda level: 255 * (level > 100)).convert("1")
_TWO_BIT: dict[str, Any] = {"colour": WHITE, "ground": _BLACK}
_GREY_ON_WHITE: dict[str, Any] = {"colour": _GREY, "ground": WHITE}
_DEEP_GREY = makers.grey("<u2", 0xC000, 0x2000)
_DEEP: dict[str, Any] = {"colour": (191, 191, 191), "ground": (32, 32, 32)}  # the upper byte
_DEEP_ON_WHITE: dict[str, Any] = {**_DEEP, "ground": WHITE}

JPEGS = (
    good("jpeg", "a.jpg", saved("JPEG", quality=95), ground=BLUE),
    good("jpeg progressive", "a.jpeg", saved("JPEG", quality=95, progressive=True)),
    good("jpeg grey", "grey.jpg", saved("JPEG", "L"), colour=_GREY),
    good("jpeg cmyk of adobe", "adobe.jpg", _plain(makers.cmyk(), "JPEG"), ground=BLUE),
    good("jpeg cmyk", "cmyk.jpg", makers.plain_cmyk_jpeg, ground=BLUE),
    good("jpeg ycck", "ycck.jpg", makers.ycck_jpeg, ground=BLUE),
    good("jpeg with garbage behind", "b.jpg", lambda: saved("JPEG")() + b"garbage" * 100),
    good("jpeg named png", "wrong.png", saved("JPEG")),
    good("jpeg of one column", "1x5000.jpg", _plain(_COLUMN, "JPEG"), size=_COLUMN.size),
    *(good(f"jpeg turned {way}", f"turned{way}.jpg", turned("JPEG", way)) for way in range(1, 9)),
)

PNGS = (
    good("png", "a.png", makers.rgb_png, ground=BLUE),
    good("png named jpg", "wrong.jpg", makers.rgb_png),
    good("png of one pixel", "1x1.png", _plain(_COLUMN.crop((0, 0, 1, 1)), "PNG"), size=(1, 1)),
    good("png of 16-bit grey", "g16.png", lambda: makers.png(_DEEP_GREY, 0), **_DEEP),
    good("png of 16-bit colour", "rgb16.png", _sixteen(picture(), 2), ground=BLUE),
    good("png of 16-bit colour, clear", "rgba16.png", _sixteen(_CLEAR, 6), ground=WHITE),
    good("png of 16-bit grey, clear", "la16.png", _sixteen(_CLEAR_GREY, 4), **_GREY_ON_WHITE),
    good("png palette", "p.png", _plain(picture().quantize(8), "PNG"), ground=BLUE),
    good("png palette, clear", "pa.png", _plain(_CLEAR.quantize(8), "PNG"), ground=WHITE),
    good("png grey, clear", "la.png", _plain(_CLEAR_GREY, "PNG"), **_GREY_ON_WHITE),
    good("png, clear", "rgba.png", _plain(_CLEAR, "PNG"), ground=WHITE),
    good("png all clear", "nothing.png", _plain(Image.new("RGBA", SIZE), "PNG"), colour=WHITE),
    good("png of one bit", "1bit.png", _plain(_ONE_BIT, "PNG"), **_TWO_BIT),
    good("png with a clear colour", "trns.png", saved("PNG", transparency=BLUE), ground=WHITE),
    good("png with a clear grey", "trnsl.png", _key_grey_png, **_GREY_ON_WHITE),
    good("png with a clear 16-bit grey", "trns16.png", _key_16_bit_png, **_DEEP_ON_WHITE),
    good("png interlaced", "adam7.png", makers.interlaced_png, ground=BLUE),
    good("png animated", "anim.png", lambda: makers.frames("PNG"), ground=BLUE, frames=3),
    good("png turned", "turned.png", turned("PNG", 6)),
    good("png turned, told late", "late.png", _late_exif_png),
    good("png without its end", "noend.png", lambda: makers.rgb_png()[:-12]),
    good("png of a wrong sum", "crc.png", lambda: makers.bad_checksum(makers.rgb_png(), b"IDAT")),
)

GIFS = (
    good("gif", "a.gif", saved("GIF"), ground=BLUE),
    good("gif, clear", "clear.gif", _plain(_CLEAR, "GIF"), ground=WHITE),
    good("gif animated", "anim.gif", lambda: makers.frames("GIF"), ground=BLUE, frames=3),
    good("gif one byte short", "short.gif", lambda: saved("GIF")()[:-1]),
)

WEBPS = (
    good("webp", "a.webp", saved("WEBP", quality=95), ground=BLUE),
    good("webp lossless", "exact.webp", saved("WEBP", lossless=True), ground=BLUE),
    good("webp, clear", "clear.webp", _plain(_CLEAR, "WEBP", lossless=True), ground=WHITE),
    good("webp animated", "anim.webp", lambda: makers.frames("WEBP", lossless=True), frames=3),
    good("webp turned", "turned.webp", turned("WEBP", 8)),
)

BMPS = (
    good("bmp", "a.bmp", saved("BMP"), ground=BLUE),
    good("bmp of 32 bits", "32.bmp", saved("BMP", "RGBA"), ground=BLUE),
    good("bmp run-length encoded", "rle.bmp", makers.rle_bmp, ground=BLUE),
    good("bmp from the top down", "down.bmp", makers.top_down_bmp, ground=BLUE),
)

TIFFS = (
    good("tiff", "a.tif", saved("TIFF"), ground=BLUE),
    good("tiff lzw", "lzw.tiff", saved("TIFF", compression="tiff_lzw"), ground=BLUE),
    good("tiff holding jpeg", "jpeg.tiff", saved("TIFF", compression="jpeg"), ground=BLUE),
    good("tiff fax", "fax.tiff", _plain(_ONE_BIT, "TIFF", compression="group4"), **_TWO_BIT),
    good("bigtiff", "big.tiff", saved("TIFF", big_tiff=True), ground=BLUE),
    good("tiff cmyk", "cmyk.tiff", _plain(makers.cmyk(), "TIFF"), ground=BLUE),
    good("tiff lab", "lab.tiff", _plain(_lab(), "TIFF")),
    good("tiff, clear", "clear.tiff", _plain(_CLEAR, "TIFF"), ground=WHITE),
    good("tiff of 16 bits", "16.tiff", _grey_tiff("<u2", 0xC000, 0x2000), **_DEEP),
    good("tiff of 16 bits, big end first", "m.tiff", _grey_tiff(">u2", 0xC000, 0x2000), **_DEEP),
    good("tiff of 16 bits, white is 0", "w.tiff", lambda: makers.white_0_tiff(_DEEP_GREY), **_DEEP),
    good("tiff of 12 bits", "12.tiff", lambda: makers.twelve_bit_tiff(_DEEP_GREY), **_DEEP),
    good("tiff of integers", "int.tiff", _grey_tiff(np.int32, 0xC000, 0x2000), **_DEEP),
    good("tiff of bytes in integers", "byte.tiff", _grey_tiff(np.int32, 191, 32), **_DEEP),
    good("tiff of floats up to 1", "float.tiff", _grey_tiff(np.float32, 0.75, 0.125), **_DEEP),
    good("tiff of floats up to 255", "f255.tiff", _grey_tiff(np.float32, 191, 32), **_DEEP),
    good("tiff of any floats", "any.tiff", _grey_tiff(np.float32, 3e38, -3e38), **_TWO_BIT),
    good("tiff with holes", "nan.tiff", _grey_tiff(np.float32, 1, np.nan), **_TWO_BIT),
    good("tiff of pages", "pages.tiff", lambda: makers.frames("TIFF"), ground=BLUE, frames=3),
    good("tiff turned", "turned.tiff", turned("TIFF", 6), ground=BLUE),
)

AVIFS = (
    good("avif", "a.avif", saved("AVIF", quality=95), ground=BLUE),
    good("avif, clear", "clear.avif", _plain(_CLEAR, "AVIF", quality=95), ground=WHITE),
    good("avif animated", "anim.avif", lambda: makers.frames("AVIF", quality=95), frames=3),
    good("avif turned", "turned.avif", turned("AVIF", 6)),
)
