"""Audit: hears the witnesses in the order of the flow, and compares.

A sample only moves downstream: the plan is read first, then the streams in their order, the parts
last, and so nothing that moves meanwhile is overlooked. Only the retry of a dead letter goes the
other way; while somebody retries, the streams are read again. Where that has no end, a sample that
was ever retried may be on its way back, and is not called missing.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

from msgspec import Struct

from caption_flow.audit.compare import Comparison, Whereabouts, differences
from caption_flow.audit.planned import Run, planned
from caption_flow.audit.seeing import See, unseen
from caption_flow.audit.shelf import Shelf, read_parts
from caption_flow.audit.tally import Findings
from caption_flow.dataset.census import Home
from caption_flow.dataset.parts import PartFolder
from caption_flow.dataset.source import Source, sample_id
from caption_flow.feed.position import Position
from caption_flow.model import Chunk
from caption_flow.queue.ports.audit import AuditQueue, Books, Mark

SHOWN = 20  # samples that are named
MOST_LOOKS = 5  # at the streams, while somebody retries dead letters again and again


class Heard(Struct, frozen=True):
    """What Redis said."""

    mark: Mark
    books: Books
    plan: Position  # as in the mark
    whereabouts: Whereabouts


class Scan(Struct, frozen=True):
    """One look at a job, with what is needed to mend it."""

    findings: Findings
    heard: Heard | None
    comparison: Comparison
    lost_rows: int  # of parts that are gone, as far as no other part has them


class Audit:
    """Looks at a job, as often as asked; without a queue or a source, at what is left."""

    def __init__(
        self,
        folder: PartFolder,
        *,
        queue: AuditQueue | None,
        source: Source | None,
        chunk_size: int,
        see: See = unseen,
    ) -> None:
        self._folder = folder
        self._queue = queue
        self._source = source
        self._chunk_size = chunk_size
        self._see = see

    async def scan(self) -> Scan:
        """Look at everything once."""
        heard, shelf = await self._read()
        comparison = Comparison(
            heard.whereabouts if heard else Whereabouts(),
            shelf.census,
            chunk_size=self._chunk_size,
        )
        missing, some = await self._count_lost(comparison, heard)
        lost_rows = _lost_rows(heard.books, comparison, shelf) if heard else 0
        unnamed = lost_rows + (_gap(heard.books) if heard else 0)
        findings = Findings(
            queue=heard is not None,
            source=self._source is not None,
            plan_done=heard is not None and heard.plan.done,
            chunks=comparison.tallies(missing),
            unnamed=0 if self._source else unnamed,
            parts=shelf.found,
            differences=tuple(differences(heard.books)) if heard else (),
            missing=tuple(some),
            doubled=tuple(await asyncio.to_thread(shelf.census.doubles, SHOWN)),
        )
        return Scan(findings, heard, comparison, lost_rows)

    async def _read(self) -> tuple[Heard | None, Shelf]:
        """Hear Redis and read the parts; again, while samples go back from there to a chunk."""
        queue = self._queue
        if queue is None:
            return None, await read_parts(self._folder, None, self._see)
        for _ in range(MOST_LOOKS):
            heard = await self._hear(queue)
            shelf = await read_parts(self._folder, queue.recorded, self._see)
            if (await queue.mark()).reissues == heard.mark.reissues:
                break
        return heard, shelf

    async def lost(self, comparison: Comparison, heard: Heard | None) -> AsyncIterator[Chunk]:
        """Give what is planned and nowhere, by the chunk it will have been in."""
        async for run in self._planned(heard):
            for chunk in comparison.lost(run):
                yield chunk

    async def captioned(self, scan: Scan) -> int:
        """Count the samples that the source names and a part has; none without a source."""
        return sum([scan.comparison.captioned_of(run) async for run in self._planned(scan.heard)])

    async def _planned(self, heard: Heard | None) -> AsyncIterator[Run]:
        if self._source is None:
            return
        walk = planned(self._source, heard.plan if heard else None)
        listed, total = 0, heard.books.counted.planned if heard else None
        while (run := await asyncio.to_thread(next, walk, None)) is not None:
            yield run
            listed += sum(run.wanted)
            self._see("walking the data set", listed, total)

    async def _hear(self, queue: AuditQueue) -> Heard:
        whereabouts = Whereabouts()
        mark = await queue.mark()
        for _ in range(MOST_LOOKS):
            before = await queue.taken_back()
            await _read_streams(queue, whereabouts, self._see)
            if await queue.taken_back() == before:
                break
        else:
            whereabouts.see_retried(await queue.retried())
        return Heard(mark, await queue.books(), Position.decode(mark.position), whereabouts)

    async def _count_lost(
        self, comparison: Comparison, heard: Heard | None
    ) -> tuple[Counter[Home], list[str]]:
        missing: Counter[Home] = Counter()
        some: list[str] = []
        async for chunk in self.lost(comparison, heard):
            missing[Home(chunk.shard, chunk.id)] += chunk.count
            wanted = chunk.names[: SHOWN - len(some)]
            some += [sample_id(chunk.shard, name) for name in wanted]
        return missing, some


async def _read_streams(queue: AuditQueue, whereabouts: Whereabouts, see: See) -> None:
    whereabouts.see_waiting(await queue.chunks())
    read = 0
    async for batch in queue.in_flight():
        whereabouts.see("in_flight", batch)
        see("reading streams", read := read + len(batch), None)
    async for batch in queue.dead():
        whereabouts.see("dead", batch)
        see("reading streams", read := read + len(batch), None)
    whereabouts.see_dropped(await queue.dropped())


def _lost_rows(books: Books, comparison: Comparison, shelf: Shelf) -> int:
    """Count the rows of parts that are gone and in no other part, since parts may be merged.

    They are what was committed and stands nowhere now. A Redis that was emptied has not counted
    all that stands in parts: then the answer is too low.
    """
    committed = books.counted.captioned + comparison.returning
    lost = max(0, committed - comparison.captioned)
    return min(lost, sum(shelf.found.gone.values()))


def _gap(books: Books) -> int:
    """Count the samples that the books have and the streams have not."""
    return max(0, books.counted.planned - books.found.planned)
