"""A job that is brought step by step to where a test wants it, and audited."""

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from redis.exceptions import ResponseError

from caption_flow.audit.audit import Audit
from caption_flow.audit.mend import Mender
from caption_flow.audit.tally import Findings, Mended, Tally
from caption_flow.dataset.columns import infer
from caption_flow.dataset.open_part import OpenPart
from caption_flow.feed.look import offers
from caption_flow.model import ChunkLease
from caption_flow.queue.audit import RedisAuditQueue
from caption_flow.queue.feed import RedisFeedQueue
from caption_flow.sink.records import record
from caption_flow.sink.recovery import Recovery
from tests.made import (
    LEASE,
    folder_source,
    outcome,
    pictures,
)
from tests.roles import AMPLE, Roles, until
from tests.worker.engines import CountingEngine

CHUNK = 4
IN_ROOT, BELOW = 12, 8  # pictures
ALL = IN_ROOT + BELOW


class Office:
    """One job: pictures in the root and in the shard "below", and all its roles."""

    def __init__(self, roles: Roles, root: Path) -> None:
        self.roles = roles
        self.root = pictures(pictures(root, range(IN_ROOT)), range(BELOW), shard="below")
        self.lane = roles.job.lane
        self._parts: list[OpenPart] = []

    @property
    def source(self):
        return folder_source(self.root)

    def ids(self) -> list[str]:
        return sorted(path.relative_to(self.root).as_posix() for path in self.root.rglob("*.jpg"))

    # Steps of the job

    async def plan(self) -> None:
        await self.roles.planner(self.source, chunk_size=CHUNK).run()

    async def plan_some(self, chunks: int) -> None:
        """Plan so many chunks more, and stop."""
        planner = self.roles.planner(self.source, chunk_size=CHUNK)
        steps = planner._steps(await planner._begin())
        for _ in range(chunks):
            await planner._add(*await anext(steps))
        await steps.aclose()

    async def offer(self, chunks: int, samples: int = CHUNK) -> None:
        """Offer that many samples of each of that many chunks."""
        for _ in range(chunks):
            queue = self.roles.feed_queue()
            lease = await queue.claim_chunk()
            assert lease is not None
            assert await self.offer_on(queue, lease, samples) == "ok"

    async def offer_on(self, queue: RedisFeedQueue, lease: ChunkLease, samples: int = CHUNK) -> str:
        """Offer so many samples of a chunk, from its cursor on."""
        wanted = lease.chunk.listed(lease.cursor)[:samples]
        [batch] = offers(self.source, lease.chunk, wanted, self.roles.told.images)
        return (await queue.offer(lease, batch, AMPLE)).status

    async def caption(self, count: int) -> None:
        queue = await self.roles.work_queue()
        leases = [lease for _ in range(count) for lease in await queue.claim(1)]
        assert all(await queue.complete([(lease, (outcome(),)) for lease in leases]))

    async def part(self, count: int, *, commit: bool = True, publish: bool = True) -> OpenPart:
        """Let a sink write captions to a part, and stop where it is told to."""
        queue = self.roles.caption_queue()
        captions = await queue.read(count)
        part = self.roles.folder.open(infer(("captions",), []))
        self._parts.append(part)
        part.append(captions)
        part.prepare()
        if commit:
            made = record(len(captions), part.tally(), part.shards())
            assert await queue.commit(part.name, made, part.entries) == []
        if publish:
            part.publish()
        return part

    async def midway(self) -> None:
        """One chunk waits, one is begun; of 14 offered 6 are captions and 3 in a part."""
        await self.plan()
        await self.offer(3)
        await self.offer(1, samples=2)
        await self.caption(6)
        await self.part(3)

    async def finish(self) -> None:
        """Let a feeder, a worker and a sink do what there is to do, whoever held it."""
        for expire in ("chunks", "samples", "captions"):
            with suppress(ResponseError):  # nobody has claimed anything yet
                await getattr(self.roles, f"expire_{expire}")()
        feeder = self.roles.feeder(self.source, chunk_size=CHUNK)
        worker = await self.roles.worker(CountingEngine())
        async with asyncio.timeout(20), asyncio.TaskGroup() as group:
            group.create_task(feeder.run())
            await until(self._is_fed)
            group.create_task(worker.run())
            group.create_task(self.roles.sink().run())

    async def _is_fed(self) -> bool:
        counts = await self.roles.counts()
        return counts.plan_done and counts.in_chunks == 0

    def captioned(self) -> list[str]:
        return sorted(row["id"] for row in self.roles.rows())

    # The auditor

    def queue(self) -> RedisAuditQueue:
        stages = [stage.name for stage in self.roles.told.stages]
        return RedisAuditQueue(self.roles.job, stages=stages, lease_seconds=LEASE)

    def audit(
        self,
        *,
        redis: bool = True,
        source: bool = True,
        chunk_size: int = CHUNK,
        queue: RedisAuditQueue | None = None,
    ) -> Audit:
        return Audit(
            self.roles.folder,
            queue=queue or self.queue() if redis else None,
            source=self.source if source else None,
            chunk_size=chunk_size,
        )

    async def look(self, **how: Any) -> Findings:
        return (await self.audit(**how).scan()).findings

    def mender(self, *, source: bool = True) -> Mender:
        folder = self.roles.folder
        recovery = Recovery(self.roles.caption_queue(), folder, leave_unreadable=True)
        audit = self.audit(source=source)
        return Mender(audit, self.queue(), folder, recovery, chunk_size=CHUNK)

    async def fix(self, *, source: bool = True) -> Mended:
        return await self.mender(source=source).run()

    # Accidents

    async def delete(self, place: str, count: int = 1) -> None:
        """Delete the oldest entries of a stream by hand."""
        assert await self.delete_some(place, count) == count

    async def delete_some(self, place: str, most: int) -> int:
        """Delete as many as are there, at most so many."""
        stream = getattr(self.lane, place) if place != "samples" else self.lane.samples("caption")
        entries = await self.roles.client.xrange(stream, count=most)
        ids = [entry for entry, _ in entries]
        return int(await self.roles.client.xdel(stream, *ids)) if ids else 0

    def merge(self) -> Path:
        """Put all published parts into one, as an operator does who has too many."""
        folder = self.roles.folder
        files = [folder.file(part) for part in folder.published()]
        rows = pa.concat_tables(pq.read_table(file, partitioning=None) for file in files)
        pq.write_table(rows, folder.file("part-merged"))
        for file in files:
            file.unlink()
        return folder.file("part-merged")

    def close(self) -> None:
        for part in self._parts:
            part.abandon()


def figures(tally: Tally) -> dict[str, int]:
    """Those that are not zero."""
    return {name: count for name, count in tally.figures().items() if count}
