"""Grey images of more than eight bits, brought to eight.

Formats that state their scale (16-bit PNG and TIFF) are scaled by it. Floats and wide integers
state none, so the smallest usual scale that holds all values is taken, else the range itself.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin

_USUAL_SCALES = (255.0, 65535.0)


def to_8_bits(picture: Image.Image) -> Image.Image:
    """Scale modes I;16*, I and F to L."""
    values = np.nan_to_num(np.asarray(picture, dtype=np.float32), posinf=0.0, neginf=0.0)
    low, high = _scale(picture, values)
    with np.errstate(over="ignore"):  # floats as large as there are; clipped below
        grey = (values - np.float32(low)) * np.float32(255.0 / (high - low))
    if _white_is_zero(picture):
        grey = 255.0 - grey
    if isinstance(key := picture.info.get("transparency"), int):
        grey[values == key] = 255.0  # a see-through grey, on white
    return Image.fromarray(np.clip(np.rint(grey), 0, 255).astype(np.uint8))


def _scale(picture: Image.Image, values: NDArray[np.float32]) -> tuple[float, float]:
    if picture.mode.startswith("I;16"):
        return 0.0, float(2 ** _stored_bits(picture) - 1)
    low, high = float(values.min()), float(values.max())
    usual = (1.0, *_USUAL_SCALES) if picture.mode == "F" else _USUAL_SCALES
    for scale in usual:
        if low >= 0 and high <= scale:
            return 0.0, scale
    return low, high if high > low else low + 1


def _stored_bits(picture: Image.Image) -> int:
    if isinstance(picture, TiffImagePlugin.TiffImageFile):
        return int(picture.tag_v2.get(TiffImagePlugin.BITSPERSAMPLE, (16,))[0])
    return 16


def _white_is_zero(picture: Image.Image) -> bool:
    # Pillow turns 8-bit greys the right way round, not the deeper ones.
    if isinstance(picture, TiffImagePlugin.TiffImageFile):
        return bool(picture.tag_v2.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION, 1) == 0)
    return False
