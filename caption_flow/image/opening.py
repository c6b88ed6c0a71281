"""The border to Pillow: images opened by content, its errors told as BadImage.

One plugin is called, the one that the content asks for; Pillow never gets to guess. Its own limit
against decompression bombs (179 megapixels) stays in place behind ours, as a second wall.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO

from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
    features,
)

from caption_flow.errors import BadImage
from caption_flow.image.headers import declared_size, late_exif, orientation

# The one Pillow setting changed. Images are decoded in as many threads as there are cores to
# spare; left alone, each AVIF would start as many decoder threads again.
AvifImagePlugin.DEFAULT_MAX_THREADS = 1

_HAS_AVIF = features.check("avif")
_PLUGINS: dict[str, type[ImageFile.ImageFile]] = {
    "jpeg": JpegImagePlugin.JpegImageFile,
    "png": PngImagePlugin.PngImageFile,
    "webp": WebPImagePlugin.WebPImageFile,
    "gif": GifImagePlugin.GifImageFile,
    "bmp": BmpImagePlugin.BmpImageFile,
    "tiff": TiffImagePlugin.TiffImageFile,
    "avif": AvifImagePlugin.AvifImageFile,
}


def open_image(form: str, data: bytes, max_pixels: int) -> ImageFile.ImageFile:
    """Open without decoding, within the bound."""
    if form == "avif" and not _HAS_AVIF:
        raise BadImage("unsupported_format", "this Pillow was built without AVIF")
    if form in _SIZE_FIRST and (size := declared_size(form, data)):
        # A GIF may declare no canvas at all: its frame makes one.
        check_pixels(*size, max_pixels, least=0 if form == "gif" else 1)
    try:
        with refusals():
            picture = _PLUGINS[form](BytesIO(data))
    except BadImage:
        # Pillow's reason hides a size of nothing behind "not identified".
        if size := declared_size(form, data):
            check_pixels(*size, max_pixels)
        raise
    check_pixels(*picture.size, max_pixels)
    return picture


# Pillow fills a GIF's canvas on opening it, and takes a negative width for a huge one.
_SIZE_FIRST = ("gif", "bmp")


def turned(form: str, picture: Image.Image, data: bytes) -> int:
    """Tell the EXIF orientation in which the opened image is stored, 1 for upright."""
    if form == "tiff":
        return 1  # Pillow turns these itself
    exif = picture.info.get("exif")
    if form == "png" and not exif:
        exif = late_exif(data)
    # A PNG may have a text of that name as well.
    return orientation(exif) if exif and isinstance(exif, bytes) else 1


def check_pixels(width: int, height: int, max_pixels: int, *, least: int = 1) -> None:
    """Refuse sizes that are nothing or too much."""
    if min(width, height) < least:
        raise BadImage("bad_dimensions", f"the header says {width} x {height} pixels")
    if width * height > max_pixels:
        detail = f"{width} x {height} is {width * height:,} pixels; max_pixels is {max_pixels:,}"
        raise BadImage("too_many_pixels", detail)


@contextmanager
def refusals() -> Iterator[None]:
    """Tell whatever goes wrong around one image as a BadImage.

    Decoders fed with hostile bytes raise nearly everything there is, so everything is caught.
    """
    try:
        yield
    except BadImage:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as exc:
        raise BadImage("too_many_pixels", str(exc)) from exc
    except Exception as exc:
        words = str(exc) or type(exc).__name__
        cut_short = isinstance(exc, EOFError) or "truncated" in words.lower()
        raise BadImage("truncated" if cut_short else "corrupt", words[:_DETAIL]) from exc


_DETAIL = 200  # characters; messages may quote the bytes
