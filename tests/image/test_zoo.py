"""Every kind of file in the zoo ends as the zoo says."""

import pytest
from PIL import Image

from caption_flow.errors import BadImage
from caption_flow.image import decode, inspect
from tests.image.zoo import ZOO, Case

MAX_PIXELS = 50_000_000
TOLERANCE = 12  # of 255; lossy formats
GOOD = [case for case in ZOO if case.ok]
BY_FEEDER = [case for case in ZOO if case.found_by == "feeder"]
BY_WORKER = [case for case in ZOO if case.found_by == "worker"]

# Pillow warns of some damage and goes on; what it can read, we take.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL.TiffImagePlugin")


def each(cases: list[Case]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", cases, ids=[case.name for case in cases])


def pixels(case: Case) -> Image.Image:
    return decode(case.data(), max_pixels=MAX_PIXELS, max_side=None)


def assert_near(found: object, wanted: tuple[int, int, int]) -> None:
    assert isinstance(found, tuple)
    assert max(abs(a - b) for a, b in zip(found, wanted, strict=True)) <= TOLERANCE, found


def test_the_zoo_is_large_enough():
    assert len({case.name for case in ZOO}) == len(ZOO) > 100


def test_file_names_can_share_a_folder():
    assert len({case.file_name.lower() for case in ZOO}) == len(ZOO)


@each(GOOD)
def test_a_good_image_has_its_upright_size(case: Case):
    facts = inspect(case.data(), max_pixels=MAX_PIXELS)

    assert (facts.width, facts.height) == case.size


@each(GOOD)
def test_the_frames_of_a_good_image_are_counted(case: Case):
    assert inspect(case.data(), max_pixels=MAX_PIXELS).frames == case.frames


@each(GOOD)
def test_a_good_image_becomes_rgb_of_the_size_it_said(case: Case):
    found = pixels(case)

    assert (found.mode, found.size) == ("RGB", case.size)


@each(GOOD)
def test_a_good_image_has_its_corner_in_place_and_colour(case: Case):
    found = pixels(case)

    assert_near(found.getpixel((min(3, found.width - 1), min(3, found.height - 1))), case.colour)


@each([case for case in GOOD if case.ground])
def test_a_good_image_has_its_ground_in_colour(case: Case):
    found = pixels(case)

    assert case.ground
    assert_near(found.getpixel((found.width - 1, found.height - 1)), case.ground)


@each(BY_FEEDER)
def test_the_feeder_refuses_from_the_header(case: Case):
    with pytest.raises(BadImage) as refused:
        inspect(case.data(), max_pixels=MAX_PIXELS)

    assert refused.value.reason == case.reason


@each(BY_FEEDER)
def test_the_worker_refuses_alike_what_the_feeder_would(case: Case):
    with pytest.raises(BadImage) as refused:
        pixels(case)

    assert refused.value.reason == case.reason


@each(BY_WORKER)
def test_the_feeder_lets_pass_what_only_decoding_tells(case: Case):
    inspect(case.data(), max_pixels=MAX_PIXELS)


@each(BY_WORKER)
def test_the_worker_refuses_what_cannot_be_decoded(case: Case):
    with pytest.raises(BadImage) as refused:
        pixels(case)

    assert refused.value.reason == case.reason
