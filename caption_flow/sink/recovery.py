"""Sink: what a crash left half done is finished, whoever began it.

A recorded part that is still temporary is renamed; an unrecorded one is deleted, since its rows
are still in the queue. A published part that the queue has forgotten is recorded again. Its
samples may come a second time, to any sink, and are then dropped; and since another sink may have
been the one to record it, all parts that are young when Redis comes back are treated alike.
"""

import asyncio
import logging
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack

import msgspec

from caption_flow.dataset.known import Known
from caption_flow.dataset.parts import PartFolder
from caption_flow.queue.ports import CaptionQueue

logger = logging.getLogger(__name__)

RECENT_SECONDS = 600.0  # a part this young may be one that the queue has forgotten


def record(rows: int) -> bytes:
    """Write what the queue keeps of a part."""
    return msgspec.json.encode({"rows": rows})


class Recovery:
    """Settles parts that nobody else will."""

    def __init__(self, queue: CaptionQueue, folder: PartFolder) -> None:
        self._queue = queue
        self._folder = folder
        self._suspects: list[Known] = []  # samples that stand in a part and may come again
        self._rows: dict[str, int] = {}  # part they stand in -> its rows

    async def run(self, *, doubt: bool) -> None:
        """Settle what is abandoned, record what is forgotten; `doubt`: Redis was away."""
        abandoned = await asyncio.to_thread(self._folder.abandoned)
        with ExitStack() as held:
            for part in abandoned:
                held.callback(part.close)
            published = await asyncio.to_thread(self._folder.published)
            # Asked only now: a writer records a part before it publishes it, and may have
            # recorded one just before it died and we had its lock.
            recorded = await self._queue.parts()
            for part in abandoned:
                known = part.name in recorded
                logger.info("%s the part %s", "Publishing" if known else "Dropping", part.name)
                await asyncio.to_thread(part.settle, recorded=known)
        forgotten = [part for part in published if part not in recorded]
        recent = await asyncio.to_thread(self._folder.recent, RECENT_SECONDS) if doubt else []
        await asyncio.to_thread(self._suspect, {*forgotten, *recent}.difference(self._rows))
        for name in forgotten:
            await self._queue.record_part(name, record(self._rows[name]))
            logger.warning("Recorded the part %s again; the queue had forgotten it", name)

    def doubles(self, ids: Sequence[str]) -> set[str]:
        """Find the samples that stand in a part already."""
        unknown = ids
        for known in self._suspects:
            unknown = known.unknown(unknown)
        return set(ids).difference(unknown) if self._suspects else set()

    def _suspect(self, parts: Collection[str]) -> None:
        if parts:
            self._suspects.append(Known(self._ids(parts)))

    def _ids(self, parts: Iterable[str]) -> Iterator[str]:
        for part in parts:
            ids = self._folder.ids(part)
            self._rows[part] = len(ids)
            yield from ids
