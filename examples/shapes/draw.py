"""Draw images of one shape each, and write down what is true of them.

Before the flow: a data set whose captions are known, so that a run can be checked word for word.
The drawing of an image depends on the seed and its number alone, never on how many are drawn.
"""

import argparse
import io
import json
import math
import random
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct
from PIL import Image, ImageDraw

Colour = tuple[int, int, int]
Point = tuple[float, float]

# Radius as a share of the side. The gaps are wide, so that no size passes for another.
SIZES = {"small": (0.115, 0.135), "medium": (0.20, 0.225), "large": (0.32, 0.36)}
COLOURS = {
    "red": (214, 32, 38),
    "orange": (250, 140, 20),
    "yellow": (250, 224, 40),
    "green": (30, 150, 60),
    "blue": (36, 76, 214),
    "purple": (132, 40, 160),
    "black": (16, 16, 16),
    "white": (242, 242, 242),
}
SHAPES = ("circle", "square", "triangle", "diamond", "star", "cross")
SIDES = (96, 128, 160, 200, 256, 320, 384, 448, 512, 640)
SUFFIXES = ("jpg",) * 8 + ("png", "webp")
FORMATS = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP"}
COLOUR_JITTER = 12  # per channel
TURN = 12.0  # degrees either way; a square turned this little is no diamond
MARGIN = 0.02  # of the side, between the shape and the edge
SMOOTH = 3  # mask pixels per image pixel, each way


class Drawing(Struct, frozen=True):
    """All that is needed to draw one image, and to say what it shows."""

    size: str
    colour: str
    shape: str
    background: str
    side: int  # pixels
    centre: Point  # as shares of the side
    radius: float  # as a share of the side
    turn: float  # degrees
    fill: Colour
    ground: Colour
    suffix: str

    @property
    def caption(self) -> str:
        """The one true sentence about the image."""
        return sentence(self.size, self.colour, self.shape, self.background)


def sentence(size: str, colour: str, shape: str, background: str) -> str:
    """Say what an image of this shows."""
    article = "an" if background[0] in "aeiou" else "a"
    return f"a {size} {colour} {shape} on {article} {background} background."


def plan(seed: int, number: int, side: int | None = 256) -> Drawing:
    """Decide what image `number` shows; with no side given, that varies too."""
    dice = random.Random(f"{seed}/{number}")
    size = dice.choice(list(SIZES))
    colour, background = dice.sample(list(COLOURS), 2)
    radius = dice.uniform(*SIZES[size])
    low, high = radius + MARGIN, 1 - radius - MARGIN
    return Drawing(
        size=size,
        colour=colour,
        shape=dice.choice(SHAPES),
        background=background,
        centre=(dice.uniform(low, high), dice.uniform(low, high)),
        radius=radius,
        turn=dice.uniform(-TURN, TURN),
        fill=_jitter(dice, COLOURS[colour]),
        ground=_jitter(dice, COLOURS[background]),
        suffix=dice.choice(SUFFIXES),
        side=side or dice.choice(SIDES),
    )


def draw(drawing: Drawing) -> Image.Image:
    """Paint the shape, with smooth edges."""
    image = Image.new("RGB", (drawing.side, drawing.side), drawing.ground)
    reach = math.ceil(1.05 * drawing.radius * drawing.side) + 2  # the tips of a cross stand out
    left, top = (int(share * drawing.side) - reach for share in drawing.centre)
    mask = Image.new("L", (2 * reach * SMOOTH, 2 * reach * SMOOTH))
    corners = [
        ((x - left) * SMOOTH, (y - top) * SMOOTH)
        for x, y in _outline(drawing, circle_corners=4 * reach)
    ]
    ImageDraw.Draw(mask).polygon(corners, fill=255)
    image.paste(drawing.fill, (left, top), mask.reduce(SMOOTH))
    return image


def encode(drawing: Drawing) -> bytes:
    """Draw, as the bytes of an image file."""
    target = io.BytesIO()
    draw(drawing).save(target, FORMATS[drawing.suffix], quality=90)
    return target.getvalue()


def write(
    folder: Path, *, count: int, seed: int, side: int | None, by_shape: bool = False
) -> dict[str, str]:
    """Draw `count` images into the folder; return the caption of each file."""
    captions = {}
    for number in range(count):
        drawing = plan(seed, number, side)
        name = f"{number:04d}.{drawing.suffix}"
        if by_shape:
            name = f"{drawing.shape}/{name}"
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(encode(drawing))
        captions[name] = drawing.caption
    return captions


def _jitter(dice: random.Random, colour: Colour) -> Colour:
    red, green, blue = (
        min(255, max(0, channel + dice.randint(-COLOUR_JITTER, COLOUR_JITTER)))
        for channel in colour
    )
    return red, green, blue


def _outline(drawing: Drawing, *, circle_corners: int) -> Iterator[Point]:
    """The corners of the shape, in pixels of the image."""
    x, y = drawing.centre
    for angle, length in _corners(drawing.shape, circle_corners):
        turned = math.radians(angle + drawing.turn)
        reach = drawing.radius * length
        yield (
            (x + reach * math.sin(turned)) * drawing.side,
            (y - reach * math.cos(turned)) * drawing.side,
        )


def _corners(shape: str, circle_corners: int) -> list[tuple[float, float]]:
    """The corners as (degrees clockwise from the top, share of the radius)."""
    match shape:
        case "circle":
            return _ring(circle_corners)
        case "square":
            return _ring(4, first=45)
        case "triangle":
            return _ring(3)
        case "diamond":
            return [(0, 1.0), (90, 0.62), (180, 1.0), (270, 0.62)]
        case "star":
            return sorted(_ring(5) + _ring(5, first=36, length=0.42))
        case _:
            return _cross(arm=0.3)


def _ring(count: int, *, first: float = 0, length: float = 1.0) -> list[tuple[float, float]]:
    return [(first + 360 * corner / count, length) for corner in range(count)]


def _cross(arm: float) -> list[tuple[float, float]]:
    """Four arms as long as the radius and twice `arm` wide."""
    tip, lean = math.hypot(1, arm), math.degrees(math.atan(arm))
    tips = [(turn + side, tip) for turn in (0, 90, 180, 270) for side in (-lean, lean)]
    return sorted(tips + _ring(4, first=45, length=math.hypot(arm, arm)))


def main() -> None:
    """Read the command line, draw, and say what was drawn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="folder for the images")
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--side", type=int, default=256, help="pixels; 0 varies it")
    parser.add_argument("--by-shape", action="store_true", help="one subfolder for each shape")
    parser.add_argument("--captions", type=Path, help="default: captions.json in the folder")
    given = parser.parse_args()
    captions = write(
        given.out,
        count=given.count,
        seed=given.seed,
        side=given.side or None,
        by_shape=given.by_shape,
    )
    target = given.captions or given.out / "captions.json"
    target.write_text(json.dumps(captions, indent=1) + "\n", encoding="utf-8")
    print(f"Drew {len(captions)} images in {given.out}; their captions are in {target}.")


if __name__ == "__main__":
    main()
