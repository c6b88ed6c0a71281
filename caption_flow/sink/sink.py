"""Sink: captions become a Parquet data set.

Reads the caption stream, writes parts. A part is complete on disk before its entries are
acked and renamed after, so a crash repeats a step and never loses or doubles a caption.
"""

import asyncio
import logging
import time
from collections.abc import Collection, Sequence
from pathlib import Path

from msgspec import Struct

from caption_flow.dataset.columns import ColumnSchema, infer
from caption_flow.dataset.parts import OpenPart, PartFolder
from caption_flow.keeper import Keeper
from caption_flow.lifecycle import Drain
from caption_flow.model import Caption, EntryId
from caption_flow.patience import Interrupted, Patience
from caption_flow.queue.ports import CaptionQueue
from caption_flow.sink.recovery import Recovery, record

logger = logging.getLogger(__name__)

READ_COUNT = 512  # captions asked for at once
RECOVER_SECONDS = 10.0  # between two looks for what other sinks left


class PartSize(Struct, frozen=True):
    """When a part is finished: whichever comes first."""

    rows: int
    seconds: float  # since its first row


class Sink:
    """One sink; several may serve one job and one folder."""

    def __init__(
        self,
        queue: CaptionQueue,
        folder: PartFolder,
        *,
        outputs: Sequence[str],
        size: PartSize,
        lease_seconds: float,
        drain: Drain,
        exit_when_done: bool,
    ) -> None:
        self._queue = queue
        self._folder = folder
        self._outputs = tuple(outputs)
        self._size = size
        self._drain = drain
        self._exit_when_done = exit_when_done
        self._patience = Patience(drain)
        self._keeper = Keeper(self._renew, lease_seconds)
        self._recovery = Recovery(queue, folder)
        self._failures_seen = -1  # so that the first recovery doubts
        self._recover_at = 0.0
        self._agreed: ColumnSchema | None = None
        self._part: OpenPart | None = None
        self._part_due = 0.0
        self.rows = 0  # captions this sink has put into published parts

    @property
    def path(self) -> Path:
        """The folder of the parts."""
        return self._folder.path

    def figures(self) -> dict[str, float]:
        """Count what was done, for whoever watches."""
        return {"rows": self.rows}

    async def run(self) -> None:
        """Write parts until asked to drain, or until the job is done."""
        try:
            async with self._keeper:
                while not self._drain.asked:
                    await self._recover_now_and_then()
                    captions = await self._patience(lambda: self._queue.read(self._wanted()))
                    await self._add(captions)
                    if self._is_due() or (not captions and await self._is_over()):
                        await self._close_part()
                    if not captions and self._exit_when_done and await self._is_done():
                        break
                await self._close_part()
        except Interrupted as exc:
            logger.warning("%s What is not in a part stays in the queue", exc)
            if self._part is not None:
                self._part.discard()
                self._part = None
        finally:
            if self._part is not None:  # cut short, perhaps within a commit: recovery will know
                self._part.abandon()

    def _wanted(self) -> int:
        held = len(self._part.entries) if self._part else 0
        return min(READ_COUNT, self._size.rows - held)

    def _is_due(self) -> bool:
        if self._part is None:
            return False
        return len(self._part.entries) >= self._size.rows or time.monotonic() >= self._part_due

    async def _is_over(self) -> bool:
        """Whether no caption will come any more for the part that is open."""
        if self._part is None:
            return False
        return (await self._patience(self._queue.counts)).captions_done

    async def _is_done(self) -> bool:
        return (await self._patience(self._queue.counts)).done

    async def _add(self, captions: Sequence[Caption]) -> None:
        captions = await self._new(captions)
        if not captions:
            return
        if self._part is None:
            self._part = await self._open_part(captions)
        await asyncio.to_thread(self._part.append, captions)

    async def _new(self, captions: Sequence[Caption]) -> list[Caption]:
        """Leave out what stands in a part already."""
        doubles = self._recovery.doubles([c.sample.id for c in captions])
        if doubles:
            await self._discard([c.entry for c in captions if c.sample.id in doubles])
        return [c for c in captions if c.sample.id not in doubles]

    async def _discard(self, entries: Sequence[EntryId]) -> None:
        logger.warning("Dropping %d captions that stand in a part already", len(entries))
        await self._patience(lambda: self._queue.discard(entries))

    async def _open_part(self, captions: Sequence[Caption]) -> OpenPart:
        if self._agreed is None:
            self._agreed = await self._agree(captions)
        self._part_due = time.monotonic() + self._size.seconds
        return await asyncio.to_thread(self._folder.open, self._agreed)

    async def _agree(self, captions: Sequence[Caption]) -> ColumnSchema:
        """Settle the columns for the job: the finished parts', or those of its first captions."""
        ours = await asyncio.to_thread(self._folder.agreed)
        if ours is None:
            ours = infer(self._outputs, (c.sample.columns for c in captions))
        proposal = ours.encode()
        return ColumnSchema.decode(await self._patience(lambda: self._queue.agree(proposal)))

    async def _close_part(self) -> None:
        """Prepare, commit and publish the open part."""
        if self._part is None:
            return
        await asyncio.to_thread(self._part.prepare)
        try:
            await self._commit(self._part)
        except Interrupted:
            # Perhaps the queue has recorded it and only its answer is lost: recovery will know.
            self._part.abandon()
            self._part = None
            raise
        # Only now: its leases are renewed until the queue has taken it.
        part, self._part = self._part, None
        if not part.entries:
            part.discard()
            return
        await asyncio.to_thread(part.publish)
        self.rows += len(part.entries)
        logger.info("Published the part %s with %d captions", part.name, len(part.entries))

    async def _commit(self, part: OpenPart) -> None:
        """Record the open part, less what turns out to be another's."""
        while (part := await self._without_doubles(part)).entries:
            lost = await self._patience(
                lambda part=part: self._queue.commit(  # type: ignore[misc]
                    part.name, record(len(part.entries)), part.entries
                )
            )
            if not lost:
                return
            logger.warning("Lost the lease on %d captions; another sink has them", len(lost))
            part = await self._reduce(part, set(lost))

    async def _without_doubles(self, part: OpenPart) -> OpenPart:
        """After a broken connection the queue may have forgotten parts, and deliver them again."""
        if self._patience.failures != self._failures_seen:
            await self._recover()
        doubles = self._recovery.doubles(part.ids)
        if not doubles:
            return part
        entries = [e for e, id_ in zip(part.entries, part.ids, strict=True) if id_ in doubles]
        await self._discard(entries)
        return await self._reduce(part, set(entries))

    async def _reduce(self, part: OpenPart, entries: Collection[EntryId]) -> OpenPart:
        """Let the open part be one without the rows of some entries."""
        self._part = rest = await asyncio.to_thread(part.without, entries)
        await asyncio.to_thread(rest.prepare)
        return rest

    async def _recover_now_and_then(self) -> None:
        if time.monotonic() >= self._recover_at:
            await self._recover()

    async def _recover(self) -> None:
        failures = self._patience.failures
        doubt = failures != self._failures_seen
        await self._patience(lambda: self._recovery.run(doubt=doubt))
        self._failures_seen = failures  # those since then raise doubts of their own
        self._recover_at = time.monotonic() + RECOVER_SECONDS

    async def _renew(self) -> None:
        if self._part is not None:
            await self._queue.renew_captions(list(self._part.entries))
