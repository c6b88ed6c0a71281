"""Sink: what a crash left half done is finished, whoever began it and whatever crashed.

A temporary part whose writer is gone is renamed if it is recorded, and else deleted, since its
rows are still in the queue. When the queue may have forgotten something, as after a flush or a
crash of the server, the published parts that it does not know are recorded again, with a mark.
Their samples may come a second time, to any sink and days later, and are then dropped.
"""

import asyncio
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import ExitStack

from caption_flow.dataset.known import Known
from caption_flow.dataset.merged import is_merged
from caption_flow.dataset.parts import AbandonedPart, PartFolder
from caption_flow.dataset.retiring import retire
from caption_flow.dataset.rewriting import find, revision
from caption_flow.errors import QueueFull, StorageBlocked, StorageUnfit
from caption_flow.logs import about
from caption_flow.queue.ports import CaptionQueue
from caption_flow.sink.merges import follow_merges
from caption_flow.sink.records import Record, read_record, record
from caption_flow.sink.surveys import Survey, Surveys

logger = logging.getLogger(__name__)


class Recovery:
    """Settles parts that nobody else will, and knows the samples that may come again.

    Who commits nothing may leave alone what cannot be read, and keeps no samples in mind; a sink
    must know what stands in parts.
    """

    def __init__(
        self,
        queue: CaptionQueue,
        folder: PartFolder,
        *,
        leave_unreadable: bool = False,
        surveys: Surveys | None = None,
    ) -> None:
        """`surveys`: shared with others of the process that know the same folder and queue."""
        self._queue = queue
        self._folder = folder
        self._leave_unreadable = leave_unreadable
        self._surveys = surveys or Surveys()
        self.epoch = ""  # of the queue, when all that it had forgotten was found
        self._unrecorded: set[str] = set()  # parts found forgotten, until they are recorded again
        self._suspects = Known(())  # samples that stand in a part and may come again
        self._read: frozenset[str] = frozenset()  # the parts that they stand in
        self._revisions: dict[str, str] = {}  # likewise, of those that have lost rows
        self._rivals: dict[str, Known] = {}  # parts that others may be about to publish

    async def run(self) -> None:
        """Settle what is abandoned, and find what the queue has forgotten since the last time."""
        await self._settle_abandoned()
        await self.finish_rewrites()
        await self._record_again()
        while (epoch := await self._queue.epoch()) != self.epoch:
            await self._find_forgotten(epoch)
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
        return set(ids).difference(self._suspects.unknown(ids)) if self._read else set()

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
        if recorded and is_merged(part.name):
            await asyncio.to_thread(retire, self._folder)

    async def _find_forgotten(self, epoch: str) -> None:
        survey = await self._surveys.take(self, epoch, self._look_about)
        told = survey.told
        forgotten = survey.parts - told.keys()
        marked = {name for name, record in told.items() if record.again} & survey.parts
        wanted = forgotten if self._leave_unreadable else forgotten | marked
        await self._suspect(wanted, anew=not self._are_as_read(survey.parts, told))
        self._revisions = {part: one.revision for part, one in told.items() if one.revision}
        self._rivals |= survey.rivals
        self._unrecorded = set(self._read & forgotten)

    async def _look_about(self) -> Survey:
        # In this order: whoever holds a prepared part now may have had it recorded before the
        # queue forgot that; once published it is found here, or else when it is settled.
        rivals = await asyncio.to_thread(self._read_rivals)
        standing = await follow_merges(self._queue, self._folder)
        told = {name: read_record(value) for name, value in standing.records.items()}
        return Survey(rivals, standing.parts, told)

    def _are_as_read(self, standing: AbstractSet[str], told: Mapping[str, Record]) -> bool:
        """Whether no part lost rows or was merged since it was read."""
        for part in self._read:
            if part in told:
                if told[part].revision != self._revisions.get(part, ""):
                    return False
            elif part not in self._unrecorded or part not in standing:
                return False
        return True

    async def _settle_rival(self, part: str, ids: Sequence[str]) -> None:
        """Note what became of another's part; it is waited for where it may hold one of these."""
        if await asyncio.to_thread(self._folder.is_unpublished, part):
            if len(self._rivals[part].unknown(ids)) < len(ids):
                raise StorageBlocked(
                    f"Another sink has yet to publish {self._folder.file(part)}, which may hold "
                    "samples that came a second time. If it hangs, end it."
                )
            return
        look = await asyncio.to_thread(self._folder.look)
        last = look.superseded.get(part, part)  # it may be merged since
        if last in look.published:
            await self._suspect({last})
            self._unrecorded.add(last)
        del self._rivals[part]

    async def _suspect(self, parts: AbstractSet[str], *, anew: bool = False) -> None:
        """Keep the samples of these parts in mind; `anew`: and no others any more."""
        suspects, read = (Known(()), frozenset[str]()) if anew else (self._suspects, self._read)
        new = sorted(parts - read)
        if len(new) > 1:
            logger.info("Reading the samples of %d parts that Redis had forgotten", len(new))
        found: set[str] = set()
        # In place only when all are read: a disk that is away meanwhile takes nothing from us.
        self._suspects = await asyncio.to_thread(suspects.with_more, self._ids(new, found))
        self._read = read | found

    async def _record_again(self) -> int:
        """Record what was found forgotten; answers how much nobody else had recorded yet."""
        count, refused = 0, list[str]()
        if self._unrecorded:
            # What waits since long may have been recorded by others, and merged.
            self._unrecorded &= set(await asyncio.to_thread(self._folder.published))
        for part in sorted(self._unrecorded):
            try:
                again = await asyncio.to_thread(self._record_of, part)
                merged = await asyncio.to_thread(self._folder.replaced_by, part)
                if await self._queue.record_part(part, again, merged or ()):
                    count += 1
                else:
                    refused.append(part)
            except QueueFull:
                break  # a sink that waited here would not make room; we know what is suspect
            self._unrecorded.discard(part)
        if count:
            logger.warning("Recorded parts again that Redis had forgotten: %d", count)
        if refused:
            await self._tell_refused(refused)
        return count

    async def _tell_refused(self, parts: Sequence[str]) -> None:
        """Say which parts were merged as Redis knows, and not as the folder is: put back, say."""
        missing = set(parts) - (await self._queue.records_of(parts)).keys()
        if not missing:  # another sink was first
            return
        published = await asyncio.to_thread(self._folder.published)
        if left := sorted(missing.intersection(published)):
            logger.warning(
                "Redis has a part in the place of %d parts, such as %s, which are not recorded "
                'therefore. If it is gone, run "caption-flow scan_chunks PATH --fix"',
                *(len(left), left[0]),
            )

    def _record_of(self, part: str) -> bytes:
        folder = self._folder
        last = revision(folder, part)
        made = folder.tally(part), folder.shards(part)
        return record(folder.rows_of(part) or 0, *made, again=True, revision=last)

    def _read_rivals(self) -> dict[str, Known]:
        # What is merged stands in other parts.
        written = [part for part in self._folder.unpublished() if not is_merged(part)]
        read = {part: self._folder.ids_if_prepared(part) for part in written}
        return {part: Known(ids) for part, ids in read.items() if ids is not None}

    def _ids(self, parts: Iterable[str], found: set[str]) -> Iterator[str]:
        for part in parts:
            try:
                ids = self._folder.ids(part)
            except StorageUnfit:
                if not self._leave_unreadable:
                    raise
                continue
            found.add(part)
            if not self._leave_unreadable:
                yield from ids
