"""Proxy: images of a job whose data set is elsewhere, read while they are on their way.

Their pixels leave Redis with the last caption. So, while somebody looks and pictures are missed,
some images are kept of the samples that will be captioned next.
"""

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from caption_flow.dataset.pixels import OutOfReach
from caption_flow.model import Sample

AT_ONCE = 8  # images, in a look
MOST_BYTES = 1 << 20  # of one
KEPT_BYTES = 24 << 20  # of all
MISSED_SECONDS = 60.0  # after a picture was missed, images are kept

Read = Callable[[Sample], bytes]


class Images(Protocol):
    """Where samples on their way have their pixels."""

    async def images(
        self, stages: Sequence[str], known: Collection[str], *, count: int, most: int
    ) -> dict[str, bytes]:
        """Read some that are not known, by sample id."""
        ...


class Passing:
    """Reads the image of a sample from where it lies, or else from what was kept."""

    def __init__(self, images: Images, read: Read, stages: Callable[[], Sequence[str]]) -> None:
        self._images = images
        self._read = read
        self._stages = stages
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._size = 0  # bytes of what is kept
        self._missed = -math.inf  # when a picture was out of reach, on the monotonic clock

    def read(self, sample: Sample) -> bytes:
        """Read an image, from any thread; NoPixels where there is none."""
        kept = self._kept.get(sample.id)
        if kept is not None:
            return kept
        try:
            return self._read(sample)
        except OutOfReach:
            self._missed = time.monotonic()
            raise

    async def look(self) -> None:
        """Keep some images, where pictures are missed."""
        if time.monotonic() - self._missed > MISSED_SECONDS:
            return
        found = await self._images.images(
            self._stages(), self._kept.keys(), count=AT_ONCE, most=MOST_BYTES
        )
        for id_, image in found.items():
            self._kept[id_] = image
            self._size += len(image)
        while self._size > KEPT_BYTES:
            _, oldest = self._kept.popitem(last=False)
            self._size -= len(oldest)
