"""Sink: captions become a Parquet data set.

Reads the caption stream, writes parts. A part is complete on disk before its entries are
acked and renamed after, so a crash repeats a step and never loses or doubles a caption. While the
disk refuses a part, its captions are in the queue, for any sink that can write them.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from caption_flow import traces
from caption_flow.dataset.columns import ColumnSchema, infer
from caption_flow.dataset.open_part import OpenPart
from caption_flow.dataset.parts import PartFolder
from caption_flow.errors import QueueForgot, StorageBlocked
from caption_flow.keeper import Keeper
from caption_flow.lifecycle import Drain, to_its_end
from caption_flow.logs import about
from caption_flow.model import Caption, EntryId
from caption_flow.patience import Interrupted, Patience
from caption_flow.queue.ports import CaptionQueue
from caption_flow.sink.records import record
from caption_flow.sink.recovery import Recovery
from caption_flow.sink.surveys import Surveys

logger = logging.getLogger(__name__)

READ_COUNT = 512  # captions asked for at once
RECOVER_SECONDS = 10.0  # between two looks for what other sinks left
RECOVER_SHARE = 0.05  # of our time, at most, where listing the folder takes long
HELD_UP = 0.5  # of the budget, in parts that wait for more rows: feeders may wait for these parts


class PartSize(Struct, frozen=True):
    """When a part is finished, whichever comes first; early where feeders wait for its room."""

    rows: int
    seconds: float  # since its first row
    budget: int  # samples in flight, beyond which feeders wait


class Sink:
    """One sink; several may serve one job and one folder."""

    def __init__(
        self,
        queue: CaptionQueue,
        folder: PartFolder,
        *,
        outputs: Sequence[str],
        fields: Mapping[str, str],
        size: PartSize,
        lease_seconds: float,
        drain: Drain,
        exit_when_done: bool,
        surveys: Surveys | None = None,
    ) -> None:
        """`surveys`: shared by the sinks of the job's other lanes."""
        self._queue = queue
        self._folder = folder
        self._outputs = tuple(outputs)
        self._fields = fields
        self._size = size
        self._drain = drain
        self._exit_when_done = exit_when_done
        self._patience = Patience(drain)
        self._keeper = Keeper(
            queue.renewals, held=lambda: self._held, lost=_say_lost, lease_seconds=lease_seconds
        )
        self._recovery = Recovery(queue, folder, surveys=surveys)
        self._recover_at = 0.0
        self._agreed: ColumnSchema | None = None
        self._part: OpenPart | None = None
        self._part_due = 0.0
        self._held: tuple[EntryId, ...] = ()  # ours until committed; replaced, never changed
        self._marks: dict[EntryId, traces.Mark] = {}  # of the traced samples in the open part
        self.rows = 0  # captions this sink has put into published parts
        self._last_figures: dict[str, float] = {}  # of the last part
        self._last_facts: dict[str, str] = {}

    @property
    def path(self) -> Path:
        """The folder of the parts."""
        return self._folder.path

    def figures(self) -> dict[str, float]:
        """Count what was done, for whoever watches."""
        open_ = 0 if self._part is None else len(self._part.entries)
        return {"rows": self.rows, "open_rows": open_, **self._last_figures}

    def facts(self) -> dict[str, str]:
        """Name the folder, and the last part."""
        return {"folder": str(self.path), **self._last_facts}

    async def run(self) -> None:
        """Write parts until asked to drain, or until the job is done."""
        try:
            async with self._keeper:
                await self._patience(lambda: asyncio.to_thread(self._folder.make), whole=True)
                while not self._drain.asked and not await self._turn():
                    pass
                await self._write(self._close_part)
                if not self._drain.asked:  # the last part of all may be a dead sink's
                    await self._patience(self._recover, whole=True)
        except Interrupted as exc:
            logger.warning("%s What is not in a part stays in the queue", exc)
            if self._part is not None:
                self._part.discard()
                self._part = None
        finally:
            if self._part is not None:  # cut short, perhaps within a commit: recovery will know
                self._part.abandon()

    async def _turn(self) -> bool:
        """Write what has come; answers whether nothing more will."""
        if time.monotonic() >= self._recover_at:
            await self._patience(self._recover, whole=True)
        captions = await self._patience(lambda: self._queue.read(self._wanted()))
        self._held += tuple(caption.entry for caption in captions)
        await self._write(lambda: self._add(captions))
        if self._is_due() or (not captions and await self._is_waited_for()):
            await self._write(self._close_part)
        return not captions and self._exit_when_done and await self._is_done()

    def _wanted(self) -> int:
        held = len(self._part.entries) if self._part else 0
        return min(READ_COUNT, self._size.rows - held)

    def _is_due(self) -> bool:
        if self._part is None:
            return False
        return len(self._part.entries) >= self._size.rows or time.monotonic() >= self._part_due

    async def _is_waited_for(self) -> bool:
        """Whether no caption will come for the open part, ever or before it is finished."""
        if self._part is None:
            return False
        counts = await self._patience(self._queue.counts)
        return counts.captions_done or counts.unwritten >= HELD_UP * self._size.budget

    async def _is_done(self) -> bool:
        return (await self._patience(self._queue.counts)).done

    async def _write(self, step: Callable[[], Awaitable[None]]) -> None:
        """Take a step that the disk may refuse; if so, hand all back and wait for the disk."""
        try:
            await step()
        except StorageBlocked as exc:
            size = self._part.size if self._part else 0
            await self._hand_back()
            await self._wait_for_room(exc, size)

    async def _hand_back(self) -> None:
        """Give the open part up, and its captions to whichever sink can write them."""
        if self._part is not None:
            self._part.discard()
            self._part = None
        self._marks = {}
        held, self._held = self._held, ()
        await self._patience(lambda: self._queue.release_captions(held))

    async def _wait_for_room(self, trouble: StorageBlocked, size: int) -> None:
        """Wait until a part can become larger than the one that was refused."""
        troubles = [trouble]

        async def look() -> None:
            if troubles:
                raise troubles.pop()
            await asyncio.to_thread(self._folder.try_out, size)

        await self._patience(look, whole=True)
        self._recover_at = 0.0  # a part that could not be deleted is abandoned

    async def _add(self, captions: Sequence[Caption]) -> None:
        captions = await self._new(captions)
        if not captions:
            return
        part = self._part or await self._open_part(captions)
        await to_its_end(lambda: part.append(captions))
        marks = ((caption.entry, traces.mark(caption.sample)) for caption in captions)
        self._marks |= {entry: mark for entry, mark in marks if mark is not None}

    async def _new(self, captions: Sequence[Caption]) -> list[Caption]:
        """Leave out what stands in a part already."""
        ids = [c.sample.id for c in captions]
        if self._recovery.doubles(ids):
            await self._patience(self._recovery.look_again)
        doubles = self._recovery.doubles(ids)
        await self._discard([c.entry for c in captions if c.sample.id in doubles])
        return [c for c in captions if c.sample.id not in doubles]

    async def _discard(self, entries: Collection[EntryId]) -> None:
        if not entries:
            return
        logger.warning("Dropping %d captions that stand in a part already", len(entries))
        await self._patience(lambda: self._queue.discard(tuple(entries)))
        gone = set(entries)
        self._held = tuple(entry for entry in self._held if entry not in gone)

    async def _open_part(self, captions: Sequence[Caption]) -> OpenPart:
        self._agreed = agreed = await self._agree(captions)
        self._part_due = time.monotonic() + self._size.seconds
        return await self._have(lambda: self._folder.open(agreed))

    async def _have(self, made: Callable[[], OpenPart]) -> OpenPart:
        """Let the open part be one that is made in a thread; ours to close, should we go now."""

        def have() -> OpenPart:
            self._part = part = made()
            return part

        return await to_its_end(have)

    async def _agree(self, captions: Sequence[Caption]) -> ColumnSchema:
        """Settle the columns for the job: the finished parts', or those of its first captions."""
        # Asked for each part: a Redis that was emptied would let another sink choose anew.
        ours = self._agreed or await asyncio.to_thread(self._folder.agreed)
        columns = (caption.sample.columns for caption in captions)
        proposal = (ours or infer(self._outputs, columns, self._fields)).encode()
        return ColumnSchema.decode(await self._patience(lambda: self._queue.agree(proposal)))

    async def _close_part(self) -> None:
        """Prepare, commit and publish the open part."""
        part = self._part
        if part is None:
            return
        begun, marks, self._marks = traces.now(), self._marks, {}
        doubles = await self._doubles(part)
        await to_its_end(part.prepare)
        await self._discard(doubles)
        try:
            part = await self._commit(await self._without(part, doubles))
        except QueueForgot:
            # Not looked for doubles here: others may be waiting for what becomes of this part.
            await self._hand_back()
            return
        # Only now: its leases are renewed until the queue has taken it.
        self._part, self._held = None, ()
        if part.entries:
            await self._publish(part)
            marked = (marks.get(entry) for entry in part.entries)
            traces.note("commit", marked, begun, part=part.name)
        else:
            part.discard()

    async def _doubles(self, part: OpenPart) -> set[EntryId]:
        """Find the entries of an open part whose samples stand in a part already."""
        await self._patience(lambda: self._recovery.make_sure(part.name, part.ids), whole=True)
        doubles = self._recovery.doubles(part.ids)
        return {e for e, id_ in zip(part.entries, part.ids, strict=True) if id_ in doubles}

    async def _commit(self, part: OpenPart) -> OpenPart:
        """Record the open part; answers it without what turned out to be another's."""
        while part.entries:
            lost = await self._ask_to_commit(part)
            if not lost:
                break
            logger.warning(
                "Lost the lease on %d captions; another sink has them",
                len(lost),
                extra=about(part=part.name),
            )
            part = await self._without(part, set(lost))
        return part

    async def _ask_to_commit(self, part: OpenPart) -> list[EntryId]:
        made = await asyncio.to_thread(lambda: record(len(part.ids), part.tally(), part.shards()))
        epoch = self._recovery.epoch
        try:
            return await self._patience(
                lambda: self._queue.commit(part.name, made, part.entries, epoch=epoch)
            )
        except Interrupted:
            # Perhaps the queue has recorded it and only its answer is lost.
            part.abandon()
            self._part = None
            raise

    async def _without(self, part: OpenPart, entries: Collection[EntryId]) -> OpenPart:
        """Let the open part be one without the rows of some entries."""
        if not entries:
            return part
        rest = await self._have(lambda: part.without(entries))
        await to_its_end(rest.prepare)
        return rest

    async def _publish(self, part: OpenPart) -> None:
        """Let everybody see a part that is recorded, however long it takes."""
        try:
            await self._patience(lambda: asyncio.to_thread(part.publish), whole=True)
        finally:
            part.abandon()  # where we must go before: the next sink publishes it
        self.rows += len(part.entries)
        self._last_figures = {"last_part_rows": len(part.entries), "last_part_at": time.time()}
        self._last_facts = {"last_part": part.name}
        logger.info(
            "Published the part %s with %d captions",
            *(part.name, len(part.entries)),
            extra=about(part=part.name),
        )

    async def _recover(self) -> None:
        begun = time.monotonic()
        await self._recovery.run()
        took = time.monotonic() - begun
        self._recover_at = time.monotonic() + max(RECOVER_SECONDS, took / RECOVER_SHARE)


def _say_lost(entries: list[EntryId]) -> None:
    # The commit finds out, and leaves them to whoever has them then.
    logger.debug("Lost the lease on %d captions", len(entries))
