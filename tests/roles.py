"""What the tests of the roles share: all of them on a real Redis, and ways to wait."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet as pq
import pytest
from msgspec import UNSET

from caption_flow.codec import records
from caption_flow.config.broadcast import Broadcast
from caption_flow.dataset.parts import PartFolder
from caption_flow.dataset.source import Source
from caption_flow.engine.port import Engine
from caption_flow.feed.feeder import Feeder
from caption_flow.feed.look import look
from caption_flow.feed.planner import Planner
from caption_flow.feed.selection import EVERYTHING, Selection
from caption_flow.feed.whereabouts import FolderWhereabouts
from caption_flow.fetch import Client
from caption_flow.lifecycle import Drain, cancel
from caption_flow.model import (
    Caption,
    Chunk,
    Counts,
    DeadLetter,
    Raw,
    Reference,
    SamplingKeys,
)
from caption_flow.queue import keys
from caption_flow.queue.captions import RedisCaptionQueue
from caption_flow.queue.connect import Connections
from caption_flow.queue.feed import RedisFeedQueue
from caption_flow.queue.inspect import RedisInspector
from caption_flow.queue.job import RedisJob
from caption_flow.queue.ports import Budget, Settings
from caption_flow.queue.work import RedisWorkQueue
from caption_flow.sink.sink import PartSize, Sink
from caption_flow.sink.surveys import Surveys
from caption_flow.worker.caption import Captioner
from caption_flow.worker.caretaker import Caretaker
from caption_flow.worker.duty import Duty
from caption_flow.worker.locate import Hub
from caption_flow.worker.meter import Meter
from caption_flow.worker.references import References
from caption_flow.worker.worker import Worker
from tests.made import LEASE, PATIENCE, jpeg, outcome, settings

JOB = "books"
AMPLE = Budget(bytes=1 << 30, samples=1_000_000)


@pytest.fixture
def roles(connections: Connections, tmp_path: Path) -> "Roles":
    """All roles of one job."""
    return Roles(connections, tmp_path)


@pytest.fixture(autouse=True)
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the roles look more often than they do where nobody waits for them."""
    monkeypatch.setattr("caption_flow.queue.consumer.BLOCK_MS", 20)
    monkeypatch.setattr("caption_flow.queue.consumer.RECLAIM_SECONDS", 0.01)
    monkeypatch.setattr("caption_flow.feed.planner.FULL_SECONDS", 0.01)
    monkeypatch.setattr("caption_flow.feed.planner.BEATEN_SECONDS", 0.05)
    monkeypatch.setattr("caption_flow.feed.feeder.ROOM_SECONDS", 0.002)
    monkeypatch.setattr("caption_flow.worker.settle.GATHER_SECONDS", 0.01)


async def until(holds: Callable[[], Awaitable[object]] | Callable[[], object]) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + PATIENCE
    while True:
        answer = holds()
        if await answer if isinstance(answer, Awaitable) else answer:
            return
        assert time.monotonic() < deadline, f"waited in vain for {holds}"
        await asyncio.sleep(0.002)


@asynccontextmanager
async def running(role: Awaitable[None]) -> AsyncIterator["asyncio.Task[None]"]:
    """Run a role beside the test; what is left of it is killed, as by a signal."""
    task = asyncio.ensure_future(role)
    try:
        yield task
    finally:
        await kill(task)


async def kill(task: "asyncio.Task[None]") -> None:
    """End a role without letting it say a word to the queue."""
    await cancel(task)


async def ends(role: Awaitable[None]) -> None:
    """Run a role to its own end."""
    async with asyncio.timeout(PATIENCE):
        await role


class LastingQueue(RedisWorkQueue):
    """Its leases last, however often they are renewed."""

    async def serve(self, order: Sequence[str], *, lease_seconds: float, **which: Any) -> None:  # noqa: ARG002 - ours
        await super().serve(order, lease_seconds=LEASE, **which)


class Roles:
    """All roles of one job on one Redis, each call another process's."""

    def __init__(self, connections: Connections, root: Path, told: Broadcast | None = None) -> None:
        self.job = RedisJob(connections, JOB)
        self.client: Any = connections.commands
        self.told = told or settings()
        self.folder = PartFolder(root / "data", JOB)
        self._made = 0

    def _name(self, role: str) -> str:
        self._made += 1
        return f"{role}-{self._made}"

    def feed_queue(self, name: str = "") -> RedisFeedQueue:
        return RedisFeedQueue(
            self.job,
            name=name or self._name("feed"),
            stages=[stage.name for stage in self.told.stages],
            lease_seconds=LEASE,
        )

    async def work_queue(self, name: str = "") -> RedisWorkQueue:
        queue = LastingQueue(self.job, name=name or self._name("work"))
        await queue.serve([stage.name for stage in self.told.stages], lease_seconds=LEASE)
        return queue

    def caption_queue(self, name: str = "") -> RedisCaptionQueue:
        return RedisCaptionQueue(self.job, name=name or self._name("sink"), lease_seconds=LEASE)

    def planner(
        self,
        source: Source,
        *,
        chunk_size: int = 4,
        drain: Drain | None = None,
        queue: RedisFeedQueue | None = None,
        selection: Selection = EVERYTHING,
    ) -> Planner:
        queue = queue or self.feed_queue()
        return Planner(
            queue,
            source,
            FolderWhereabouts(queue, self.folder),
            introduce=lambda: queue.remind(Settings(1, self.told.encode()), "pictures"),
            chunk_size=chunk_size,
            drain=drain or Drain(),
            selection=selection,
        )

    def feeder(
        self,
        source: Source,
        *,
        chunk_size: int = 4,
        budget: Budget = AMPLE,
        drain: Drain | None = None,
        queue: RedisFeedQueue | None = None,
        lease_seconds: float = LEASE,
        selection: Selection = EVERYTHING,
        planner: Planner | None = None,
        paused: Callable[[], bool] = lambda: False,
    ) -> Feeder:
        drain = drain or Drain()
        queue = queue or self.feed_queue()
        return Feeder(
            queue,
            source,
            planner
            or self.planner(
                source, chunk_size=chunk_size, drain=drain, queue=queue, selection=selection
            ),
            images=self.told.images,
            budget=budget,
            lease_seconds=lease_seconds,
            drain=drain,
            paused=paused,
        )

    async def worker(
        self,
        engine: Engine,
        *,
        drain: Drain | None = None,
        drain_timeout: float = PATIENCE,
        exit_when_done: bool = True,
        queue: RedisWorkQueue | None = None,
        lease_seconds: float = LEASE,
        meter: Meter | None = None,
        references: References | None = None,
        duty: Duty | None = None,
        paused: Callable[[], bool] = lambda: False,
    ) -> Worker:
        meter = meter or Meter(engine.capacity)
        name = self._name("worker")
        drain = drain or Drain()
        caretaker = Caretaker(engine, timeout=self.told.engine_timeout, meter=meter, drain=drain)
        captioner = Captioner(caretaker, drain=drain, worker=name, contributor="", threads=1)
        return Worker(
            queue or await self.work_queue(name),
            caretaker,
            captioner,
            meter,
            references or References(Client, Hub(), at_once=1, max_bytes=1 << 20),
            duty=duty or Duty.of(self.told, 1),
            name=name,
            lease_seconds=lease_seconds,
            drain=drain,
            drain_timeout=drain_timeout,
            exit_when_done=exit_when_done,
            paused=paused,
        )

    def sink(
        self,
        *,
        rows: int = 1000,
        seconds: float = 1000.0,
        budget: int = AMPLE.samples,
        drain: Drain | None = None,
        exit_when_done: bool = True,
        queue: RedisCaptionQueue | None = None,
        lease_seconds: float = LEASE,
        surveys: Surveys | None = None,
    ) -> Sink:
        return Sink(
            queue or self.caption_queue(),
            self.folder,
            outputs=self.told.outputs,
            fields=self.told.fields,
            size=PartSize(rows=rows, seconds=seconds, budget=budget),
            lease_seconds=lease_seconds,
            drain=drain or Drain(),
            exit_when_done=exit_when_done,
            surveys=surveys,
        )

    async def offer(
        self,
        images: Sequence[bytes | Reference],
        *,
        first: int = 0,
        sampling: SamplingKeys = UNSET,
    ) -> None:
        """Plan and offer samples, numbered on from `first`; the plan is then done."""
        queue = self.feed_queue()
        names = tuple(f"{first + n:05}.jpg" for n in range(len(images)))
        chunk = Chunk(f".:{first}", "pictures", ".", names, sampling)
        stands = await queue.position()
        await queue.plan(stands, f"to {first + len(images)}", chunk, backlog=100, done=True)
        lease = await queue.claim_chunk()
        assert lease is not None
        offers = [
            look(raw_of(name, image), chunk, self.told.images)
            for name, image in zip(names, images, strict=True)
        ]
        offered = await queue.offer(lease, offers, AMPLE)
        assert offered.status == "ok"

    async def finish(self, numbers: Sequence[int]) -> None:
        """Bring samples to where the sinks find them."""
        await self.offer([jpeg(n) for n in numbers], first=numbers[0])
        assert await self.finish_waiting() == len(numbers)

    async def finish_waiting(self, stage: str = "caption") -> int:
        """Caption what waits for a worker in the one stage; answers how much that was."""
        return await self.caption_some(await self.client.xlen(self.job.lane.samples(stage)), stage)

    async def caption_some(self, count: int, stage: str = "caption") -> int:
        """Caption the next few of those that wait for a worker; answers how many that were."""
        queue = await self.work_queue()
        done = []
        for _ in range(count):
            [lease] = await queue.claim(1)
            done.append((lease, (outcome(number=int(lease.sample.id[:5]), stage=stage),)))
        return sum(await queue.complete(done))

    async def expire(self, stream: str, group: str) -> None:
        """Let all leases on a stream run out now."""
        rows = await self.client.xpending_range(stream, group, "-", "+", 100_000)
        for row in rows:
            await self.client.xclaim(
                stream, group, row["consumer"], 0, [row["message_id"]], idle=10**9, justid=True
            )

    async def expire_chunks(self) -> None:
        await self.expire(self.job.lane.chunks, keys.FEEDERS)

    async def expire_samples(self) -> None:
        await self.expire(self.job.lane.samples(self.told.stages[0].name), keys.WORKERS)

    async def expire_captions(self) -> None:
        await self.expire(self.job.lane.captions, keys.SINKS)

    async def counts(self) -> Counts:
        return await self.job.counts()

    async def dead(self) -> dict[str, DeadLetter]:
        letters = await RedisInspector(self.job.connections, JOB).dead_letters(1000)
        found = {letter.sample.id: letter for letter in letters}
        assert len(found) == len(letters)
        return found

    async def planned(self) -> list[str]:
        """The names in the chunks that wait, in order."""
        entries = await self.client.xrange(self.job.lane.chunks)
        return [name for _, fields in entries for name in names_of(fields)]

    async def waiting(self) -> list[str]:
        """The ids in the first stage, sorted: a feeder may feed chunks side by side."""
        entries = await self.client.xrange(self.job.lane.samples(self.told.stages[0].name))
        return sorted(records.caption_from("", fields).sample.id for _, fields in entries)

    async def captions(self) -> list[Caption]:
        """What waits for a sink, or is held by one."""
        entries = await self.client.xrange(self.job.lane.captions)
        return [records.caption_from(entry.decode(), fields) for entry, fields in entries]

    def rows(self) -> list[dict[str, Any]]:
        """The rows of all published parts."""
        return list(rows_of(self.folder))


def raw_of(name: str, image: bytes | Reference) -> Raw:
    if isinstance(image, Reference):
        return Raw(name, image.url, reference=image)
    return Raw(name, f"/{name}", image)


def rows_of(folder: PartFolder) -> Iterator[dict[str, Any]]:
    for part in folder.published():
        with pq.ParquetFile(folder.file(part)) as file:  # opened once: it may be replaced meanwhile
            yield from file.read().to_pylist()


def names_of(fields: Mapping[bytes, bytes]) -> tuple[str, ...]:
    return msgspec.json.decode(fields[b"chunk"], type=Chunk).names
