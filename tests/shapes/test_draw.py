"""The drawn data set: the same from the same seed, and its captions are true of the pixels."""

import io
import itertools
import json
from pathlib import Path

import pytest
from PIL import Image, ImageChops, ImageStat

from examples.shapes import draw
from examples.shapes.draw import COLOURS, SHAPES, SIZES, Drawing, encode, plan, write

SOME = [plan(3, number) for number in range(40)]
EVERY_SIDE = [plan(4, number, side) for number, side in enumerate(draw.SIDES)]


def _bare(**changes: object) -> Drawing:
    """A large red circle in the middle of white, but for what a test changes."""
    given: dict[str, object] = {
        "size": "large",
        "colour": "red",
        "shape": "circle",
        "background": "white",
        "side": 200,
        "centre": (0.5, 0.5),
        "radius": 0.35,
        "turn": 0.0,
        "fill": COLOURS["red"],
        "ground": COLOURS["white"],
        "suffix": "png",
    }
    return Drawing(**{**given, **changes})


def _nearest(pixel: tuple[int, ...]) -> str:
    """The name of the colour closest to a pixel."""
    return min(
        COLOURS,
        key=lambda name: sum((a - b) ** 2 for a, b in zip(pixel, COLOURS[name], strict=True)),
    )


def _painted(drawing: Drawing) -> Image.Image:
    """White where the image is not its ground."""
    image = draw.draw(drawing)
    ground = Image.new("RGB", image.size, drawing.ground)
    return ImageChops.difference(image, ground).convert("L").point(lambda value: 255 * (value > 0))


def _covered(drawing: Drawing) -> float:
    """The share of the shape's bounding square that is painted."""
    mask = _painted(drawing)
    pixels = ImageStat.Stat(mask).sum[0] / 255
    return pixels / (2 * drawing.radius * drawing.side) ** 2


def test_same_seed_draws_the_same_bytes(tmp_path: Path):
    first = write(tmp_path / "a", count=20, seed=5, side=128)
    again = write(tmp_path / "b", count=20, seed=5, side=128)

    assert first == again
    assert all(
        (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
        for name in first
    )


def test_other_seed_draws_other_images():
    assert [plan(1, number) for number in range(9)] != [plan(2, number) for number in range(9)]


def test_an_image_does_not_depend_on_how_many_are_drawn(tmp_path: Path):
    few = write(tmp_path / "few", count=3, seed=5, side=96)
    more = write(tmp_path / "more", count=6, seed=5, side=96)

    assert few.items() <= more.items()


def test_caption_is_the_sentence_we_promise():
    assert _bare(background="blue").caption == "a large red circle on a blue background."


def test_caption_says_an_before_a_vowel():
    assert _bare(background="orange").caption == "a large red circle on an orange background."


@pytest.mark.parametrize("drawing", SOME, ids=lambda drawing: drawing.caption)
def test_shape_and_ground_have_the_colours_named(drawing: Drawing):
    image = draw.draw(drawing)
    middle = tuple(round(share * drawing.side) for share in drawing.centre)
    corners = itertools.product((0, drawing.side - 1), repeat=2)

    assert _nearest(image.getpixel(middle)) == drawing.colour
    assert {_nearest(image.getpixel(corner)) for corner in corners} == {drawing.background}


@pytest.mark.parametrize("drawing", SOME + EVERY_SIDE, ids=lambda drawing: drawing.caption)
def test_shape_is_whole(drawing: Drawing):
    left, top, right, bottom = _painted(drawing).getbbox()

    assert min(left, top) > 0
    assert max(right, bottom) < drawing.side


@pytest.mark.parametrize("drawing", SOME, ids=lambda drawing: drawing.caption)
def test_size_is_the_one_named(drawing: Drawing):
    low, high = SIZES[drawing.size]
    _, top, _, bottom = _painted(drawing).getbbox()
    reach = (bottom - top) / 2 / drawing.side

    # Turned, a square or a triangle reaches less far than its radius.
    assert 0.66 * low <= reach <= 1.08 * high


def test_sizes_are_clearly_apart():
    ranges = sorted(SIZES.values())

    assert all(low[1] * 1.3 < high[0] for low, high in itertools.pairwise(ranges))


def test_colours_stay_apart_when_jittered():
    for one, other in itertools.combinations(COLOURS.values(), 2):
        assert max(abs(a - b) for a, b in zip(one, other, strict=True)) > 4 * draw.COLOUR_JITTER


def test_shape_never_has_the_colour_of_its_ground():
    assert all(drawing.colour != drawing.background for drawing in SOME)


AREAS = {  # what geometry says each shape covers of the square around its circle
    "circle": 0.785,
    "square": 0.5,
    "triangle": 0.325,
    "diamond": 0.31,
    "star": 0.309,
    "cross": 0.51,
}


@pytest.mark.parametrize("shape", SHAPES)
def test_shape_covers_what_its_geometry_says(shape: str):
    assert _covered(_bare(shape=shape)) == pytest.approx(AREAS[shape], abs=0.03)


def test_shapes_of_like_area_differ_in_outline():
    outlines = [_painted(_bare(shape=shape)) for shape in SHAPES]

    for one, other in itertools.combinations(outlines, 2):
        differing = ImageStat.Stat(ImageChops.difference(one, other)).mean[0] / 255
        assert differing > 0.02


@pytest.mark.parametrize("suffix", draw.FORMATS)
def test_file_is_of_the_format_it_is_named_for(suffix: str):
    with Image.open(io.BytesIO(encode(_bare(suffix=suffix)))) as image:
        assert image.format == draw.FORMATS[suffix]


def test_side_varies_when_none_is_given():
    assert {plan(1, number, None).side for number in range(200)} == set(draw.SIDES)


def test_command_writes_captions_beside_the_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sys.argv", ["draw.py", str(tmp_path), "--count", "4", "--side", "96"])
    draw.main()
    captions = json.loads((tmp_path / "captions.json").read_text())

    assert {path.name for path in tmp_path.iterdir()} == {*captions, "captions.json"}


def test_command_sorts_by_shape_when_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    given = ["draw.py", str(tmp_path / "images"), "--count", "9", "--by-shape"]
    monkeypatch.setattr("sys.argv", [*given, "--captions", str(tmp_path / "truth.json")])
    draw.main()

    for name, caption in json.loads((tmp_path / "truth.json").read_text()).items():
        assert name.split("/")[0] in caption
