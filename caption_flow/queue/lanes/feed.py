"""Queue: FeedQueue over several lanes. A chunk is planned in one of them and stays there."""

import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager

from caption_flow.keeper import Renew
from caption_flow.model import Chunk, ChunkLease, Offer
from caption_flow.queue.connect import BLOCK_MS
from caption_flow.queue.feed import RedisFeedQueue
from caption_flow.queue.job import RedisJob
from caption_flow.queue.lanes.entries import bare, by_lane, lane_of, marked, renewing
from caption_flow.queue.lanes.job import LanedJob
from caption_flow.queue.lanes.plan import Head, Heads
from caption_flow.queue.lanes.rest import Rest
from caption_flow.queue.ports import Begun, Budget, Offered, Planned, Settings, Withdrawn


class LanedFeedQueue(LanedJob):
    """FeedQueue, see ports. A budget that it is given is that of one lane."""

    def __init__(
        self,
        job: RedisJob,
        count: int,
        *,
        name: str,
        stages: Sequence[str],
        lease_seconds: float,
        again: Callable[[str], str],
    ) -> None:
        """`again` gives the position from which all is planned once more, after another one."""
        super().__init__(job, count)
        self._again = again
        self._queues = tuple(
            RedisFeedQueue(lane, name=name, stages=stages, lease_seconds=lease_seconds)
            for lane in self.lanes
        )
        self._first = 0  # the lane that is asked first the next time
        self._rest = Rest()

    def serve(self, stages: Sequence[str]) -> None:
        """Say which stages the job has, in their order; samples are offered to the first."""
        for queue in self._queues:
            queue.serve(stages)

    async def publish(self, document: bytes, dataset: str, *, least: int = 1) -> Settings:
        """Make the settings those of the job, unless feeders of this host have done so before."""
        return await self._queues[0].publish(document, dataset, least=least)

    async def remind(self, seen: Settings, dataset: str) -> None:
        """Publish settings that were seen if they are forgotten; what is newer stays."""
        await self._queues[0].remind(seen, dataset)

    async def position(self) -> str:
        """Where the plan stands; empty before the first chunk.

        Where a lane has forgotten the plan, and with it samples, another plan begins here.
        """
        return (await self._ready()).newest.text

    async def plan(
        self, before: str, after: str, chunk: Chunk | None, *, backlog: int, done: bool
    ) -> Planned:
        """Add a chunk and move the plan, if it stands at `before` and few wait in its lane."""
        heads = await self._ready()
        if heads.newest.text != before:
            return Planned("moved", heads.newest.text)
        head = heads.following(after, done=done) if before else heads.begun(_word(), after)
        share = -(-backlog // len(self.lanes))
        status = await self._step(heads, head, chunk, backlog=share)
        if status == "ok" and not before:
            await self._ready()
        if status == "ok":
            return Planned("ok", after)
        return (
            Planned("full", before) if status == "full" else Planned("moved", await self.position())
        )

    async def parts_of_this_plan(self) -> set[str]:
        """Name the committed parts that no lane has ever forgotten."""
        return {part for queue in self._queues for part in await queue.parts_of_this_plan()}

    async def underway(self) -> list[str]:
        """Name the samples between plan and part, in the order of the flow in each lane."""
        return [id_ for queue in self._queues for id_ in await queue.underway()]

    async def dead_ids(self) -> list[str]:
        """Name the samples that were given up, those too that were retried or dropped since."""
        return [id_ for queue in self._queues for id_ in await queue.dead_ids()]

    async def claim_chunk(self) -> ChunkLease | None:
        """Lease a chunk of any lane; None when none came for a moment."""
        until = time.monotonic() + BLOCK_MS / 1000
        while True:
            for _ in self._queues:
                lane = self._first
                self._first = (lane + 1) % len(self._queues)
                lease = await self._queues[lane].claim_chunk(wait=False)
                if lease is not None:
                    self._rest.end()
                    return marked(lane, lease)
            await self._rest.take(until - time.monotonic())
            if time.monotonic() >= until:
                return None

    async def offer(self, lease: ChunkLease, offers: Sequence[Offer], budget: Budget) -> Offered:
        """Add the chunk's next samples to its lane and move its cursor past them."""
        return await self._of(lease).offer(bare(lease), offers, budget)

    async def begin_look(self, lease: ChunkLease) -> Begun:
        """Note that the sample at the cursor is about to be looked at, alone."""
        return await self._of(lease).begin_look(bare(lease))

    async def end_look(self, lease: ChunkLease) -> None:
        """Note that the look is over and its feeder lives."""
        await self._of(lease).end_look(bare(lease))

    async def withdraw(self, lease: ChunkLease, before: str, after: str) -> Withdrawn:
        """Take what is left of a chunk off the plan, and put the plan at `after`.

        Both in one step, which must be made in the lane of the chunk: steps that move nothing
        lead to it.
        """
        heads, lane = await self._ready(), lane_of(lease.entry)
        while heads.newest.text == before and heads.lane != lane:
            last = heads.newest
            await self._step(heads, heads.following(last.text, done=last.done))
            heads = await self._ready()
        if heads.newest.text != before:
            return "moved"
        head = heads.following(after, done=False)
        queue = self._queues[lane]
        return await queue.withdraw(bare(lease), heads.heads[lane].encode(), head.encode())

    def renewals(self) -> AbstractAsyncContextManager[Renew[ChunkLease]]:
        """Open a way to renew leases, in whatever event loop asks."""
        return renewing([queue.renewals() for queue in self._queues])

    def drop(self, leases: Sequence[ChunkLease]) -> None:
        """Note that leases were lost."""
        for lane, lost in by_lane(leases, lambda lease: lease.entry).items():
            self._queues[lane].drop(list(map(bare, lost)))

    async def release_chunk(self, lease: ChunkLease) -> None:
        """Hand the rest of the chunk back, for anybody at once."""
        await self._of(lease).release_chunk(bare(lease))

    async def close(self) -> None:
        """Take our name off the groups."""
        for queue in self._queues:
            await queue.close()

    def _of(self, lease: ChunkLease) -> RedisFeedQueue:
        return self._queues[lane_of(lease.entry)]

    async def _ready(self) -> Heads:
        """Read where the plan stands, once no lane has forgotten it and all have begun it."""
        while True:
            heads = await self.heads()
            last = heads.newest
            if heads.forgotten:
                await self._step(heads, heads.begun(_word(), self._again(last.text)))
            elif last.text and not heads.is_begun:
                await self._step(heads, heads.following(last.text, done=last.done))
            else:
                return heads

    async def _step(
        self, heads: Heads, head: Head, chunk: Chunk | None = None, *, backlog: int = 1
    ) -> str:
        """Make the next step, in its lane; "moved" where somebody has made it."""
        before, after = heads.heads[heads.lane].encode(), head.encode()
        queue = self._queues[heads.lane]
        planned = await queue.plan(before, after, chunk, backlog=backlog, done=head.done)
        return planned.status


def _word() -> str:
    return secrets.token_hex(4)
