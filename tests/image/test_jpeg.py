"""Facts of a JPEG are those that Pillow tells, and what is not plain is left to it."""

import io
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, JpegImagePlugin

from caption_flow.image.headers import orientation
from caption_flow.image.jpeg import JpegHeader, read_jpeg
from tests.image import makers
from tests.image.makers import encode, picture

PLAIN = {
    "grey": encode(picture("L"), "JPEG"),
    "cmyk": encode(picture("CMYK"), "JPEG"),
    "progressive": encode(picture(), "JPEG", progressive=True),
    "turned": encode(picture(), "JPEG", exif=makers.lying(6)[1].tobytes()),
    "described": encode(picture(), "JPEG", comment=b"x" * 300, icc_profile=b"y" * 70_000),
    "of fine tables": encode(picture(), "JPEG", quality=100, subsampling=0),
}


def pillow(data: bytes) -> JpegHeader:
    with warnings.catch_warnings(action="ignore"):  # of what EXIF says besides
        image = JpegImagePlugin.JpegImageFile(io.BytesIO(data))
    return JpegHeader(*image.size, image.info.get("exif", b""))


@pytest.mark.parametrize("data", PLAIN.values(), ids=PLAIN)
def test_plain_jpeg_is_read_as_pillow_reads_it(data: bytes):
    assert read_jpeg(data) == pillow(data)


def test_exif_in_two_segments_is_one():
    data = PLAIN["turned"]
    [at, end] = (data.index(b"\xff\xe1"), data.index(b"\xff\xdb"))

    twice = data[:end] + data[at:]

    assert read_jpeg(twice) == pillow(twice)


@pytest.mark.parametrize("name", PLAIN)
@given(drawn=st.data())
def test_damaged_header_is_never_read_otherwise_than_by_pillow(name: str, drawn: st.DataObject):
    """Where Pillow finds fault with it, we leave it to Pillow to say so."""
    data = bytearray(PLAIN[name])
    pixels = data.index(b"\xff\xda")
    for _ in range(drawn.draw(st.integers(1, 3))):
        data[drawn.draw(st.integers(2, pixels + 1))] = drawn.draw(st.integers(0, 255))
    cut = drawn.draw(st.integers(2, pixels) | st.none())
    damaged = bytes(data[:cut])

    read = read_jpeg(damaged)

    assert read is None or read == pillow(damaged)


def test_orientation_of_a_plain_jpeg_is_found():
    read = read_jpeg(PLAIN["turned"])

    assert read is not None
    assert orientation(read.exif) == 6


def test_many_pictures_in_one_file_are_the_first():
    file = io.BytesIO()
    picture().save(file, "MPO", save_all=True, append_images=[Image.new("RGB", (9, 9))])

    assert read_jpeg(file.getvalue()) == pillow(file.getvalue())
