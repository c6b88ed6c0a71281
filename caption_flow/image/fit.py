"""An image as it goes to the engine, and what is known of it: for whoever reads it first.

That is the feeder, or a worker where the sample refers to an image that lies elsewhere.
"""

import hashlib

from caption_flow.image.facts import inspect
from caption_flow.image.shrink import shrink
from caption_flow.model import Picture


def fit(
    data: bytes, *, max_side: int | None, max_bytes: int, max_pixels: int
) -> tuple[bytes, Picture]:
    """Look at an image and make it small enough; one that cannot be taken is a BadImage."""
    facts = inspect(data, max_pixels=max_pixels)
    fed = shrink(data, facts, max_side=max_side, max_bytes=max_bytes, max_pixels=max_pixels)
    read = digest = hashlib.sha256(data).hexdigest()
    if fed is not data:
        facts = inspect(fed, max_pixels=max_pixels)
        digest = hashlib.sha256(fed).hexdigest()
    return fed, Picture(facts.width, facts.height, facts.format, len(fed), digest, read)
