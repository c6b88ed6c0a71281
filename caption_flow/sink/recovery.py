"""Sink: what a crash left half done is finished, whoever began it.

A recorded part that is still temporary is renamed; an unrecorded one is deleted, since its rows
are still in the queue. A published part that the queue has forgotten is recorded again, and its
samples are remembered, so that they are dropped should they come a second time.
"""

import asyncio
import logging

import msgspec

from caption_flow.dataset.parts import PartFolder
from caption_flow.queue.ports import CaptionQueue

logger = logging.getLogger(__name__)


def record(rows: int) -> bytes:
    """Write what the queue keeps of a part."""
    return msgspec.json.encode({"rows": rows})


class Recovery:
    """Settles parts that nobody else will."""

    def __init__(self, queue: CaptionQueue, folder: PartFolder) -> None:
        self._queue = queue
        self._folder = folder
        self.published: set[str] = set()  # ids of samples in parts that the queue had forgotten

    async def run(self) -> None:
        """Settle what is abandoned, record what is forgotten."""
        abandoned = await asyncio.to_thread(self._folder.abandoned)
        published = await asyncio.to_thread(self._folder.published)
        # Asked only now: a writer records a part before it publishes it, and may have recorded
        # one just before it died and we had its lock.
        recorded = await self._queue.parts()
        for part in abandoned:
            known = part.name in recorded
            logger.info("%s the part %s", "Publishing" if known else "Dropping", part.name)
            await asyncio.to_thread(part.settle, recorded=known)
        for name in published:
            if name not in recorded:
                await self._record(name)

    async def _record(self, part: str) -> None:
        ids = await asyncio.to_thread(self._folder.ids, part)
        self.published.update(ids)
        await self._queue.record_part(part, record(len(ids)))
        logger.warning("Recorded the part %s again; the queue had forgotten it", part)
