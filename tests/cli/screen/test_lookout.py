"""Lookout: what the monitor asks of Redis, and what it keeps."""

import asyncio
from collections import Counter

import pytest

from caption_flow.cli.screen.lookout import Lookout
from caption_flow.queue.connect import Connections
from caption_flow.queue.office import RedisOffice
from tests.monitor.crowd import beat_all
from tests.queue.shop import Shop
from tests.queue.test_inspect import STAGES

MEMBERS = 500
MOST = 50  # commands for a look: it is the rate at one look a second
LOOKS = 5


@pytest.fixture
def shop(connections: Connections) -> Shop:
    return Shop(connections, "look", "tell")


class Looks:
    """Lets a lookout look, and counts."""

    def __init__(self, shop: Shop, *, most: int = 20) -> None:
        office = RedisOffice(shop.job.connections, shop.job.job)
        self._news = asyncio.Event()
        self.lookout = Lookout(office, every=0.01, most=most, seen=self._news.set)

    async def next(self) -> None:
        self._news.clear()
        await asyncio.wait_for(self._news.wait(), 60)


async def commands(shop: Shop) -> Counter[str]:
    told = await shop.redis.info("commandstats")
    names = {name.removeprefix("cmdstat_"): one["calls"] for name, one in told.items()}
    return Counter({name: calls for name, calls in names.items() if name != "info"})


async def test_look_at_hundreds_of_workers_takes_few_commands(shop: Shop):
    await shop.feeder().publish(STAGES, "data")
    await shop.caption(30)
    await shop.give_up(3)
    await beat_all(shop.job, MEMBERS)
    looks, counted = Looks(shop), 0
    async with looks.lookout:
        await looks.next()
        before = await commands(shop)
        while counted < LOOKS:
            await looks.next()
            counted += 1
        asked = await commands(shop) - before

    assert len(looks.lookout.sight.workers) == MEMBERS
    # One more look may have begun.
    assert asked.total() <= MOST * (LOOKS + 1), asked


async def test_captions_and_letters_are_read_only_when_there_are_others(shop: Shop):
    await shop.feeder().publish(STAGES, "data")
    await shop.caption(3)
    looks = Looks(shop)
    async with looks.lookout:
        await looks.next()
        before = await commands(shop)
        await looks.next()
        await looks.next()
        # Of each snapshot: the dead letters' reasons, and the ends of both stages.
        assert (await commands(shop) - before)["xrevrange"] <= 2 * 3

        await shop.caption(2)
        while len(looks.lookout.sight.captions) < 5:
            await looks.next()


async def test_caption_stays_in_sight_when_a_sink_takes_it_off(shop: Shop):
    await shop.feeder().publish(STAGES, "data")
    await shop.caption(3)
    looks = Looks(shop)
    async with looks.lookout:
        await looks.next()
        sink = shop.sink()
        taken = await sink.read(3)
        await sink.commit("part", b"{}", [caption.entry for caption in taken])
        while looks.lookout.sight.snapshot.counts.captioned < 3:
            await looks.next()

        assert len(looks.lookout.sight.captions) == 3


async def test_error_that_stays_ends_the_looking(shop: Shop):
    await shop.redis.set(shop.lane.counts, "another program's")
    looks = Looks(shop)
    async with looks.lookout:
        await looks.next()

    assert "not ours" in str(looks.lookout.failure)
