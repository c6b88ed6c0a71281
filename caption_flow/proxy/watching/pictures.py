"""Proxy: thumbnails of what is on the wall, several in an answer, and none that must be waited for.

One request a connection is what a browser gets here, so that a request for each picture would be a
handshake for each.
"""

import asyncio
from base64 import b64encode
from concurrent.futures import Future

from msgspec import Struct

from caption_flow.dataset.thumbnails import Size, Thumbnails
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
    """Page: the thumbnails of rows, `keys=KEY,KEY,…`; with `size=large` a larger one of one row."""

    def __init__(self, wall: Wall, thumbnails: Thumbnails | None) -> None:
        self._wall = wall
        self._thumbnails = thumbnails

    async def __call__(self, question: Asked) -> Answer:
        """Answer with the pictures of the first few rows that are named."""
        size: Size = "large" if question.query.get("size") == "large" else "small"
        keys = question.query.get("keys", "").split(",")[: MOST if size == "small" else 1]
        samples = self._wall.samples(keys) if self._thumbnails is not None else {}
        if self._thumbnails is None or not samples:
            return told(Pictures({}, keys, []))
        making = {
            key: asyncio.ensure_future(_looked_at(self._thumbnails, sample, size))
            for key, sample in samples.items()
        }
        await asyncio.wait(making.values(), timeout=WAIT_SECONDS)
        ready = {key: one.result() for key, one in making.items() if one.done()}
        pictures = {key: b64encode(data).decode() for key, data in ready.items() if data}
        later = [key for key in making if key not in ready]
        none = [key for key in keys if key not in pictures and key not in later]
        return told(Pictures(pictures, none, later))


async def _looked_at(thumbnails: Thumbnails, sample: Sample, size: Size) -> bytes:
    """Wait for a picture; empty where there is none. It is made on, though nobody waits."""
    making: Future[bytes] = thumbnails.of(sample, size)
    try:
        return await asyncio.shield(asyncio.wrap_future(making))
    except Exception:  # of any kind: a picture that cannot be had
        return b""
