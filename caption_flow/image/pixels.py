"""Encoded image to upright RGB pixels for the engine.

Runs in the worker's threads; holds no state. Embedded colour profiles are left alone: applying
one costs more than decoding (building the transform alone takes milliseconds), hands hostile
bytes to one more parser, and a caption does not change with the shade.
"""

from PIL import Image, ImageChops, ImageFile

from caption_flow.image.depth import to_8_bits
from caption_flow.image.opening import check_pixels, open_image, refusals, turned
from caption_flow.image.sniff import sniff
from caption_flow.image.webp import read_webp

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def decode(data: bytes, *, max_pixels: int, max_side: int | None) -> Image.Image:
    """Decode the first frame: RGB, upright, on white, its longer side at most max_side."""
    form = sniff(data)
    with refusals():
        if form == "webp":
            # Pillow sets aside the whole canvas on opening.
            check_pixels(*read_webp(data)[:2], max_pixels)
        picture = open_image(form, data, max_pixels)
        turn = _UPRIGHT.get(turned(form, picture, data))
        size = fitted(*picture.size, max_side)
        if form == "jpeg":
            # The decoder itself can halve up to three times: a third of the time on 12 MP.
            picture.draft(None, size)
        picture.load()
        pixels = _resized(_flat(picture), size)
        pixels = pixels if turn is None else pixels.transpose(turn)
        return _detached(pixels.convert("RGB"), picture)


def fitted(width: int, height: int, max_side: int | None) -> tuple[int, int]:
    """Scale a size down, never up, so that its longer side is at most max_side."""
    longest = max(width, height)
    if max_side is None or longest <= max_side:
        return width, height
    return (
        max(1, round(width * max_side / longest)),
        max(1, round(height * max_side / longest)),
    )


def _resized(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    if size == picture.size:
        return picture
    return picture.resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0)


def _detached(pixels: Image.Image, source: Image.Image) -> Image.Image:
    """Cut what would keep the encoded bytes, EXIF and profile alive beside the pixels."""
    alone = pixels.copy() if pixels is source else pixels
    alone.info = {}
    return alone


def _flat(picture: ImageFile.ImageFile) -> Image.Image:
    """Bring any mode to RGB or L, without transparency."""
    if picture.mode in ("RGB", "L") and not picture.has_transparency_data:
        return picture
    if picture.mode.startswith(("I", "F")):
        return to_8_bits(picture)
    if picture.has_transparency_data:
        return _on_white(picture.convert("RGBA"))
    if picture.mode == "CMYK" and picture.format == "JPEG" and "adobe" not in picture.info:
        # Pillow turns every CMYK JPEG over, as Adobe stores them; without its mark, turn back.
        return ImageChops.invert(picture).convert("RGB")
    return picture.convert("L" if picture.mode == "1" else "RGB")


def _on_white(picture: Image.Image) -> Image.Image:
    ground = Image.new("RGB", picture.size, "white")
    ground.paste(picture, mask=picture.getchannel("A"))
    return ground
