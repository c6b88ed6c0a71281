"""Queue: a stream read from its first entry to its last, a page at a time."""

from collections.abc import AsyncIterator
from typing import Any

from caption_flow.queue.border import translated
from caption_flow.queue.consumer import Delivery

PAGE = 1000  # entries read at a time


async def pages(client: Any, stream: str) -> AsyncIterator[list[Delivery]]:
    """Give the entries that are there now, oldest first; what comes meanwhile is not among them."""
    with translated():
        newest = await client.xrevrange(stream, count=1)
    after = "-"
    while newest:
        with translated():
            entries = await client.xrange(stream, min=after, max=newest[0][0], count=PAGE)
        if entries:
            yield [Delivery(stream, entry.decode(), fields, 0) for entry, fields in entries]
        if len(entries) < PAGE:
            return
        after = "(" + entries[-1][0].decode()
