"""Facts come from the content, from the header, and within the bound."""

import struct
import tracemalloc

import pytest
from PIL import Image

from caption_flow.errors import BadImage
from caption_flow.image import ImageFacts, inspect
from caption_flow.image.headers import gif_frames, late_exif, orientation, tiff_frames
from tests.image import makers
from tests.image.makers import chunk, encode, picture

MAX_PIXELS = 1_000_000


def refusal(data: bytes, max_pixels: int = MAX_PIXELS) -> BadImage:
    with pytest.raises(BadImage) as refused:
        inspect(data, max_pixels=max_pixels)
    return refused.value


@pytest.mark.parametrize("name", ["jpeg", "png", "webp", "gif", "bmp", "tiff"])
def test_the_format_is_told_by_the_content(name: str):
    data = encode(picture(), name.upper())

    assert inspect(data, max_pixels=MAX_PIXELS) == ImageFacts(40, 30, name, 1)


def test_an_image_of_exactly_the_bound_is_taken():
    assert inspect(encode(picture(), "PNG"), max_pixels=1200).width == 40


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_an_image_of_one_pixel_too_many_is_refused(form: str):
    assert refusal(encode(picture(), form), 1199).reason == "too_many_pixels"


def test_a_refusal_for_size_names_both_numbers():
    assert refusal(encode(picture(), "PNG"), 1000).detail == (
        "40 x 30 is 1,200 pixels; max_pixels is 1,000"
    )


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"<!doctype html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        (b"PK\3\4", "zip archive"),
        (b"[1]", "JSON"),
        (b"no such key", "'no such key'"),
        (b"\0\0\0\x18ftypisom\0\0\2\0isomiso2", "video"),
        (b"\1\2\3\4", "01 02 03 04"),
    ],
)
def test_a_refusal_says_what_the_file_looks_like(data: bytes, words: str):
    assert words in refusal(data).detail


def test_heic_under_a_neutral_brand_is_told_by_the_compatible_ones():
    data = b"\0\0\0\x1cftypmif1\0\0\0\0mif1heicmiaf"

    assert refusal(data).reason == "unsupported_format"


def test_long_text_may_be_cut_within_a_character():
    text = ("a" + "ä" * 2000).encode()  # the look ends in the middle of one

    assert "looks like text" in refusal(text).detail


def test_a_huge_image_costs_no_memory_to_refuse():
    tracemalloc.start()
    for data in (makers.huge_gif(65_535, 10), makers.huge_webp(), makers.huge_tiff()):
        refusal(data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 1_000_000


def test_an_orientation_may_be_stored_high_byte_first():
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\1" + struct.pack(">HHIHH", 0x112, 3, 1, 6, 0)

    assert orientation(exif) == 6


@pytest.mark.parametrize(
    "exif",
    [
        b"",
        b"Exif\0\0",
        b"nonsense",
        b"II*\0\xff\xff\xff\xff",
        b"II*\0\x08\0\0\0\xff\xff",
        b"II*\0\x08\0\0\0\1\0" + struct.pack("<HHIHH", 0x112, 3, 1, 99, 0),
        b"II*\0\x08\0\0\0\1\0" + struct.pack("<HHIHH", 0x112, 4, 1, 6, 0),
    ],
)
def test_exif_that_makes_no_sense_turns_nothing(exif: bytes):
    assert orientation(exif) == 1


@pytest.mark.parametrize("kind", [b"tEXt", b"iTXt"])
def test_a_text_named_exif_turns_nothing(kind: bytes):
    text = chunk(kind, b"exif\0\0\0\0\0nonsense")

    assert inspect(makers.rgb_png(before=[text]), max_pixels=MAX_PIXELS).width == 40


def test_late_exif_is_not_taken_from_within_another_chunk():
    data = makers.rgb_png(after=[chunk(b"tEXt", chunk(b"eXIf", b"II*\0"))])

    assert late_exif(data) == b""


def test_late_exif_of_a_cut_png_is_none():
    assert late_exif(makers.rgb_png()[:40]) == b""


def test_a_page_that_points_at_itself_is_counted_once():
    loop = struct.pack("<2sHIHI", b"II", 42, 8, 0, 8)

    assert tiff_frames(loop) == 1


def test_counting_frames_of_a_hostile_gif_ends():
    empty_frame = b"," + bytes(9) + b"\2\0"
    data = b"GIF89a" + bytes(7) + empty_frame * 100_000

    assert gif_frames(data) == 1000


def test_frames_of_a_cut_gif_are_those_that_are_there():
    whole = makers.frames("GIF")

    assert gif_frames(whole[: len(whole) // 2]) < gif_frames(whole) == 3


def test_facts_do_not_depend_on_a_preview_behind_the_image():
    first, second = picture(), Image.new("RGB", (10, 10))
    data = encode(first, "MPO", save_all=True, append_images=[second])

    assert inspect(data, max_pixels=MAX_PIXELS) == ImageFacts(40, 30, "jpeg", 1)
