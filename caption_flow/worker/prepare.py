"""Worker: an encoded image becomes what the engine takes.

Pixels are decoded in other threads, so that neither the engine nor the queue waits for them; not
at all where the engine takes images as they are.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from msgspec import UNSET, Struct, UnsetType
from PIL.Image import Image

from caption_flow.config.schema import ImagesConfig
from caption_flow.errors import BadImage
from caption_flow.image import decode, fit
from caption_flow.model import Outcomes, Picture
from caption_flow.worker.duty import Visit


class Prepared(Struct, frozen=True):
    """An image as the engine gets it."""

    data: bytes
    sha256: str  # hex digest of the data
    pixels: Image | None = None  # where the engine wants them
    picture: Picture | UnsetType = UNSET  # where it is we who looked at it first


class Preparer:
    """Makes images ready."""

    def __init__(self, *, threads: int, decodes: bool) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="decode")
        self._decodes = decodes

    async def prepare(self, visit: Visit, data: bytes) -> Prepared:
        """Decode the image if the engine wants that, and look at it if no feeder has."""
        sample, limits = visit.lease.sample, visit.duty.images
        unseen = sample.reference is not UNSET
        if not (unseen or self._decodes):
            return Prepared(data, sample.sha256)
        loop = asyncio.get_running_loop()
        if not unseen:
            pixels = await loop.run_in_executor(self._threads, _pixels, data, limits)
            return Prepared(data, sample.sha256, pixels)
        image = await loop.run_in_executor(self._threads, self._look, data, limits)
        _check_unchanged(visit.outcomes, image.picture)
        return image

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _look(self, data: bytes, limits: ImagesConfig) -> Prepared:
        """Do what the feeder does with the images that it reads."""
        fed, picture = fit(
            data,
            max_side=limits.max_side,
            max_bytes=limits.max_bytes,
            max_pixels=limits.max_pixels,
        )
        pixels = _pixels(fed, limits) if self._decodes else None
        return Prepared(fed, picture.sha256, pixels, picture)


def _pixels(data: bytes, limits: ImagesConfig) -> Image:
    return decode(data, max_pixels=limits.max_pixels, max_side=limits.max_side)


def _check_unchanged(outcomes: Outcomes, picture: Picture | UnsetType) -> None:
    """Refuse an image that is another than the one that an earlier stage captioned."""
    if picture is UNSET:
        return
    for outcome in outcomes:
        seen = outcome.picture
        if seen is not UNSET and seen.read and seen.read != picture.read:
            detail = f'it is another one than the stage "{outcome.stage}" has captioned'
            raise BadImage("image_changed", detail)
