"""Codec: how much memory of Redis a sample takes up, so that a budget of bytes is kept there.

Allocators hand out blocks of a few sizes: a payload of 64 KiB and one byte takes 80 KiB. Measured
on Redis 7.0 (jemalloc) and Valkey 9.1 (libc, which rounds less, so that there it is too much by a
fifth at worst): the rest is within 3 %, from images of no bytes to images of 1 MB.
"""

from caption_flow.codec.records import encode
from caption_flow.model import Offer

_ENTRY = 96  # bytes beside those of a sample, and of an image that shares its block with others
_BLOCK = 48  # bytes beside a payload in a block of its own
_NODE = 70  # bytes that lead to such a block
_SHARING = 1024  # bytes up to which several payloads share a block: Redis fills it up to 4 KiB


def weight(offer: Offer) -> int:
    """Count the bytes that an offer adds to the books."""
    return 0 if offer.failure else footprint(len(encode(offer.sample)), len(offer.image))


def footprint(record: int, image: int) -> int:
    """Count the bytes of Redis' memory for a record and an image of these lengths."""
    return _ENTRY + _held(record) + _held(image)


def _held(length: int) -> int:
    return length if length <= _SHARING else block(length + _BLOCK) + _NODE


def block(length: int) -> int:
    """Round a length up as jemalloc does: it has four sizes between a power of two and the next."""
    step = 1 << max(0, (length - 1).bit_length() - 3)
    return -(-length // step) * step
