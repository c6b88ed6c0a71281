"""Queue: CaptionQueue on Redis. Finished samples are leased until a part holds them."""

from collections.abc import Sequence

from caption_flow.codec import records
from caption_flow.model import Caption, EntryId
from caption_flow.queue import keys
from caption_flow.queue.border import translated
from caption_flow.queue.consumer import Consumer, readable
from caption_flow.queue.job import RedisJob

SCHEMA = "schema"  # field of the settings that holds the agreed schema


class RedisCaptionQueue(RedisJob):
    """CaptionQueue, see ports."""

    def __init__(self, job: RedisJob, *, name: str, lease_seconds: float) -> None:
        super().__init__(job.connections, job.job)
        self._name = name
        self._consumer = Consumer(
            self.connections,
            self.scripts,
            [self.lane.captions],
            group=keys.SINKS,
            name=name,
            lease_seconds=lease_seconds,
        )

    async def read(self, count: int) -> list[Caption]:
        """Lease up to `count` finished samples; empty when none came for a moment."""
        taken = await self._consumer.take(count)
        return readable(taken, lambda d: records.caption_from(d.entry, d.fields))

    async def renew_captions(self, entries: Sequence[EntryId]) -> set[EntryId]:
        """Begin the leases anew; answers the entries that were lost."""
        # Not forgotten: should one come back before the part is committed, the part holds it.
        return await self._consumer.renew(self.lane.captions, entries)

    async def release_captions(self, entries: Sequence[EntryId]) -> None:
        """Hand finished samples back, for another sink at once."""
        await self._consumer.release(self.lane.captions, entries, attempted=False)

    async def commit(self, part: str, record: bytes, entries: Sequence[EntryId]) -> list[EntryId]:
        """Record the part and take its entries off the queue; answers those that were lost."""
        lane = self.lane
        answer = await self._consumer.settle(
            "commit",
            [lane.captions, lane.parts, lane.counts],
            [keys.SINKS, self._name, part, record, *entries],
        )
        lost = list(entries) if answer is None else [entry.decode() for entry in answer]
        self._consumer.forget(lane.captions, lost or entries)
        return lost

    async def discard(self, entries: Sequence[EntryId]) -> list[EntryId]:
        """Take entries off whose samples stand in a published part already."""
        lost = await self.commit("", b"", entries)
        kept = [entry for entry in entries if entry not in lost]
        # A commit with losses does nothing; here the others need not wait for them.
        return lost + await self.discard(kept) if lost and kept else lost

    async def record_part(self, part: str, record: bytes) -> None:
        """Record a published part that the queue has forgotten."""
        with translated():
            await self.client.hsetnx(self.lane.parts, part, record)

    async def agree(self, schema: bytes) -> bytes:
        """Propose a schema for the sample columns; answers the one that holds for the job."""
        client = self.client
        with translated():
            await client.hsetnx(self.keys.settings, SCHEMA, schema)
            agreed = await client.hget(self.keys.settings, SCHEMA)
        return agreed or schema

    async def close(self) -> None:
        """Take our name off the group."""
        await self._consumer.leave()
