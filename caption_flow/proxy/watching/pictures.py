"""Proxy: thumbnails of what is on the wall, several in an answer, and none that must be waited for.

One request a connection is what a browser gets here, so that a request for each picture would be a
handshake for each.
"""

import asyncio
from base64 import b64encode
from collections.abc import Awaitable, Callable
from contextlib import suppress

from msgspec import Struct

from caption_flow.dataset.thumbnails import Size, Thumbnails, TooMany
from caption_flow.errors import CaptionFlowError
from caption_flow.model import Sample
from caption_flow.proxy.watching.wall import Wall
from caption_flow.web.site import Answer, Asked, told

MOST = 24  # pictures in an answer
WAIT_SECONDS = 1.5  # for those that are not made yet; then they are asked for again
KEPT_BYTES = 12 << 20  # of pictures


class Pictures(Struct, frozen=True):
    """What is known of the pictures that were asked for."""

    ready: dict[str, str]  # WebP in base64, by key of the row
    none: list[str]  # keys of rows that have none to show
    later: list[str]  # keys that are worth asking for again


class PicturePage:
    """Page: the thumbnails of rows, `keys=KEY,KEY,…`; with `size=large` a larger one of one row.

    `look`: has the wall look for what is new.
    """

    def __init__(
        self, wall: Wall, thumbnails: Thumbnails | None, look: Callable[[], Awaitable[None]]
    ) -> None:
        self._wall = wall
        self._thumbnails = thumbnails
        self._look = look

    async def __call__(self, question: Asked) -> Answer:
        """Answer with the pictures of the first few rows that are named."""
        size: Size = "large" if question.query.get("size") == "large" else "small"
        keys = question.query.get("keys", "").split(",")[: MOST if size == "small" else 1]
        if self._thumbnails is None:
            return told(Pictures({}, keys, []))
        samples = await self._samples(keys)
        making = {key: _begun(self._thumbnails, sample, size) for key, sample in samples.items()}
        if making:
            await asyncio.wait(making.values(), timeout=WAIT_SECONDS)
        made = {key: data for key, one in making.items() if (data := _made(one))}
        pictures = {key: b64encode(data).decode() for key, data in made.items()}
        later = [key for key, one in making.items() if key not in pictures and _is_later(one)]
        none = [key for key in keys if key not in pictures and key not in later]
        return told(Pictures(pictures, none, later))

    async def _samples(self, keys: list[str]) -> dict[str, Sample]:
        """Find what rows are about; another proxy may have shown one before this one saw it."""
        found = self._wall.samples(keys)
        if len(found) < len(set(keys)):
            with suppress(CaptionFlowError):
                await self._look()
            found = self._wall.samples(keys)
        return found


def _begun(thumbnails: Thumbnails, sample: Sample, size: Size) -> "asyncio.Future[bytes]":
    """Begin a picture. It is made on, though nobody waits: then its failure is no news."""
    making = asyncio.wrap_future(thumbnails.of(sample, size))
    making.add_done_callback(lambda one: one.cancelled() or one.exception())
    return making


def _made(making: "asyncio.Future[bytes]") -> bytes:
    """Give a picture; empty where there is none, or none yet."""
    if not making.done() or making.cancelled() or making.exception() is not None:
        return b""
    return making.result()


def _is_later(making: "asyncio.Future[bytes]") -> bool:
    if not making.done():
        return True
    return not making.cancelled() and isinstance(making.exception(), TooMany)
