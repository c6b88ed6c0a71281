"""Encoded image to a small one, for people to look at.

Runs in threads; holds no state. What the engine would be spared, a browser is spared as well: the
bounds are those of `decode`, with a tighter one on pixels, since several are made at once beside
whatever else the process does.
"""

from io import BytesIO

from caption_flow.image.opening import refusals
from caption_flow.image.pixels import decode

MOST_PIXELS = 50_000_000  # of the image; 150 MB while it is decoded
_QUALITY = 80
_METHOD = 2  # of 6; beyond, WebP takes twice the time for a twentieth of the bytes


def thumbnail(data: bytes, side: int) -> bytes:
    """Make a WebP of the first frame, upright, its longer side at most `side` pixels.

    Raises BadImage where the image cannot be decoded, or has more than MOST_PIXELS.
    """
    picture = decode(data, max_pixels=MOST_PIXELS, max_side=side)
    out = BytesIO()
    with refusals():
        picture.save(out, "WEBP", quality=_QUALITY, method=_METHOD)
    return out.getvalue()
