"""What is within bounds passes through untouched; what is not comes back within them."""

import pytest
from PIL import Image

from caption_flow.errors import BadImage
from caption_flow.image import ImageFacts, inspect, shrink
from tests.image import makers
from tests.image.makers import WHITE, encode, noise, picture

MAX_PIXELS = 20_000_000


def shrunk(data: bytes, *, side: int | None = None, size: int | None = None) -> bytes:
    facts = inspect(data, max_pixels=MAX_PIXELS)
    return shrink(data, facts, max_side=side, max_bytes=size, max_pixels=MAX_PIXELS)


def facts_of(data: bytes) -> ImageFacts:
    return inspect(data, max_pixels=MAX_PIXELS)


def test_an_image_within_bounds_is_the_same_object():
    data = encode(picture(), "PNG")

    assert shrunk(data, side=40, size=len(data)) is data


def test_without_bounds_all_is_the_same_object():
    data = encode(noise(300), "PNG")

    assert shrunk(data) is data


def test_a_turned_image_within_bounds_is_left_for_the_worker_to_turn():
    stored, exif = makers.lying(6)
    data = encode(stored, "JPEG", exif=exif)

    assert shrunk(data, side=40) is data


def test_too_long_a_side_is_fitted():
    assert facts_of(shrunk(encode(noise(300), "PNG"), side=100)) == ImageFacts(100, 100, "jpeg", 1)


@pytest.mark.parametrize("limit", [80_000, 20_000, 5_000])
def test_too_many_bytes_are_brought_down(limit: int):
    data = encode(noise(300), "PNG")

    assert len(shrunk(data, size=limit)) <= limit < len(data)


def test_quality_goes_before_the_side():
    data = encode(noise(300), "JPEG", quality=97)

    assert facts_of(shrunk(data, size=len(data) * 3 // 5)).width == 300


def test_the_result_is_upright_and_says_nothing_else():
    stored, exif = makers.lying(6)
    data = encode(stored.resize((300, 400)), "JPEG", exif=exif)

    assert (facts_of(shrunk(data, side=200)).width, b"Exif" in shrunk(data, side=200)) == (
        200,
        False,
    )


def test_what_was_see_through_is_white():
    clear = Image.new("RGBA", (300, 300))
    [(_, colour)] = Image.open(makers.BytesIO(shrunk(encode(clear, "PNG"), side=100))).getcolors()

    assert colour == WHITE


def test_a_side_no_jpeg_can_have_is_fitted_even_unasked():
    data = encode(Image.effect_noise((70_000, 2), 50), "PNG")

    assert facts_of(shrunk(data, size=len(data) - 1)).width <= 65_500


def test_a_bound_no_image_can_meet_is_a_refusal():
    with pytest.raises(BadImage) as refused:
        shrunk(encode(noise(300), "PNG"), size=100)

    assert refused.value.reason == "too_many_bytes"


def test_shrinking_a_broken_image_is_a_refusal():
    data = encode(noise(300), "JPEG")

    with pytest.raises(BadImage) as refused:
        shrunk(data[: len(data) // 2], side=100)

    assert refused.value.reason == "truncated"
