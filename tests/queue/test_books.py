"""Books: whatever feeders, workers and sinks do in whatever order, each sample is in one place.

A machine plays all roles at random: answers get lost, leases run out, processes die. After each
step the books must agree with the streams; at the end the same roles must finish the job.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from msgspec.structs import replace

from caption_flow.dataset.source import ROOT_SHARD
from caption_flow.model import Caption, ChunkLease, DeadLetter, Lease
from caption_flow.queue import consumer
from caption_flow.queue.connect import connect
from caption_flow.queue.ports import Budget
from tests.queue.ledger import read_ledger
from tests.queue.shop import (
    Shop,
    chunk_of,
    deferred,
    done,
    entries_of,
    failed,
    letters_of,
    offer_of,
    recorded,
    rejection_of,
    renew,
    retry_of,
)
from tests.redis_server import RedisServer

STEPS = 50
EXAMPLES = 40
ENOUGH = 60  # rounds in which any job of a machine must end

# Small, so that an offer is often refused: room for some six samples.
TIGHT = Budget(bytes=1400, samples=6)

someone = st.integers(0, 5)  # taken modulo those it may be
some = st.integers(1, 4)
chance = st.booleans()


class Role:
    """A process: its queue, and what it believes to hold."""

    def __init__(self, queue: Any) -> None:
        self.queue = queue
        self.chunk: ChunkLease | None = None
        self.leases: list[Lease] = []
        self.captions: list[Caption] = []


def feeding(job: "Job") -> list[Role]:
    return [feeder for feeder in job.feeders if feeder.chunk is not None]


def idle(job: "Job") -> list[Role]:
    return [feeder for feeder in job.feeders if feeder.chunk is None]


def working(job: "Job") -> list[Role]:
    return [worker for worker in job.workers if worker.leases]


def collecting(job: "Job") -> list[Role]:
    return [sink for sink in job.sinks if sink.captions]


def one_of(roles: list[Role], who: int) -> Role:
    return roles[who % len(roles)]


class Job(RuleBasedStateMachine):
    """Two feeders, three workers, two sinks, two stages, and operators with the dead letters."""

    url = ""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.planned: list[str] = []
        self.rows: dict[str, list[str]] = {}  # ids of the samples in each committed part
        self.letters: list[DeadLetter] = []  # as the operators saw them when they last looked
        self.births = 0
        self.run(self._open())

    def run(self, work: Awaitable[Any]) -> Any:
        async def step() -> Any:
            return await work

        return self.runner.run(step())

    async def _open(self) -> None:
        self.connections = connect(self.url, role="test")
        self.shop = Shop(self.connections, "look", "tell")
        await self.connections.commands.flushall()
        self.feeders = [self._feeder() for _ in range(2)]
        self.workers = [await self._worker() for _ in range(3)]
        self.sinks = [self._sink() for _ in range(2)]

    def _name(self) -> str:
        self.births += 1
        return f"process {self.births}"

    def _feeder(self) -> Role:
        return Role(self.shop.feeder(self._name()))

    async def _worker(self) -> Role:
        return Role(await self.shop.worker(self._name()))

    def _sink(self) -> Role:
        return Role(self.shop.sink(self._name()))

    async def _do(self, call: Callable[[], Awaitable[Any]], *, again: bool) -> Any:
        """Make a call; once more where its answer was lost."""
        if again:
            await call()
        return await call()

    # Feeders

    @initialize()
    def begin(self) -> None:
        """Save the machine the way to where it gets interesting."""
        for who in range(2):
            self.plan(4, who, again=False)
            self.claim_chunk(who)
            self.offer(who, 2, bad=False, again=False)
            self.claim(who, 3)
            self.complete(0, 3, again=False)
        self.claim(0, 1)
        self.complete(0, 1, again=False)
        self.read(0, 1)
        self.offer(0, 2, bad=True, again=False)
        self.look_at_dead_letters()

    @rule(count=st.integers(0, 3), who=someone, again=chance)
    def plan(self, count: int, who: int, *, again: bool) -> None:
        self.run(self._plan(one_of(self.feeders, who), count, again=again))

    async def _plan(self, feeder: Role, count: int, *, again: bool) -> None:
        before = await feeder.queue.position()
        chunk = chunk_of(before, count)
        after = str(int(before or 0) + 1)
        await self._do(
            lambda: feeder.queue.plan(before, after, chunk, backlog=4, done=False), again=again
        )
        if await feeder.queue.position() == after:
            self.planned += chunk.names

    @precondition(idle)
    @rule(who=someone)
    def claim_chunk(self, who: int) -> None:
        feeder = one_of(idle(self), who)
        feeder.chunk = self.run(feeder.queue.claim_chunk())

    @precondition(feeding)
    @rule(who=someone, count=some, bad=chance, again=chance)
    def offer(self, who: int, count: int, *, bad: bool, again: bool) -> None:
        self.run(self._offer(one_of(feeding(self), who), count, bad=bad, again=again))

    async def _offer(
        self, feeder: Role, count: int, *, bad: bool = False, again: bool = False
    ) -> None:
        lease = feeder.chunk
        assert lease is not None
        names = lease.chunk.names[lease.cursor : lease.cursor + count]
        batch = [offer_of(lease.chunk, name) for name in names]
        if bad:
            batch[0] = rejection_of(lease.chunk, names[0])
        answer = await self._do(lambda: feeder.queue.offer(lease, batch, TIGHT), again=again)
        feeder.chunk = replace(lease, cursor=answer.cursor)
        if answer.status == "lost" or answer.cursor >= lease.chunk.count:
            feeder.chunk = None

    @precondition(feeding)
    @rule(who=someone)
    def renew_chunk(self, who: int) -> None:
        feeder = one_of(feeding(self), who)
        if self.run(renew(feeder.queue, [feeder.chunk])):
            feeder.chunk = None

    @precondition(feeding)
    @rule(who=someone, again=chance)
    def release_chunk(self, who: int, *, again: bool) -> None:
        feeder = one_of(feeding(self), who)
        lease, feeder.chunk = feeder.chunk, None
        self.run(self._do(lambda: feeder.queue.release_chunk(lease), again=again))

    # Workers

    @rule(who=someone, count=some)
    def claim(self, who: int, count: int) -> None:
        worker = one_of(self.workers, who)
        leases = self.run(worker.queue.claim(count))
        in_hand = {lease.entry for lease in worker.leases}
        assert len(leases) <= count
        assert not in_hand & {lease.entry for lease in leases}
        worker.leases += leases

    @precondition(working)
    @rule(who=someone, count=some, again=chance)
    def complete(self, who: int, count: int, *, again: bool) -> None:
        worker, batch = self._batch(who, count)
        self.run(self._do(lambda: worker.queue.complete(done(batch)), again=again))

    @precondition(working)
    @rule(who=someone, count=some, again=chance)
    def fail(self, who: int, count: int, *, again: bool) -> None:
        worker, batch = self._batch(who, count)
        self.run(self._do(lambda: worker.queue.fail(failed(batch)), again=again))

    @precondition(working)
    @rule(who=someone, count=some, again=chance)
    def release(self, who: int, count: int, *, again: bool) -> None:
        worker, batch = self._batch(who, count)
        self.run(self._do(lambda: worker.queue.release(batch), again=again))

    @precondition(working)
    @rule(who=someone, count=some, own=chance, again=chance)
    def defer(self, who: int, count: int, *, own: bool, again: bool) -> None:
        worker, batch = self._batch(who, count)
        deferrals = deferred(batch, own=own)
        self.run(self._do(lambda: worker.queue.defer(deferrals), again=again))

    def _batch(self, who: int, count: int) -> tuple[Role, list[Lease]]:
        worker = one_of(working(self), who)
        batch, worker.leases = worker.leases[:count], worker.leases[count:]
        return worker, batch

    @precondition(working)
    @rule(who=someone)
    def renew(self, who: int) -> None:
        worker = one_of(working(self), who)
        lost = self.run(renew(worker.queue, worker.leases))
        worker.leases = [lease for lease in worker.leases if lease.entry not in lost]

    # Sinks

    @rule(who=someone, count=some)
    def read(self, who: int, count: int) -> None:
        sink = one_of(self.sinks, who)
        captions = self.run(sink.queue.read(count))
        assert not set(entries_of(sink.captions)) & set(entries_of(captions))
        sink.captions += captions

    @precondition(collecting)
    @rule(who=someone, again=chance)
    def commit(self, who: int, *, again: bool) -> None:
        self.run(self._commit(one_of(collecting(self), who), again=again))

    async def _commit(self, sink: Role, *, again: bool = False) -> None:
        part = f"part {len(self.rows)}"
        lost = await self._do(
            lambda: sink.queue.commit(part, recorded(sink.captions), entries_of(sink.captions)),
            again=again,
        )
        if not lost:
            self.rows[part] = [caption.sample.id for caption in sink.captions]
            sink.captions = []
        sink.captions = [c for c in sink.captions if c.entry not in lost]

    @precondition(collecting)
    @rule(who=someone)
    def renew_captions(self, who: int) -> None:
        sink = one_of(collecting(self), who)
        self.run(renew(sink.queue, entries_of(sink.captions)))

    # Operators

    @rule()
    def look_at_dead_letters(self) -> None:
        self.letters = self.run(letters_of(self.shop.dead))

    @precondition(lambda self: self.letters)
    @rule(count=some, again=chance)
    def retry(self, count: int, *, again: bool) -> None:
        letters = self.letters[:count]
        chunk = retry_of(letters, self._name())
        self.run(self._do(lambda: self.shop.dead.retry(chunk, letters), again=again))

    @precondition(lambda self: self.letters)
    @rule(count=some, again=chance)
    def drop(self, count: int, *, again: bool) -> None:
        letters = self.letters[-count:]
        there = {letter.entry for letter in self.run(letters_of(self.shop.dead))}
        self.run(self._do(lambda: self.shop.dead.drop(letters), again=again))
        for letter in letters:
            if letter.entry in there:
                self.planned.remove(letter.sample.id)

    # Accidents

    @rule(stream=st.integers(0, 3))
    def leases_run_out(self, stream: int) -> None:
        lane = self.shop.lane
        streams = [lane.chunks, lane.captions, lane.samples("look"), lane.samples("tell")]
        self.run(self._expire(streams[stream]))

    async def _expire(self, stream: str) -> None:
        if await self.shop.redis.exists(stream):
            await self.shop.expire(stream)

    @rule(who=st.integers(0, 6))
    def process_dies(self, who: int) -> None:
        """Another one starts in its place; what it held runs out some day."""
        if who < 2:
            self.feeders[who] = self._feeder()
        elif who < 4:
            self.sinks[who - 2] = self._sink()
        else:
            self.workers[who - 4] = self.run(self._worker())

    # What must be true

    @invariant()
    def books_balance_and_each_sample_is_in_one_place(self) -> None:
        ledger = self.run(read_ledger(self.shop.job, self.shop.stages))
        ledger.check()
        ledger.check_shards({ROOT_SHARD: sum(map(len, self.rows.values()))})
        found = ledger.whereabouts()
        for rows in self.rows.values():
            found.update(rows)
        assert found == Counter(self.planned)

    def teardown(self) -> None:
        try:
            self.run(self._finish())
        finally:
            self.run(self.connections.close())
            self.runner.close()

    async def _finish(self) -> None:
        """Let the processes that are left finish the job, with all they have been through."""
        feeder = self.feeders[0].queue
        position = await feeder.position()
        await feeder.plan(position, "end", None, backlog=0, done=True)
        for _ in range(ENOUGH):
            if (await self.shop.job.counts()).done:
                break
            await self._go_round()
        assert (await self.shop.job.counts()).done
        ends = Counter(id_ for rows in self.rows.values() for id_ in rows)
        ends.update(letter.sample.id for letter in await letters_of(self.shop.dead))
        assert ends == Counter(self.planned)

    async def _go_round(self) -> None:
        for stream in ("chunks", "captions"):
            await self._expire(getattr(self.shop.lane, stream))
        for stage in self.shop.stages:
            await self._expire(self.shop.lane.samples(stage))
        for feeder in self.feeders:
            feeder.chunk = feeder.chunk or await feeder.queue.claim_chunk()
            if feeder.chunk is not None:
                await self._offer(feeder, 4)
        for worker in self.workers:
            leases = worker.leases + await worker.queue.claim(4)
            await worker.queue.complete(done(leases))
            worker.leases = []
        for sink in self.sinks:
            sink.captions += await sink.queue.read(8)
            if sink.captions:
                await self._commit(sink)


def test_books_balance_whatever_happens(each_server: RedisServer, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(consumer, "RECLAIM_SECONDS", 0.0)
    monkeypatch.setattr(consumer, "BLOCK_MS", None)
    monkeypatch.setattr(Job, "url", each_server.url)
    run_state_machine_as_test(
        Job,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
