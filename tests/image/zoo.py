"""One of every kind of image file a data set may hold, and what becomes of it.

Whoever tests a part of the flow feeds it ZOO: the good ones come out upright with RED (or `colour`)
in the upper left corner; the bad ones are refused for `reason`, by the feeder from the header
alone or by the worker that decodes. File names are unique, so that a folder can hold them all.
"""

from PIL import features

from tests.image import bad_images, good_images
from tests.image.case import Case

__all__ = ["ZOO", "Case"]

_AVIFS = good_images.AVIFS + bad_images.AVIFS if features.check("avif") else ()

ZOO: tuple[Case, ...] = (
    *(good_images.JPEGS + good_images.PNGS + good_images.GIFS),
    *(good_images.WEBPS + good_images.BMPS + good_images.TIFFS),
    *(bad_images.JPEGS + bad_images.PNGS + bad_images.GIFS),
    *(bad_images.WEBPS + bad_images.BMPS + bad_images.TIFFS + bad_images.OTHERS),
    *_AVIFS,
)
