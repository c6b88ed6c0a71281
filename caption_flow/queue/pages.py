"""Queue: a stream read from its first entry to its last, a page at a time."""

from collections.abc import AsyncIterator
from typing import Any

from caption_flow.queue.border import translated
from caption_flow.queue.consumer import Delivery

PAGE = 1000  # entries read at a time


async def pages(client: Any, stream: str, *, newest: bytes = b"") -> AsyncIterator[list[Delivery]]:
    """Give the entries that are there now, oldest first; what comes meanwhile is not among them.

    `newest`: the last one that is given, where that is known.
    """
    newest = newest or await _newest(client, stream)
    after = "-"
    while newest:
        with translated():
            entries = await client.xrange(stream, min=after, max=newest, count=PAGE)
        if entries:
            yield [Delivery(stream, entry.decode(), fields, 0) for entry, fields in entries]
        if len(entries) < PAGE:
            return
        after = "(" + entries[-1][0].decode()


async def _newest(client: Any, stream: str) -> bytes:
    with translated():
        entries = await client.xrevrange(stream, count=1)
    return bytes(entries[0][0]) if entries else b""
