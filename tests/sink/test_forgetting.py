"""Forgetting: Redis is emptied or set back beneath two sinks; no row is lost or doubled."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from caption_flow.dataset.columns import ColumnSchema
from caption_flow.errors import QueueUnreachable
from caption_flow.lifecycle import Drain
from caption_flow.model import EntryId
from caption_flow.queue.captions import RedisCaptionQueue
from caption_flow.queue.connect import connect
from caption_flow.queue.job import RedisJob
from caption_flow.sink import sink as sinking
from caption_flow.sink.records import record
from caption_flow.sink.recovery import Recovery
from caption_flow.sink.sink import PartSize, Sink
from tests.made import LEASE, jpeg
from tests.redis_server import RedisServer
from tests.roles import (
    AMPLE,
    JOB,
    Roles,
    ends,
    running,
    until,
)
from tests.sink.crash import Snapshot
from tests.sink.steps import STEPS, Hold, OnStep, SteppingFolder, SteppingQueue

NAMES = [f"{n:05}.jpg" for n in range(6)]
ROWS = 3  # in a part


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """One that has on its disk whatever it has answered."""
    with RedisServer(tmp_path / "redis", "--appendfsync", "always") as started:
        yield started


@pytest.fixture
async def roles(server: RedisServer, tmp_path: Path) -> AsyncIterator[Roles]:
    async with connect(server.url, role="test") as connections:
        yield Roles(connections, tmp_path)


@pytest.fixture(autouse=True)
def rare_looks(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """A sink that finds out must do so in time, and not by looking around often."""
    monkeypatch.setattr(sinking, "RECOVER_SECONDS", 1000.0)
    caplog.set_level(logging.INFO)


class Sinks:
    """Sinks of one job, each with connections of its own, as in processes of their own."""

    def __init__(self, url: str, roles: Roles) -> None:
        self._url = url
        self._data_dir = roles.folder.path.parent
        self._open = AsyncExitStack()

    async def make(self, name: str, on_step: OnStep = lambda _: None, **given: object) -> Sink:
        connections = await self._open.enter_async_context(connect(self._url, role="sink"))
        options = {"drain": Drain(), "exit_when_done": True} | given
        return Sink(
            SteppingQueue(RedisJob(connections, JOB), name, on_step),
            SteppingFolder(self._data_dir, JOB, on_step),
            outputs=["captions"],
            fields={},
            size=PartSize(rows=ROWS, seconds=1000.0, budget=AMPLE.samples),
            lease_seconds=LEASE,
            **options,  # type: ignore[arg-type]
        )

    async def __aenter__(self) -> "Sinks":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()


@pytest.fixture
async def sinks(server: RedisServer, roles: Roles) -> AsyncIterator[Sinks]:
    async with Sinks(server.url, roles) as opened:
        yield opened


async def feed_what_is_in_no_part(roles: Roles) -> None:
    """As a feeder does that sees the folder."""
    missing = set(NAMES) - {row["id"] for row in roles.rows()}
    numbers = sorted(int(name[:5]) for name in missing)
    if numbers:
        await roles.finish(range(numbers[0], numbers[-1] + 1))
    else:
        await roles.feed_queue().plan("", "end", None, backlog=1, done=True)


async def feed_all(roles: Roles) -> None:
    """As a feeder does on a host that has no such folder."""
    await roles.finish(range(len(NAMES)))


async def check(roles: Roles) -> None:
    """All rows once, and nothing left over."""
    assert sorted(row["id"] for row in roles.rows()) == NAMES
    assert list(roles.folder.path.glob(".*")) == []
    assert await roles.captions() == []
    assert (await roles.counts()).done


async def is_idle(roles: Roles) -> bool:
    return bool((await roles.client.info("clients"))["blocked_clients"])


async def stands_still(roles: Roles, caplog: pytest.LogCaptureFixture) -> bool:
    """Whether the sink beside one that is held is done, or waits for it."""
    return "has yet to publish" in caplog.text or (await roles.counts()).done


@pytest.mark.parametrize("feed", [feed_what_is_in_no_part, feed_all])
@pytest.mark.parametrize("step", STEPS)
async def test_redis_emptied_at_a_step(  # noqa: PLR0917 - all but two are fixtures
    roles: Roles,
    sinks: Sinks,
    server: RedisServer,
    caplog: pytest.LogCaptureFixture,
    step: str,
    feed: Callable[[Roles], Awaitable[None]],
):
    await roles.finish(range(len(NAMES)))
    hold = Hold(step, part=2)
    held, other = await sinks.make("held", hold), await sinks.make("other")
    async with running(held.run()) as first:
        await until(lambda: hold.reached)
        async with running(other.run()) as second:
            await until(lambda: is_idle(roles))
            server.cli("FLUSHALL")
            await feed(roles)
            await until(lambda: stands_still(roles, caplog))
            hold.let_go()
            await ends(asyncio.gather(first, second))  # type: ignore[arg-type]

    await check(roles)


@pytest.fixture
async def snapshot(roles: Roles, server: RedisServer) -> Snapshot:
    """The captions are there, and a sink has looked around, but none has read."""
    await roles.finish(range(len(NAMES)))
    await looks_around(roles)
    taken = Snapshot(server)
    taken.take()
    return taken


async def looks_around(roles: Roles) -> None:
    await Recovery(roles.caption_queue(), roles.folder).run()


async def set_back(roles: Roles, snapshot: Snapshot) -> None:
    snapshot.restore()
    await roles.client.connection_pool.disconnect()  # this test is no client that must notice


@pytest.mark.parametrize("step", STEPS)
async def test_redis_set_back_at_a_step(
    roles: Roles, sinks: Sinks, snapshot: Snapshot, caplog: pytest.LogCaptureFixture, step: str
):
    hold = Hold(step, part=2)
    held, other = await sinks.make("held", hold), await sinks.make("other")
    async with running(held.run()) as first:
        await until(lambda: hold.reached)
        async with running(other.run()) as second:
            await until(lambda: is_idle(roles))
            await set_back(roles, snapshot)
            await until(lambda: stands_still(roles, caplog))
            hold.let_go()
            await ends(asyncio.gather(first, second))  # type: ignore[arg-type]

    await check(roles)


async def test_a_commit_waits_for_what_was_forgotten_since_its_rows_were_looked_at(
    roles: Roles, sinks: Sinks, server: RedisServer
):
    """Another sink had taken them over meanwhile, and Redis gave them back when it was set back."""
    await roles.finish(range(len(NAMES)))
    hold = Hold("prepared", part=2)
    held = await sinks.make("held", hold)
    async with running(held.run()) as first:
        await until(lambda: hold.reached)
        before = Snapshot(server)
        before.take()
        await roles.expire_captions()
        await publish_what_waits(roles)
        await set_back(roles, before)
        hold.let_go()
        await ends(first)

    await check(roles)


async def publish_what_waits(roles: Roles) -> None:
    """Take over and publish what another sink holds, as a sink does that has seen no trouble."""
    queue = roles.caption_queue("other")
    captions = await queue.read(ROWS)
    part = roles.folder.open(ColumnSchema(("captions",)))
    part.append(captions)
    part.prepare()
    assert (
        await queue.commit(part.name, record(ROWS, part.tally(), part.shards()), part.entries) == []
    )
    part.publish()


async def test_captions_of_a_forgotten_part_are_dropped_by_a_sink_that_starts_later(
    roles: Roles, sinks: Sinks, snapshot: Snapshot
):
    """Another one has recorded it again, and has gone."""
    await ends((await sinks.make("first")).run())
    await set_back(roles, snapshot)
    await looks_around(roles)
    assert await roles.job.parts() == set(roles.folder.published())

    await ends((await sinks.make("later")).run())

    await check(roles)


async def test_captions_of_a_part_that_was_away_are_dropped_by_a_sink_that_ran_meanwhile(
    roles: Roles, sinks: Sinks, tmp_path: Path
):
    """It stood nowhere and was fed again when it came back, and another has recorded it again."""
    await roles.finish(range(len(NAMES)))
    drain = Drain()
    sink = await sinks.make("all the while", drain=drain, exit_when_done=False)
    async with running(sink.run()) as sinking:
        await until(lambda: len(roles.folder.published()) == len(NAMES) // ROWS)
        part = roles.folder.file(roles.folder.published()[0])
        away = part.rename(tmp_path / part.name)
        await roles.client.hdel(roles.job.lane.parts, part.stem)
        again = [n for n, name in enumerate(NAMES) if name not in {r["id"] for r in roles.rows()}]
        await roles.offer([jpeg(n) for n in again], first=again[0])
        away.rename(part)
        await looks_around(roles)
        await roles.finish_waiting()
        await until(lambda: is_done(roles))
        drain.ask()
        await ends(sinking)

    await check(roles)


async def is_done(roles: Roles) -> bool:
    return (await roles.counts()).done


async def test_who_records_a_part_again_has_looked_in_the_epoch_that_begins_with_it(
    roles: Roles,
):
    await forget_a_part(roles)
    queue = roles.caption_queue()
    before = await queue.epoch()
    recovery = Recovery(queue, roles.folder)
    await recovery.run()

    assert before != recovery.epoch == await queue.epoch()


async def forget_a_part(roles: Roles) -> str:
    """Redis loses the record of the only part, of three samples."""
    await roles.finish(range(ROWS))
    await ends(roles.sink().run())
    [part] = roles.folder.published()
    await roles.client.hdel(roles.job.lane.parts, part)
    return part


async def test_sinks_of_a_full_server_commit_although_it_has_forgotten_a_part(
    roles: Roles, server: RedisServer
):
    """Only what leaves makes room; what the part holds is dropped all the same."""
    await forget_a_part(roles)
    await roles.finish(range(len(NAMES)))
    server.cli("CONFIG", "SET", "maxmemory", 1)

    await ends(roles.sink().run())

    await check(roles)


async def test_part_that_a_full_server_forgot_is_recorded_when_it_has_room(
    roles: Roles, server: RedisServer
):
    part = await forget_a_part(roles)
    recovery = Recovery(roles.caption_queue(), roles.folder)
    server.cli("CONFIG", "SET", "maxmemory", 1)
    await recovery.run()
    assert await roles.job.parts() == set()
    server.cli("CONFIG", "SET", "maxmemory", 0)

    await recovery.run()

    assert await roles.job.parts() == {part}


async def test_a_sink_notices_that_redis_was_emptied_where_another_has_healed_the_group(
    roles: Roles, sinks: Sinks, server: RedisServer
):
    await roles.finish(range(len(NAMES)))
    hold, drain = Hold("published", part=2), Drain()
    held, other = await sinks.make("held", hold), await sinks.make("other", drain=drain)
    async with running(held.run()) as first:
        await until(lambda: hold.reached)
        async with running(other.run()) as second:
            await until(lambda: is_idle(roles))
            server.cli("FLUSHALL")
            await until(lambda: has_group(roles))
            drain.ask()
            await ends(second)
        await feed_all(roles)
        hold.let_go()
        await ends(first)

    await check(roles)


async def has_group(roles: Roles) -> bool:
    stream = roles.job.lane.captions
    return await roles.client.exists(stream) and await roles.client.xinfo_groups(stream) != []


async def test_redis_emptied_while_the_answer_to_a_commit_was_lost(
    roles: Roles, server: RedisServer
):
    await roles.finish(range(len(NAMES)))
    queue = ForgottenQueue(roles, server)
    async with running(roles.sink(queue=queue).run()) as sinking:
        await until(lambda: queue.forgotten)
        await feed_what_is_in_no_part(roles)
        await ends(sinking)

    await check(roles)


class ForgottenQueue(RedisCaptionQueue):
    """Redis is emptied once when it has done a commit, before anybody knows that."""

    def __init__(self, roles: Roles, server: RedisServer) -> None:
        super().__init__(roles.job, name="unanswered", lease_seconds=LEASE)
        self._server = server
        self.forgotten = False

    async def commit(
        self, part: str, record: bytes, entries: Sequence[EntryId], *, epoch: str = ""
    ) -> list[EntryId]:
        answer = await super().commit(part, record, entries, epoch=epoch)
        if not self.forgotten:
            self._server.cli("FLUSHALL")
            self.forgotten = True
            raise QueueUnreachable("No answer.")
        return answer


async def test_a_commit_that_comes_after_its_part_was_dropped_is_refused(roles: Roles):
    """Its sender died while it was on its way."""
    await roles.finish(range(3))
    late = roles.caption_queue("late")
    entries = [caption.entry for caption in await late.read(3)]
    part = roles.folder.open(ColumnSchema(("captions",)))
    part.prepare()
    part.abandon()
    await looks_around(roles)

    lost = await late.commit(part.name, record(3, {}), entries)

    assert lost == entries
    assert len(await roles.captions()) == 3
    assert await roles.job.parts() == set()


async def test_a_server_that_forgot_nothing_makes_no_sample_suspect(
    roles: Roles, server: RedisServer
):
    """However often it is started again: what is suspect stays in memory."""
    await roles.finish(range(len(NAMES)))
    await ends(roles.sink(rows=ROWS).run())
    recovery = Recovery(roles.caption_queue(), roles.folder)
    for _ in range(3):
        server.restart()
        await roles.client.connection_pool.disconnect()
        await recovery.run()

    assert recovery.doubles(NAMES) == set()
