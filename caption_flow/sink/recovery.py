"""Sink: what a crash left half done is finished, whoever began it and whatever crashed.

A temporary part whose writer is gone is renamed if it is recorded, and else deleted, since its
rows are still in the queue. When the queue may have forgotten something, as after a flush or a
crash of the server, the published parts that it does not know are recorded again, with a mark.
Their samples may come a second time, to any sink and days later, and are then dropped.
"""

import asyncio
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack

import msgspec
from msgspec import Struct

from caption_flow.dataset.known import Known
from caption_flow.dataset.parts import AbandonedPart, PartFolder
from caption_flow.dataset.rewriting import find, revision
from caption_flow.errors import QueueFull, StorageBlocked, StorageUnfit
from caption_flow.logs import about
from caption_flow.model import Tally
from caption_flow.queue.keys import shard_to
from caption_flow.queue.ports import CaptionQueue

logger = logging.getLogger(__name__)


class Record(Struct, frozen=True, omit_defaults=True):
    """What the queue keeps of a part."""

    rows: int = 0
    again: bool = False  # the queue had forgotten it, so its samples may come a second time
    tally: Tally = {}  # of its rows
    shards: dict[str, int] = {}  # rows of each shard, by its name as queue/keys.py writes it
    revision: str = ""  # the last time that it lost rows


def record(
    rows: int,
    tally: Tally,
    shards: Mapping[str, int] = {},
    *,
    again: bool = False,
    revision: str = "",
) -> bytes:
    """Write what the queue keeps of a part."""
    written = {shard_to(shard): count for shard, count in shards.items()}
    return msgspec.json.encode(Record(rows, again, tally, written, revision))


def read_record(value: bytes) -> Record:
    """Read what the queue keeps of a part."""
    return msgspec.json.decode(value, type=Record)


class Recovery:
    """Settles parts that nobody else will, and knows the samples that may come again.

    Who commits nothing may leave alone what cannot be read; a sink must know what stands in it.
    """

    def __init__(
        self, queue: CaptionQueue, folder: PartFolder, *, leave_unreadable: bool = False
    ) -> None:
        self._queue = queue
        self._folder = folder
        self._leave_unreadable = leave_unreadable
        self.epoch = ""  # of the queue, when all that it had forgotten was found
        self._unrecorded: set[str] = set()  # parts found forgotten, until they are recorded again
        self._suspects = Known(())  # samples that stand in a part and may come again
        self._rows: dict[str, int] = {}  # part they stand in -> its rows
        self._revisions: dict[str, str] = {}  # likewise, of those that have lost rows
        self._rivals: dict[str, Known] = {}  # parts that others may be about to publish

    async def run(self) -> None:
        """Settle what is abandoned, and find what the queue has forgotten since the last time."""
        await self._settle_abandoned()
        await self.finish_rewrites()
        await self._record_again()
        while (epoch := await self._queue.epoch()) != self.epoch:
            await self._find_forgotten()
            self.epoch = epoch
            await self._record_again()  # which lets another epoch begin

    async def look_again(self) -> None:
        """Look once more, if anything may have changed: rows may have been taken out of parts."""
        if await self._queue.epoch() != self.epoch:
            await self.run()

    async def make_sure(self, part: str, ids: Sequence[str]) -> None:
        """Let `doubles` tell all samples of a part of ours that stand in another.

        To be asked after they were read and before the part is prepared: a sink that waits here
        holds up no other. Raises StorageBlocked for as long as it cannot be known.
        """
        if self._rivals or await self._queue.epoch() != self.epoch:
            await self.run()
        self._rivals.pop(part, None)
        for rival in list(self._rivals):
            await self._settle_rival(rival, ids)
        if await self._record_again():
            await self.make_sure(part, ids)  # in the epoch that has begun with it

    async def finish_rewrites(self) -> None:
        """Finish what somebody began who took rows out of parts, and died."""
        for part, token in (await self._queue.rewrites()).items():
            found = await asyncio.to_thread(find, self._folder, part, token)
            if found == "replaced" and await self._queue.finish_rewrite(part, token):
                logger.info("Finished taking rows out of the part %s", part, extra=about(part=part))
            elif found == "undone":
                await self._queue.cancel_rewrite(part, token)

    def doubles(self, ids: Sequence[str]) -> set[str]:
        """Find the samples that stand in a part already."""
        return set(ids).difference(self._suspects.unknown(ids)) if self._rows else set()

    async def _settle_abandoned(self) -> None:
        abandoned = await asyncio.to_thread(self._folder.abandoned)
        with ExitStack() as held:
            for part in abandoned:
                held.callback(part.close)
            for part in abandoned:
                await self._settle(part)

    async def _settle(self, part: AbandonedPart) -> None:
        try:
            # Its writer may have sent a commit just before it died, which is still on its way.
            recorded = not await self._queue.forbid(part.name)
        except QueueFull:
            return  # a sink that waited here would not make room
        does = "Publishing" if recorded else "Dropping"
        logger.info("%s the part %s", does, part.name, extra=about(part=part.name))
        await asyncio.to_thread(part.settle, recorded=recorded)

    async def _find_forgotten(self) -> None:
        # In this order: whoever holds a prepared part now may have had it recorded before the
        # queue forgot that; once published it is found here, or else when it is settled.
        rivals = await asyncio.to_thread(self._read_rivals)
        published = await asyncio.to_thread(self._folder.published)
        records = await self._queue.records()
        told = {name: read_record(value) for name, value in records.items()}
        self._forget_rewritten(told)
        marked = {name for name, record in told.items() if record.again}
        forgotten = [part for part in published if part not in records]
        await self._suspect([*forgotten, *marked.intersection(published)])
        self._rivals |= rivals
        self._unrecorded |= self._rows.keys() & set(forgotten)

    def _forget_rewritten(self, told: Mapping[str, Record]) -> None:
        """Where parts have lost rows since they were read, begin anew with what is suspect."""
        revisions = {part: told[part].revision for part in self._rows if part in told}
        if any(revision != self._revisions.get(part, "") for part, revision in revisions.items()):
            self._suspects, self._rows = Known(()), {}
        self._revisions = {part: one.revision for part, one in told.items() if one.revision}

    async def _settle_rival(self, part: str, ids: Sequence[str]) -> None:
        """Note what became of another's part; it is waited for where it may hold one of these."""
        if await asyncio.to_thread(self._folder.is_unpublished, part):
            if len(self._rivals[part].unknown(ids)) < len(ids):
                raise StorageBlocked(
                    f"Another sink has yet to publish {self._folder.file(part)}, which may hold "
                    "samples that came a second time. If it hangs, end it."
                )
            return
        if await asyncio.to_thread(self._folder.is_published, part):
            await self._suspect([part])
            self._unrecorded.add(part)
        del self._rivals[part]

    async def _suspect(self, parts: Iterable[str]) -> None:
        new = sorted(set(parts).difference(self._rows))
        if len(new) > 1:
            logger.info("Reading the samples of %d parts that Redis had forgotten", len(new))
        rows: dict[str, int] = {}
        ids = self._ids(new, rows)
        self._suspects = await asyncio.to_thread(self._suspects.with_more, ids)
        self._rows |= rows

    async def _record_again(self) -> int:
        """Record what was found forgotten; answers how much nobody else had recorded yet."""
        count = 0
        for part in sorted(self._unrecorded):
            try:
                again = await asyncio.to_thread(self._record_of, part)
                count += await self._queue.record_part(part, again)
            except QueueFull:
                break  # a sink that waited here would not make room; we know what is suspect
            self._unrecorded.discard(part)
        if count:
            logger.warning("Recorded parts again that Redis had forgotten: %d", count)
        return count

    def _record_of(self, part: str) -> bytes:
        folder = self._folder
        last = revision(folder, part)
        made = folder.tally(part), folder.shards(part)
        return record(self._rows[part], *made, again=True, revision=last)

    def _read_rivals(self) -> dict[str, Known]:
        read = {part: self._folder.ids_if_prepared(part) for part in self._folder.unpublished()}
        return {part: Known(ids) for part, ids in read.items() if ids is not None}

    def _ids(self, parts: Iterable[str], rows: dict[str, int]) -> Iterator[str]:
        for part in parts:
            try:
                ids = self._folder.ids(part)
            except StorageUnfit:
                if not self._leave_unreadable:
                    raise
                continue
            rows[part] = len(ids)
            yield from ids
