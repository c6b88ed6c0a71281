"""Images made small enough for the queue.

The feeder's last step before an image enters Redis. What is within bounds passes through
untouched; all else is decoded once and leaves as an upright JPEG.
"""

from collections.abc import Iterator
from io import BytesIO

from PIL import Image

from caption_flow.errors import BadImage
from caption_flow.image.facts import ImageFacts
from caption_flow.image.opening import refusals
from caption_flow.image.pixels import decode, fitted

_QUALITIES = (90, 80, 70)
_SMALLEST_SIDE = 64  # below that there is nothing left to describe
_JPEG_LIMIT = 65_500  # pixels a side, of the encoder


def shrink(
    data: bytes,
    facts: ImageFacts,
    *,
    max_side: int | None,
    max_bytes: int | None,
    max_pixels: int,
) -> bytes:
    """Return the image within both bounds: the same object if it was already."""
    if _within(max(facts.width, facts.height), max_side) and _within(len(data), max_bytes):
        return data
    picture = decode(
        data, max_pixels=max_pixels, max_side=min(max_side or _JPEG_LIMIT, _JPEG_LIMIT)
    )
    with refusals():
        for smaller, quality in _attempts(picture):
            encoded = _jpeg(smaller, quality)
            if _within(len(encoded), max_bytes):
                return encoded
    detail = f"{len(encoded):,} bytes at {_SMALLEST_SIDE} pixels; max_bytes is {max_bytes:,}"
    raise BadImage("too_many_bytes", detail)


def _within(value: int, bound: int | None) -> bool:
    return bound is None or value <= bound


def _attempts(picture: Image.Image) -> Iterator[tuple[Image.Image, int]]:
    """Lower the quality first, then the side: blur costs a caption less than lost detail."""
    side = max(picture.size)
    while True:
        for quality in _QUALITIES:
            yield picture, quality
        if side <= _SMALLEST_SIDE:
            return
        side = max(_SMALLEST_SIDE, side * 3 // 4)
        picture = picture.resize(fitted(*picture.size, side), Image.Resampling.BICUBIC)


def _jpeg(picture: Image.Image, quality: int) -> bytes:
    out = BytesIO()
    picture.save(out, "JPEG", quality=quality)
    return out.getvalue()
