"""Queue: CaptionQueue on Redis. Finished samples are leased until a part holds them."""

import secrets
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager

from caption_flow.codec import records
from caption_flow.errors import QueueForgot
from caption_flow.keeper import Renew
from caption_flow.model import Caption, EntryId
from caption_flow.queue import keys
from caption_flow.queue.consumer import Consumer, readable
from caption_flow.queue.job import RedisJob
from caption_flow.queue.rewrites import RedisRewrites

SCHEMA = "schema"  # field of the settings that holds the agreed schema
FORBIDDEN_SECONDS = 3600  # far longer than a commit whose sender is gone can be on its way


class RedisCaptionQueue(RedisRewrites):
    """CaptionQueue, see ports."""

    def __init__(self, job: RedisJob, *, name: str, lease_seconds: float) -> None:
        super().__init__(job.connections, job.job, lane=job.lane.lane)
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

    def renewals(self) -> AbstractAsyncContextManager[Renew[EntryId]]:
        """Open a way to renew leases, in whatever event loop asks."""
        return self._consumer.renewals(lambda entry: (self.lane.captions, entry))

    async def release_captions(self, entries: Sequence[EntryId]) -> None:
        """Hand finished samples back, for another sink at once."""
        await self._consumer.release(self.lane.captions, entries)

    async def commit(
        self, part: str, record: bytes, entries: Sequence[EntryId], *, epoch: str = ""
    ) -> list[EntryId]:
        """Record the part and take its entries off the queue; answers those that were lost."""
        lane = self.lane
        answer = await self._consumer.settle(
            "commit",
            [
                *(lane.captions, lane.parts, lane.counts),
                *(lane.forbidden, lane.epoch, lane.contributors, lane.shards),
            ],
            [keys.SINKS, self._name, part, record, epoch, *entries],
        )
        if answer == b"forgotten":
            raise QueueForgot("Redis was started anew, replaced or emptied.")
        lost = list(entries) if answer is None else [entry.decode() for entry in answer]
        self._consumer.forget(lane.captions, lost or entries)
        return lost

    async def discard(self, entries: Sequence[EntryId]) -> list[EntryId]:
        """Take entries off whose samples stand in a published part already."""
        lost = await self.commit("", b"", entries)
        kept = [entry for entry in entries if entry not in lost]
        # A commit with losses does nothing; here the others need not wait for them.
        return lost + await self.discard(kept) if lost and kept else lost

    async def forbid(self, part: str) -> bool:
        """See to it that a part is never recorded; False when it is already."""
        at = [self.lane.parts, self.lane.forbidden]
        return bool(await self.scripts.run("forbid", at, [part, FORBIDDEN_SECONDS]))

    async def record_part(self, part: str, record: bytes, merged: Iterable[str] = ()) -> bool:
        """Record a published part that the queue has forgotten; False when it has not."""
        lane = self.lane
        at = [lane.parts, lane.epoch, lane.contributors, lane.shards, lane.shard_names]
        told = [part, record, secrets.token_hex(8), *merged]
        return bool(await self.scripts.run("record", [*at, lane.merged], told))

    async def merge_parts(self, merged: str, record: bytes, seen: Mapping[str, bytes]) -> bool:
        """Record a part in the place of those it was merged of; False where these have changed."""
        lane = self.lane
        at = [lane.parts, lane.rewrites, lane.forbidden, lane.merged, lane.merged_at]
        told = [told for pair in seen.items() for told in pair]
        head = [merged, record, FORBIDDEN_SECONDS]
        return bool(await self.scripts.run("merge", at, [*head, *told]))

    async def unmerge_parts(self, merged: str, seen: Mapping[str, bytes]) -> None:
        """Record the parts as they were, and never the one that they were merged into."""
        lane = self.lane
        at = [lane.parts, lane.forbidden, lane.merged, lane.merged_at, lane.epoch]
        told = [told for pair in seen.items() for told in pair]
        head = [merged, FORBIDDEN_SECONDS, secrets.token_hex(8)]
        await self.scripts.run("unmerge", at, [*head, *told])

    async def agree(self, schema: bytes) -> bytes:
        """Propose a schema for the sample columns; answers the one that holds for the job."""
        agreed = await self.scripts.run("agree", [self.keys.settings], [SCHEMA, schema])
        return bytes(agreed)

    async def close(self) -> None:
        """Take our name off the group."""
        await self._consumer.leave()
