"""Queue: Recall on Redis. It finds what a contributor made on its way, and takes it off."""

import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Sequence
from urllib.parse import unquote

from caption_flow.codec import records
from caption_flow.model import EntryId, Failure
from caption_flow.queue import keys
from caption_flow.queue.border import GroupGone, translated
from caption_flow.queue.consumer import RETURNED_MS, Delivery, readable
from caption_flow.queue.job import RedisJob
from caption_flow.queue.pages import PAGE, pages
from caption_flow.queue.ports.recall import Made
from caption_flow.queue.rewrites import RedisRewrites

REVOKED = "revoked"  # reason of what was taken back


class RedisRecall(RedisRewrites):
    """Recall, see ports. `stages` are those of the job, in order."""

    def __init__(self, job: RedisJob, *, stages: Sequence[str]) -> None:
        super().__init__(job.connections, job.job, lane=job.lane.lane)
        self._stages = tuple(stages)

    async def hand_back(self, contributor: str) -> int:
        """End the leases of a contributor's workers, as their proxies do; answers how many."""
        count = 0
        for stream in await self.sample_streams(self._stages):
            for consumer in await self._consumers(stream):
                if _owner(consumer) == contributor:
                    count += await self._release(stream, consumer)
        return count

    async def under_way(self, contributor: str, since: float) -> AsyncIterator[list[Made]]:
        """Find samples between two stages or before a part, of which it made some since then."""
        for stream in (*await self.sample_streams(self._stages), self.lane.captions):
            async for page in pages(self.client, stream):
                found = readable(page, lambda d: _made(d, contributor, since))
                yield [one for one in found if one is not None]

    async def recall(self, made: Sequence[Made], contributor: str) -> int:
        """Make dead letters of them, whoever holds them; answers how many were still there."""
        by_stream: dict[str, list[Made]] = defaultdict(list)
        for one in made:
            by_stream[one.stream].append(one)
        return sum([await self._recall(*some, contributor) for some in by_stream.items()])

    async def _recall(self, stream: str, made: Sequence[Made], contributor: str) -> int:
        lane = self.lane
        group = [keys.SINKS, "captions"] if stream == lane.captions else [keys.WORKERS, ""]
        places = [stream, lane.dead, lane.images, lane.counts, lane.failures]
        places += [lane.shards]
        arguments = [*group, *_reasons(made, contributor)]
        return int(await self.scripts.run("recall", places, arguments))

    async def _consumers(self, stream: str) -> list[str]:
        try:
            with translated():
                told = await self.client.xinfo_consumers(stream, keys.WORKERS)
        except GroupGone:  # or not made yet
            return []
        return [one["name"].decode() for one in told if one["pending"]]

    async def _release(self, stream: str, consumer: str) -> int:
        head, count = [keys.WORKERS, consumer, keys.RETURNED, RETURNED_MS], 0
        while True:
            with translated():
                rows = await self.client.xpending_range(
                    stream, keys.WORKERS, "-", "+", PAGE, consumer
                )
            entries: list[EntryId] = [row["message_id"].decode() for row in rows]
            if not entries:
                return count
            count += int(await self.scripts.run("release", [stream], [*head, *entries]))


def _owner(consumer: str) -> str:
    """Name whose worker a consumer is; empty for the operator's own."""
    name, tilde, _ = consumer.rpartition("~")
    return unquote(name) if tilde else ""


def _made(delivery: Delivery, contributor: str, since: float) -> Made | None:
    outcomes = records.caption_from(delivery.entry, delivery.fields).outcomes
    theirs = (o for o in outcomes if o.contributor == contributor and o.captioned_at >= since)
    first = next(theirs, None)
    return Made(delivery.stream, delivery.entry, first.stage) if first else None


def _reasons(made: Sequence[Made], contributor: str) -> Iterator[EntryId | bytes]:
    now = time.time()
    for one in made:
        yield one.entry
        detail = f"{contributor} was revoked"
        yield records.encode(Failure(REVOKED, detail, now, one.stage, contributor=contributor))
