"""Lanes: a worker without work leaves Redis in peace, and is soon there when some comes."""

import asyncio
import time
from typing import Any

import pytest

from caption_flow.queue.connect import Connections
from caption_flow.queue.lanes.rest import LEAST, MOST
from caption_flow.queue.lanes.work import LanedWorkQueue
from tests.queue.laned_shop import LanedShop
from tests.queue.shop import LEASE_SECONDS, Shop, done

LANES = 8
MOST_COMMANDS = 40  # a second, of an idle worker
LATEST = 1.0  # seconds until a worker has what came


@pytest.fixture
def shop(connections: Connections) -> Shop:
    """A job with one stage, seen in its first lane."""
    return Shop(connections)


async def idle_worker(shop: Shop) -> LanedWorkQueue:
    worker = LanedWorkQueue(shop.job, LANES, name="worker")
    await worker.serve(shop.stages, lease_seconds=LEASE_SECONDS)
    await tire(worker)
    return worker


async def tire(worker: LanedWorkQueue) -> None:
    """Let it find nothing for so long that it rests as long as it may."""
    while worker._rest._seconds < MOST:
        assert await worker.claim(1) == []


async def commands(shop: Shop) -> int:
    """How many commands Redis has done."""
    stats: dict[str, Any] = await shop.redis.info("commandstats")
    return sum(of["calls"] for name, of in stats.items() if name != "cmdstat_info")


async def test_idle_worker_of_many_lanes_asks_seldom(shop: Shop):
    worker = await idle_worker(shop)
    before, begun = await commands(shop), time.monotonic()
    for _ in range(3):
        assert await worker.claim(1) == []

    seconds = time.monotonic() - begun
    assert (await commands(shop) - before) / seconds <= MOST_COMMANDS


async def test_idle_worker_soon_has_what_comes(shop: Shop):
    """Just when it has begun the longest rest; of three tries, since this machine may be busy."""
    worker, waits = await idle_worker(shop), []
    for _ in range(3):
        await tire(worker)
        claiming = asyncio.ensure_future(found(worker))
        await asyncio.sleep(0.05)
        await shop.offer(1)
        begun = time.monotonic()
        await claiming
        waits.append(time.monotonic() - begun)

    assert min(waits) < LATEST


async def test_worker_looks_soon_after_something_came(shop: Shop):
    worker = await idle_worker(shop)
    await shop.offer(1)
    await found(worker)
    await shop.offer(1)
    assert await worker.claim(1)

    assert worker._rest._seconds == LEAST


async def test_idle_worker_finds_at_once_what_it_passed_on_itself(connections: Connections):
    """A sample of the next stage waits in the lane, while the worker rests."""
    shop = LanedShop(connections, "look", "tell")
    await shop.offer(1)
    worker = await shop.worker()
    leases = await worker.claim(1)
    await tire(worker)
    claiming = asyncio.ensure_future(worker.claim(1))
    await asyncio.sleep(0.1)
    begun = time.monotonic()
    await worker.complete(done(leases))

    [lease] = await claiming

    assert lease.stage == "tell"
    assert time.monotonic() - begun < MOST / 2


async def found(worker: LanedWorkQueue) -> None:
    """Claim until something has come."""
    while not await worker.claim(1):
        pass
