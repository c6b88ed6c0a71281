"""Whether a file is the image that a row is of, by what the row says of it."""

import hashlib
import sys

from caption_flow.errors import BadImage
from caption_flow.image import inspect
from caption_flow.model import Picture

_SHRUNK = "jpeg"  # what a feeder makes of an image that is too large
_LEAST = 256 << 10  # bytes; nobody shrinks an image of fewer for its bytes alone


def is_another(image: bytes, known: Picture) -> bool:
    """Whether the image is surely not the one that was captioned.

    One that was shrunk has other bytes; it is told by the shape of its pixels only.
    """
    if not known.sha256 or hashlib.sha256(image).hexdigest() == known.sha256:
        return False
    return not _may_become(image, known)


def _may_become(image: bytes, known: Picture) -> bool:
    if known.format != _SHRUNK:
        return False
    try:
        facts = inspect(image, max_pixels=sys.maxsize)
    except BadImage:
        return True  # what is wrong with it is told by who looks at it next
    if (facts.width, facts.height) == (known.width, known.height):
        return len(image) > max(known.bytes, _LEAST)
    larger = facts.width >= known.width and facts.height >= known.height
    # Each side was rounded, perhaps more than once.
    skew = facts.width * known.height - facts.height * known.width
    return larger and abs(skew) <= 2 * max(facts.width, facts.height)
