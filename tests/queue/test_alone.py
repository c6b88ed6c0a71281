"""Alone: how many feeders began to look at a sample, alone, and did not live to say it is over."""

import pytest

from caption_flow.errors import QueueFull
from caption_flow.model import ChunkLease
from caption_flow.queue.feed import RedisFeedQueue
from tests.queue.shop import PLENTY, Shop, offers_of
from tests.queue.test_full_server import full


async def claim(shop: Shop, feeder: RedisFeedQueue) -> ChunkLease:
    """Take over the chunk, wherever it is."""
    await shop.expire(shop.lane.chunks)
    lease = await feeder.claim_chunk()
    assert lease is not None
    return lease


async def looks(shop: Shop, deaths: int) -> int:
    """Begin to look at the sample at the cursor, after so many who died of that."""
    for number in range(deaths):
        feeder = shop.feeder(f"dies {number}")
        await feeder.begin_look(await claim(shop, feeder))
    feeder = shop.feeder("last")
    begun = await feeder.begin_look(await claim(shop, feeder))
    assert begun.status == "ok"
    return begun.looks


@pytest.fixture
async def planned(shop: Shop) -> Shop:
    """A job with one chunk, held by somebody."""
    await shop.plan(3)
    assert await shop.feeder("first").claim_chunk() is not None
    return shop


async def test_looks_at_one_sample_are_counted(planned: Shop):
    assert await looks(planned, deaths=0) == 1
    assert await looks(planned, deaths=3) == 5


async def test_look_that_is_over_counts_no_more_nor_do_those_before(planned: Shop):
    await looks(planned, deaths=2)
    survivor = planned.feeder("survivor")
    lease = await claim(planned, survivor)
    await survivor.begin_look(lease)

    await survivor.end_look(lease)

    assert await looks(planned, deaths=0) == 1


async def test_repeated_beginning_is_one_look(planned: Shop):
    feeder = planned.feeder()
    lease = await claim(planned, feeder)

    assert [(await feeder.begin_look(lease)).looks for _ in range(3)] == [1, 1, 1]


async def test_looks_at_another_sample_are_counted_anew(planned: Shop):
    feeder = planned.feeder()
    await looks(planned, deaths=2)
    lease = await claim(planned, feeder)
    await feeder.offer(lease, offers_of(lease.chunk, 0, 1), PLENTY)

    assert await looks(planned, deaths=0) == 1


async def test_look_at_a_sample_that_was_offered_is_told_the_cursor(planned: Shop):
    feeder = planned.feeder()
    lease = await claim(planned, feeder)
    await feeder.offer(lease, offers_of(lease.chunk, 0, 2), PLENTY)
    before = await planned.dump()

    begun = await feeder.begin_look(lease)

    assert (begun.status, begun.cursor) == ("moved", 2)
    assert await planned.dump() == before


async def test_who_lost_the_chunk_neither_begins_a_look_nor_ends_one(planned: Shop):
    first, second = planned.feeder("late"), planned.feeder("second")
    lost = await claim(planned, first)
    await second.begin_look(await claim(planned, second))
    before = await planned.dump()

    assert (await first.begin_look(lost)).status == "lost"
    await first.end_look(lost)

    assert await planned.dump() == before


async def test_chunk_offered_to_its_end_leaves_no_looks(planned: Shop):
    feeder = planned.feeder()
    lease = await claim(planned, feeder)
    await feeder.begin_look(lease)

    await feeder.offer(lease, offers_of(lease.chunk), PLENTY)

    assert set(await planned.redis.hgetall(planned.lane.cursors)) == {b"plan", b"images"}


async def test_look_on_a_full_server_does_not_begin_but_ends(planned: Shop):
    feeder = planned.feeder()
    lease = await claim(planned, feeder)
    await feeder.begin_look(lease)
    async with full(planned):
        with pytest.raises(QueueFull):
            await feeder.begin_look(lease)
        await feeder.end_look(lease)

    assert await looks(planned, deaths=0) == 1
