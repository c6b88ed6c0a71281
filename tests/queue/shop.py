"""A job on a real server, made in a few words, and looked at behind the queue's back.

Leases are aged, not slept through; the books are compared with what the streams really hold.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from caption_flow.dataset.source import ROOT_SHARD
from caption_flow.model import (
    Caption,
    Chunk,
    Credit,
    DeadLetter,
    Failure,
    Lease,
    Offer,
    Outcome,
    Outcomes,
    Sample,
)
from caption_flow.queue.captions import RedisCaptionQueue
from caption_flow.queue.connect import Connections
from caption_flow.queue.dead import RedisDeadLetters
from caption_flow.queue.feed import RedisFeedQueue
from caption_flow.queue.inspect import RedisInspector
from caption_flow.queue.job import RedisJob
from caption_flow.queue.ports import Budget, Deferral, LetterFilter
from caption_flow.queue.work import RedisWorkQueue
from caption_flow.sink.records import record
from tests.queue.ledger import read_ledger

LEASE_SECONDS = 60.0
AGED_MS = 3_600_000  # past any lease of these tests
PLENTY = Budget(bytes=1 << 30, samples=1 << 30)
IMAGE = b"pixels of "  # each image is this and the id of its sample


class Shop:
    """One job, with as many roles as a test wants."""

    def __init__(self, connections: Connections, *stages: str) -> None:
        self.stages = stages or ("caption",)
        self.job = RedisJob(connections, "job")
        self.lane = self.job.lane
        self.redis: Any = connections.commands

    def feeder(self, name: str = "feeder", host: str = "") -> RedisFeedQueue:
        return RedisFeedQueue(
            self.job, name=name, stages=self.stages, lease_seconds=LEASE_SECONDS, host=host
        )

    async def worker(
        self,
        name: str = "worker",
        contributor: str = "",
        *,
        order: Sequence[str] = (),
        only: Sequence[str] | None = None,
        former: Sequence[str] = (),
    ) -> RedisWorkQueue:
        worker = RedisWorkQueue(self.job, name=name, contributor=contributor)
        stages = order or self.stages
        await worker.serve(stages, only=only, former=former, lease_seconds=LEASE_SECONDS)
        return worker

    def sink(self, name: str = "sink") -> RedisCaptionQueue:
        return RedisCaptionQueue(self.job, name=name, lease_seconds=LEASE_SECONDS)

    @property
    def inspector(self) -> RedisInspector:
        return RedisInspector(self.job.connections, self.job.job)

    @property
    def dead(self) -> RedisDeadLetters:
        return RedisDeadLetters(self.job.connections, self.job.job)

    async def plan(self, *counts: int, shard: str = ROOT_SHARD) -> list[Chunk]:
        """Plan chunks of these many samples."""
        feeder = self.feeder("planner")
        chunks = []
        for count in counts:
            position = await feeder.position()
            chunks.append(chunk_of(f"{position or 0}", count, shard))
            after = str(int(position or 0) + 1)
            await feeder.plan(position, after, chunks[-1], backlog=1000, done=False)
        return chunks

    async def offer(self, count: int, shard: str = ROOT_SHARD) -> list[Sample]:
        """Plan one chunk and offer all of it."""
        await self.plan(count, shard=shard)
        feeder = self.feeder("first feeder")
        lease = await feeder.claim_chunk()
        assert lease is not None
        offers = offers_of(lease.chunk)
        assert (await feeder.offer(lease, offers, PLENTY)).status == "ok"
        return [offer.sample for offer in offers]

    async def caption(self, count: int, shard: str = ROOT_SHARD) -> list[Sample]:
        """Let that many samples pass all stages."""
        samples = await self.offer(count, shard)
        worker = await self.worker("first worker")
        for _ in self.stages:
            left = count
            while left:
                leases = await worker.claim(left)
                assert all(await worker.complete(done(leases)))
                left -= len(leases)
        return samples

    async def give_up(
        self, count: int, reason: str = "decode", shard: str = ROOT_SHARD
    ) -> list[DeadLetter]:
        """Let that many samples become dead letters."""
        await self.offer(count, shard)
        worker = await self.worker("hopeless worker")
        leases = await worker.claim(count)
        await worker.fail([(lease, failure_of(lease, reason)) for lease in leases])
        return await letters_of(self.dead)

    async def expire(self, stream: str) -> None:
        """Let all leases of a stream run out at once."""
        for group in await self.redis.xinfo_groups(stream):
            rows = await self.redis.xpending_range(stream, group["name"], "-", "+", 100_000)
            for consumer in {row["consumer"] for row in rows}:
                ids = [row["message_id"] for row in rows if row["consumer"] == consumer]
                await self.redis.xclaim(
                    stream, group["name"], consumer, 0, ids, idle=AGED_MS, justid=True
                )

    async def pending(self, stream: str, group: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = await self.redis.xpending_range(stream, group, "-", "+", 1000)
        return rows

    async def entries(self, stream: str) -> dict[str, dict[bytes, bytes]]:
        return {id_.decode(): fields for id_, fields in await self.redis.xrange(stream)}

    async def dump(self) -> dict[str, Any]:
        """Read everything of the job but leases; equal before and after what changes nothing."""
        found: dict[str, Any] = {}
        for key in sorted(await self.redis.keys("cf:*")):
            kind = await self.redis.type(key)
            read = {b"stream": self.redis.xrange, b"set": self.redis.smembers, b"list": self._list}
            read[b"zset"] = self._ranked
            found[key.decode()] = await read.get(kind, self.redis.hgetall)(key)
        return found

    async def _ranked(self, key: bytes) -> list[bytes]:
        members: list[bytes] = await self.redis.zrange(key, 0, -1)
        return members

    async def _list(self, key: bytes) -> list[bytes]:
        items: list[bytes] = await self.redis.lrange(key, 0, -1)
        return items

    async def check_books(self) -> None:
        """Compare the books with what the streams hold."""
        (await read_ledger(self.job, self.stages)).check()

    async def check_shards(self, **captioned: int) -> None:
        """Compare what is kept of each shard with streams, and with its rows in parts."""
        (await read_ledger(self.job, self.stages)).check_shards(captioned)


def chunk_of(id_: str, count: int, shard: str = ROOT_SHARD) -> Chunk:
    names = tuple(f"{id_}/{number}" for number in range(count))
    return Chunk(id_, dataset="data", shard=shard, names=names)


def recorded(captions: Sequence[Caption]) -> bytes:
    """Write what a sink records of a part of these rows."""
    shards = Counter(caption.sample.shard for caption in captions)
    return record(len(captions), {"": Credit(len(captions))}, shards)


def offer_of(chunk: Chunk, name: str, image: bytes | None = None) -> Offer:
    data = IMAGE + name.encode() if image is None else image
    sample = Sample(name, chunk.dataset, chunk.shard, chunk.id, source=name, bytes=len(data))
    return Offer(sample, data)


def rejection_of(chunk: Chunk, name: str) -> Offer:
    sample = Sample(name, chunk.dataset, chunk.shard, chunk.id, source=name)
    return Offer(sample, failure=Failure("truncated", "it ends too early"))


def offers_of(chunk: Chunk, first: int = 0, last: int | None = None) -> list[Offer]:
    return [offer_of(chunk, name) for name in chunk.names[first:last]]


def outcome_of(lease: Lease, text: str = "a caption") -> Outcome:
    return Outcome(
        stage=lease.stage,
        outputs={"caption": [text]},
        engine="simulated",
        model="none",
        prompts="p",
        prompt_tokens=7,
        output_tokens=3,
        finish_reasons=["stop"],
        settings_version=1,
        attempt=lease.attempt,
        worker="worker",
        contributor="",
        captioned_at=1.0,
    )


def failure_of(lease: Lease, reason: str = "decode", *, own: bool = True) -> Failure:
    return Failure(reason, "not an image", 1.0, lease.stage, lease.attempt, "worker", own)


def unsigned(failure: Failure) -> Failure:
    """Leave out whose worker gave a sample up: through a proxy all workers are somebody's."""
    return replace(failure, contributor="")


def done(leases: Sequence[Lease]) -> list[tuple[Lease, Outcomes]]:
    return [(lease, (outcome_of(lease),)) for lease in leases]


def failed(leases: Sequence[Lease]) -> list[tuple[Lease, Failure]]:
    return [(lease, failure_of(lease)) for lease in leases]


def deferred(leases: Sequence[Lease], *, delay: float = 0.0, own: bool = True) -> list[Deferral]:
    return [Deferral(lease, failure_of(lease, own=own), delay) for lease in leases]


def retry_of(letters: Sequence[DeadLetter], token: str = "token") -> Chunk:
    names = tuple(letter.sample.id for letter in letters)
    return Chunk(f"{ROOT_SHARD}:retry-{token}", dataset="data", shard=ROOT_SHARD, names=names)


async def letters_of(dead: RedisDeadLetters, **wanted: Any) -> list[DeadLetter]:
    return [letter async for batch in dead.letters(LetterFilter(**wanted)) for letter in batch]


async def renew(queue: Any, held: Sequence[Any]) -> set[str]:
    """Renew as a role does, and drop what is lost; answers its entries."""
    async with queue.renewals() as renew_now:
        lost = await renew_now(held)
    if not isinstance(queue, RedisCaptionQueue):
        queue.drop(lost)
    return {one if isinstance(one, str) else one.entry for one in lost}


def ids_of(things: Sequence[Lease] | Sequence[Caption]) -> list[str]:
    return [thing.sample.id for thing in things]


def entries_of(captions: Sequence[Caption]) -> list[str]:
    return [caption.entry for caption in captions]
