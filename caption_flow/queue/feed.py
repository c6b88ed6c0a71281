"""Queue: FeedQueue on Redis. Chunks are planned once and offered once, sample by sample."""

import asyncio
import logging
import socket
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from caption_flow.codec import records
from caption_flow.codec.weight import footprint
from caption_flow.errors import CaptionFlowError, QueueUnfit
from caption_flow.keeper import Renew
from caption_flow.model import Chunk, ChunkLease, EntryId, Offer
from caption_flow.queue import keys
from caption_flow.queue.border import translated
from caption_flow.queue.committed import never_forgotten
from caption_flow.queue.consumer import Consumer, Delivery, readable
from caption_flow.queue.job import RedisJob
from caption_flow.queue.pages import PAGE, pages
from caption_flow.queue.ports import Begun, Budget, Offered, Planned, Room, Settings, Withdrawn
from caption_flow.queue.reclaims import Reclaims
from caption_flow.queue.renewals import renewed

logger = logging.getLogger(__name__)

# Versions between settings that were seen and those that take their place once they are forgotten:
# more than anybody publishes in the moments in which a feeder has not looked.
APART = 100

# Of the ids of all images, which are counted within it, see offer.lua. It is beyond any clock, so
# that it is also beyond the ids that earlier versions gave, and exact as a number of Lua.
IMAGE_MILLIS = 2**53 - 1


class RedisFeedQueue(RedisJob):
    """FeedQueue, see ports. `stages` are those of the job, in order; `host` is where we run."""

    def __init__(
        self,
        job: RedisJob,
        *,
        name: str,
        stages: Sequence[str],
        lease_seconds: float,
        host: str = "",
        reclaims: Reclaims | None = None,
    ) -> None:
        super().__init__(job.connections, job.job, lane=job.lane.lane)
        self._name = name
        self._host = host or socket.gethostname()
        self._brought: bytes | None = None  # the document that we were given
        self.serve(stages)
        self._consumer = Consumer(
            self.connections,
            self.scripts,
            [self.lane.chunks],
            group=keys.FEEDERS,
            name=name,
            lease_seconds=lease_seconds,
            reclaims=reclaims,
        )

    def serve(self, stages: Sequence[str]) -> None:
        """Say which stages the job has, in their order; samples are offered to the first."""
        self._stages = tuple(stages)
        self._samples = self.lane.samples(stages[0])

    async def publish(self, document: bytes, dataset: str, *, least: int = 1) -> Settings:
        """Make the settings those of the job, unless feeders of this host have done so before."""
        self._brought = document
        await self._list()
        version, *rest = await self.scripts.run(
            "publish",
            [self.keys.settings, self.keys.stages],
            [document, dataset, self._host, f"feed on {self._host}", least, *self._stages],
        )
        if not version:
            raise QueueUnfit(
                f'The job "{self.job}" on this Redis captions another data set, '
                f"{rest[0].decode()}. Name yours with --job."
            )
        return Settings(version, rest[0], rest[1].decode())

    async def remind(self, seen: Settings, dataset: str) -> None:
        """Publish settings that were seen if they are forgotten; what is newer stays."""
        await self._list()
        again = seen.version + APART
        brought = seen.document if self._brought is None else self._brought
        await self.scripts.run(
            "remind",
            [self.keys.settings, self.keys.stages],
            [
                seen.document,
                dataset,
                seen.version,
                again,
                seen.by,
                self._host,
                brought,
                *self._stages,
            ],
        )

    async def begin(self, document: bytes, dataset: str, *, version: int, by: str) -> None:
        """Make the settings those of a job that has none; others stay."""
        await self._list()
        await self.scripts.run(
            "remind",
            [self.keys.settings, self.keys.stages],
            [document, dataset, 1, version, by, self._host, document, *self._stages],
        )

    async def position(self) -> str:
        """Where the plan stands; empty before the first chunk."""
        with translated():
            position = await self.client.hget(self.lane.cursors, "plan")
        return position.decode() if position else ""

    async def plan(
        self, before: str, after: str, chunk: Chunk | None, *, backlog: int, done: bool
    ) -> Planned:
        """Add a chunk and move the plan, if it stands at `before` and fewer than `backlog` wait."""
        lane = self.lane
        status, *rest = await self.scripts.run(
            "plan",
            [lane.chunks, lane.cursors, lane.counts, lane.shards, lane.shard_names],
            [
                before,
                after,
                backlog,
                chunk.count if chunk else 0,
                records.encode(chunk) if chunk else b"",
                "1" if done else "0",
                keys.shard_to(chunk.shard) if chunk else "",
            ],
        )
        if status == b"moved":
            return Planned("moved", rest[0].decode())
        return Planned("ok", after) if status == b"ok" else Planned("full", before)

    async def underway(self) -> list[str]:
        """Name the samples between plan and part, in the order of the flow."""
        ids: list[str] = []
        async for page in pages(self.client, self.lane.chunks):
            for chunk in readable(page, lambda d: records.chunk_from(d.entry, d.fields)):
                ids += chunk.ids()
        # Others may name the stages otherwise: what is in theirs is on its way too.
        for stream in (*await self.sample_streams(self._stages), self.lane.captions):
            async for page in pages(self.client, stream):
                ids += readable(page, lambda d: records.sample_from(d.entry, d.fields).id)
        return ids

    async def dead_ids(self) -> list[str]:
        """Name the samples that were given up, those too that were retried or dropped since."""
        ids: list[str] = []
        async for page in pages(self.client, self.lane.dead):
            ids += readable(page, lambda d: records.sample_from(d.entry, d.fields).id)
        # After the letters: a sample leaves those for a set, and a set for nowhere.
        for gone in (self.lane.retried, self.lane.dropped):
            with translated():
                async for member in self.client.sscan_iter(gone, count=PAGE):
                    ids.append(keys.id_from(member))
        return ids

    async def parts_of_this_plan(self) -> set[str]:
        """Name the parts that were committed when they were written, and never forgotten since."""
        return await never_forgotten(self.client, self.lane)

    async def claim_chunk(self, *, wait: bool = True) -> ChunkLease | None:
        """Lease a chunk; None when none came for a moment, or without `wait` is there."""
        taken = await self._consumer.take(1, wait=wait)
        return await self._lease(taken)

    async def adopt(self, former: str) -> list[ChunkLease]:
        """Take up the chunks that another consumer of the same client holds."""
        held = await self._consumer.adopt(self.lane.chunks, former)
        found = await self._consumer.recall(self.lane.chunks, held)
        leases = [await self._lease([delivery]) for delivery in found]
        return [lease for lease in leases if lease is not None]

    async def renew(self, entries: Sequence[EntryId]) -> set[EntryId]:
        """Begin leases anew; answers those that were lost."""
        stream = self.lane.chunks
        return await renewed(self.scripts, stream, keys.FEEDERS, self._name, list(entries))

    async def abandon(self, *, attempted: bool) -> None:
        """Hand back all that is held under our name, see Consumer."""
        await self._consumer.abandon(attempted=attempted)

    async def offer(self, lease: ChunkLease, offers: Sequence[Offer], budget: Budget) -> Offered:
        """Add the chunk's next samples and move its cursor past them."""
        while (answer := await self._offer(lease, offers, budget)) and answer[0] == b"again":
            logger.warning("The images of the job were deleted; those of new samples are not")
        if answer is None:
            self._consumer.forget(self.lane.chunks, [lease.entry])
            return Offered("lost", 0, await self.room())
        offered = Offered(answer[0].decode(), answer[1], Room(bytes=answer[2], samples=answer[3]))
        if offered.status == "lost" or offered.cursor >= lease.chunk.count:
            self._consumer.forget(self.lane.chunks, [lease.entry])
        return offered

    async def _offer(self, lease: ChunkLease, offers: Sequence[Offer], budget: Budget) -> Any:
        lane = self.lane
        images = [offer.image for offer in offers if offer.failure is None]
        return await self._consumer.settle_after(
            [("XADD", lane.images, f"{IMAGE_MILLIS}-*", "image", image) for image in images],
            "offer",
            [
                *(lane.chunks, lane.cursors, self._samples),
                *(lane.images, lane.dead, lane.counts, lane.shards),
            ],
            [
                keys.FEEDERS,
                self._name,
                lease.entry,
                lease.chunk.id,
                lease.cursor,
                lease.cursor + len(offers),
                lease.chunk.count,
                budget.bytes,
                budget.samples,
                keys.shard_to(lease.chunk.shard),
                IMAGE_MILLIS,
                *_arguments(offers),
            ],
        )

    async def begin_look(self, lease: ChunkLease) -> Begun:
        """Note that the sample at the cursor is about to be looked at, alone."""
        return await self._look(lease, "1")

    async def end_look(self, lease: ChunkLease) -> None:
        """Note that the look is over and its feeder lives."""
        await self._look(lease, "0")

    def renewals(self) -> AbstractAsyncContextManager[Renew[ChunkLease]]:
        """Open a way to renew leases, in whatever event loop asks."""
        return self._consumer.renewals(lambda lease: (self.lane.chunks, lease.entry))

    def drop(self, leases: Sequence[ChunkLease]) -> None:
        """Note that leases were lost."""
        self._consumer.forget(self.lane.chunks, [lease.entry for lease in leases])

    async def withdraw(self, lease: ChunkLease, before: str, after: str) -> Withdrawn:
        """Take what is left of a chunk off the plan, and put the plan at `after`."""
        lane = self.lane
        answer = await self._consumer.settle(
            "withdraw",
            [lane.chunks, lane.cursors, lane.counts, lane.retried, lane.shards],
            [
                keys.FEEDERS,
                self._name,
                lease.entry,
                lease.chunk.id,
                lease.chunk.count,
                before,
                after,
                keys.shard_to(lease.chunk.shard),
                *map(keys.id_to, lease.chunk.ids()),
            ],
        )
        status: Withdrawn = "lost" if answer is None else answer.decode()
        if status != "moved":
            self._consumer.forget(lane.chunks, [lease.entry])
        return status

    async def release_chunk(self, lease: ChunkLease) -> None:
        """Hand the rest of the chunk back, for anybody at once."""
        await self._consumer.release(self.lane.chunks, [lease.entry])

    async def close(self) -> None:
        """Take our name off the group."""
        await self._consumer.leave()

    async def _lease(self, taken: list[Delivery]) -> ChunkLease | None:
        chunks = readable(taken, lambda d: records.chunk_from(d.entry, d.fields))
        if not chunks:
            return None
        [chunk], [delivery] = chunks, taken
        try:
            with translated():
                cursor = await self.client.hget(self.lane.cursors, chunk.id)
        except (CaptionFlowError, asyncio.CancelledError):
            self._consumer.again(delivery)
            raise
        return ChunkLease(delivery.entry, chunk, int(cursor or 0), delivery.attempt)

    async def _look(self, lease: ChunkLease, begins: str) -> Begun:
        lane = self.lane
        head = [keys.FEEDERS, self._name, lease.entry, lease.chunk.id]
        answer = await self._consumer.settle(
            "alone", [lane.chunks, lane.cursors], [*head, lease.cursor, lease.attempt, begins]
        )
        if answer is None or answer[0] == b"lost":
            self._consumer.forget(lane.chunks, [lease.entry])
            return Begun("lost", 0, 0)
        return Begun(answer[0].decode(), answer[1], answer[2])

    async def _list(self) -> None:
        """Let the job be found by who knows the server only."""
        with translated():
            await self.client.sadd(keys.JOBS, self.job)


def _arguments(offers: Sequence[Offer]) -> list[bytes | int]:
    arguments: list[bytes | int] = []
    for offer in offers:
        why = records.encode(offer.failure) if offer.failure else b""
        sample = records.encode(offer.sample)
        arguments += (sample, footprint(len(sample), len(offer.image)), why)
    return arguments
