"""Pixels come upright, on white, small, and detached from the bytes they came in."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image, ImageChops, ImageStat

from caption_flow.errors import BadImage
from caption_flow.image import decode, inspect
from caption_flow.image import pixels as pixels_module
from tests.image import makers
from tests.image.makers import RED, encode, picture

MAX_PIXELS = 20_000_000


def smooth(width: int, height: int) -> Image.Image:
    """A picture with no edges, so that ways of shrinking it agree."""
    ramp = Image.radial_gradient("L").resize((width, height))
    return Image.merge("RGB", (ramp, ImageChops.invert(ramp), ramp))


@pytest.mark.parametrize(
    ("size", "max_side", "wanted"),
    [
        ((40, 30), 40, (40, 30)),
        ((40, 30), 20, (20, 15)),
        ((30, 40), 20, (15, 20)),
        ((40, 30), None, (40, 30)),
        ((40, 30), 4000, (40, 30)),
        ((1, 5000), 500, (1, 500)),
    ],
)
def test_the_longer_side_fits_and_the_aspect_stays(
    size: tuple[int, int], max_side: int | None, wanted: tuple[int, int]
):
    data = encode(Image.new("RGB", size), "PNG")

    assert decode(data, max_pixels=MAX_PIXELS, max_side=max_side).size == wanted


@pytest.mark.parametrize("side", [100, 333, 499, 768, 1000])
def test_a_jpeg_is_fitted_to_the_pixel_like_any_other(side: int):
    image = smooth(1601, 1203)
    jpeg, png = (
        decode(encode(image, form), max_pixels=MAX_PIXELS, max_side=side)
        for form in ("JPEG", "PNG")
    )

    assert jpeg.size == png.size


def test_a_jpeg_shrunk_while_decoding_looks_like_one_shrunk_after():
    image = smooth(1600, 1200)
    found = decode(encode(image, "JPEG", quality=95), max_pixels=MAX_PIXELS, max_side=200)
    wanted = image.resize(found.size, Image.Resampling.LANCZOS)

    assert max(ImageStat.Stat(ImageChops.difference(found, wanted)).mean) < 2


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_image_is_upright_when_it_is_shrunk_too(orientation: int):
    stored, exif = makers.lying(orientation)
    data = encode(stored.resize((stored.width * 8, stored.height * 8)), "JPEG", exif=exif)

    found = decode(data, max_pixels=MAX_PIXELS, max_side=40)

    assert np.abs(np.subtract(found.getpixel((3, 3)), RED)).max() < 12


def test_the_pixels_hold_on_to_nothing():
    stored, exif = makers.lying(6)
    data = encode(stored, "JPEG", exif=exif, icc_profile=b"x" * 500, comment=b"hello")

    found = decode(data, max_pixels=MAX_PIXELS, max_side=None)

    assert (type(found), found.info, dict(found.getexif())) == (Image.Image, {}, {})


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_the_bound_holds_for_decoding_too(form: str):
    with pytest.raises(BadImage) as refused:
        decode(encode(picture(), form), max_pixels=1199, max_side=None)

    assert refused.value.reason == "too_many_pixels"


def test_running_out_of_memory_costs_one_image(monkeypatch: pytest.MonkeyPatch):
    def exhausted(_: Image.Image) -> Image.Image:
        raise MemoryError

    monkeypatch.setattr(pixels_module, "_flat", exhausted)

    with pytest.raises(BadImage, match="MemoryError"):
        decode(makers.rgb_png(), max_pixels=MAX_PIXELS, max_side=None)


def test_the_cause_of_a_refusal_is_kept():
    data = encode(picture(), "JPEG")[:-30]

    with pytest.raises(BadImage) as refused:
        decode(data, max_pixels=MAX_PIXELS, max_side=None)

    assert isinstance(refused.value.__cause__, OSError)


def test_threads_do_not_disturb_each_other():
    images = {side: encode(makers.noise(side), "PNG") for side in range(50, 130)}

    def decoded(data: bytes) -> bytes:
        return decode(data, max_pixels=MAX_PIXELS, max_side=None).tobytes()

    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(decoded, images.values()))

    assert found == [makers.noise(side).tobytes() for side in images]


def test_facts_and_pixels_agree_on_a_frame_larger_than_its_canvas():
    data = bytearray(encode(picture(), "GIF"))
    data[6:10] = b"\x0a\0\x0a\0"  # a canvas of 10 x 10

    facts = inspect(bytes(data), max_pixels=MAX_PIXELS)

    assert decode(bytes(data), max_pixels=MAX_PIXELS, max_side=None).size == (
        facts.width,
        facts.height,
    )
