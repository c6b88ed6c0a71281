"""Whatever the bytes, the answer is an image or a BadImage, and soon."""

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caption_flow.errors import BadImage
from caption_flow.image import decode, inspect, shrink
from tests.image.zoo import ZOO

MAX_PIXELS = 1_000_000
MAGICS = [
    *(b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"BM", b"II*\0", b"MM\0+"),
    *(b"RIFF\x40\0\0\0WEBPVP8X", b"\0\0\0\x14ftypavif"),
]
VALID = [case.data() for case in ZOO if case.ok]

pytestmark = pytest.mark.filterwarnings("ignore::Warning")


def swallow(data: bytes) -> None:
    """All that the feeder and the worker do to an image; only BadImage may come out."""
    with suppress(BadImage):
        facts = inspect(data, max_pixels=MAX_PIXELS)
        shrink(data, facts, max_side=64, max_bytes=10_000, max_pixels=MAX_PIXELS)
    with suppress(BadImage):
        decode(data, max_pixels=MAX_PIXELS, max_side=64)


@given(st.binary(max_size=200))
def test_any_bytes(data: bytes):
    swallow(data)


@given(st.sampled_from(MAGICS), st.binary(max_size=200))
def test_any_bytes_behind_a_sound_beginning(magic: bytes, data: bytes):
    swallow(magic + data)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(VALID), st.data())
def test_a_valid_image_with_some_bytes_changed(valid: bytes, draw: st.DataObject):
    data = bytearray(valid)
    # Headers are where a changed byte does most.
    places = st.one_of(st.integers(0, min(200, len(data)) - 1), st.integers(0, len(data) - 1))
    for place, byte in draw.draw(st.lists(st.tuples(places, st.integers(0, 255)), max_size=8)):
        data[place] = byte
    swallow(bytes(data))


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(VALID), st.floats(0, 1))
def test_a_valid_image_cut_anywhere(valid: bytes, keep: float):
    swallow(valid[: int(len(valid) * keep)])
