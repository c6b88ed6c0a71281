"""Bench: an image that is shown again, made one that was never seen.

Engines keep what they have made of an image, and would be faster with a few of them that come again
and again than with the many of a run.
"""

_HEAD = (16).to_bytes(4) + b"free"  # to the formats made of boxes a box that says nothing
_NUMBER = 8  # bytes


def fresh(data: bytes, number: int) -> bytes:
    """Give an image other bytes for each number, and the same pixels.

    What follows the end of an image is read by no decoder.
    """
    return data + _HEAD + number.to_bytes(_NUMBER)
