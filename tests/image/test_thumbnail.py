"""Small pictures for people to look at."""

from io import BytesIO

import pytest
from PIL import Image

from caption_flow.errors import BadImage
from caption_flow.image import thumbnail as module
from caption_flow.image.thumbnail import thumbnail
from tests.image.makers import RED, encode, lying, noise, picture


def opened(data: bytes) -> Image.Image:
    return Image.open(BytesIO(data))


def test_thumbnail_is_a_small_webp():
    small = opened(thumbnail(encode(noise(400), "PNG"), 100))

    assert (small.format, small.size) == ("WEBP", (100, 100))


def test_picture_is_not_blown_up():
    assert opened(thumbnail(encode(picture(), "PNG"), 100)).size == picture().size


def test_picture_is_upright_and_says_nothing_of_its_camera():
    stored, exif = lying(6)
    small = opened(thumbnail(encode(stored, "JPEG", exif=exif, quality=95), 100)).convert("RGB")

    assert small.size == picture().size
    assert small.getpixel((5, 5)) == pytest.approx(RED, abs=24)
    assert not small.getexif()


def test_bomb_is_refused_by_its_header(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "MOST_PIXELS", 99 * 100)
    with pytest.raises(BadImage, match="too_many_pixels"):
        thumbnail(encode(noise(100), "PNG"), 100)


@pytest.mark.parametrize("data", [b"", b"no image", encode(picture(), "PNG")[:60]])
def test_what_is_no_picture_is_a_bad_image(data: bytes):
    with pytest.raises(BadImage):
        thumbnail(data, 100)
