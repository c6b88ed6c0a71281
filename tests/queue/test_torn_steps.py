"""A step that Redis died in is done once, where its file is mended as docs/reliability.md says."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from caption_flow.queue.connect import connect
from tests.queue.shop import PLENTY, Shop, done, entries_of, offers_of
from tests.redis_server import RedisServer

COUNT = 12
CUT = 20  # bytes: EXEC, and some of the command before it

Step = Callable[[Shop], Awaitable[None]]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """One whose file ends with what it has answered last."""
    with RedisServer(tmp_path / "redis", "--appendfsync", "always") as started:
        yield started


@asynccontextmanager
async def shop_on(server: RedisServer) -> AsyncIterator[Shop]:
    async with connect(server.url, role="test") as opened:
        yield Shop(opened)


async def feed(shop: Shop) -> None:
    feeder = shop.feeder()
    lease = await feeder.claim_chunk()
    assert lease is not None
    assert (await feeder.offer(lease, offers_of(lease.chunk), PLENTY)).status == "ok"


async def work(shop: Shop) -> None:
    worker = await shop.worker()
    assert all(await worker.complete(done(await worker.claim(COUNT))))


async def write(shop: Shop) -> None:
    sink = shop.sink()
    assert await sink.commit("part", b"{}", entries_of(await sink.read(COUNT))) == []


STEPS: tuple[Step, ...] = (feed, work, write)


async def take(server: RedisServer, steps: tuple[Step, ...]) -> None:
    async with shop_on(server) as shop:
        for step in steps:
            await step(shop)


def die_in_the_last_step(server: RedisServer) -> None:
    """As a kill does that comes while the step is written."""
    server.kill()
    [aof] = server.directory.glob("appendonlydir/*.incr.aof")
    aof.write_bytes(aof.read_bytes()[:-CUT])


@pytest.mark.parametrize("torn", STEPS)
async def test_step_that_redis_died_in_is_done_once(server: RedisServer, torn: Step):
    """Unmended, what it had begun would be done at the next start but one, beside all the rest."""
    at = STEPS.index(torn)
    async with shop_on(server) as shop:
        await shop.plan(COUNT)
    await take(server, STEPS[: at + 1])
    die_in_the_last_step(server)
    server.start()
    await take(server, STEPS[at:])
    server.restart()

    async with shop_on(server) as shop:
        await shop.check_books()
        counts = await shop.job.counts()
        assert (counts.captioned, counts.in_flight, counts.in_chunks) == (COUNT, 0, 0)
        assert await shop.redis.xlen(shop.lane.captions) == 0
