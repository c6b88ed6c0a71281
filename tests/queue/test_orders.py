"""Orders of the operator: a job pauses, a process drains, and each process hears its own."""

import time

from caption_flow.queue.job import GONE_SECONDS
from caption_flow.queue.operate import RedisOperator
from caption_flow.queue.ports import Member, Order, Orders, StandingOrders
from tests.queue.shop import Shop

NOW = 1_700_000_000.0


def operator(shop: Shop) -> RedisOperator:
    return RedisOperator(shop.job.connections, shop.job.job)


def member(name: str, seen: float) -> Member:
    return Member("worker", name, "host", 1, seen, seen, "working")


async def test_job_goes_on_until_it_is_told_otherwise(shop: Shop):
    assert await shop.job.orders("me") == Orders(paused=False, drain=False)
    assert await shop.job.standing_orders() == StandingOrders()


async def test_pause_holds_for_all_until_it_is_lifted(shop: Shop):
    ann = Order("ann on host-a", NOW)

    assert await operator(shop).pause(ann) is None
    assert await operator(shop).pause(Order("bob on host-b", NOW + 1)) == ann
    heard = await shop.job.orders("me")
    standing = await shop.job.standing_orders()

    assert heard == Orders(paused=True) == standing.of("me")
    assert standing.paused == ann
    assert await operator(shop).resume() == ann
    assert await operator(shop).resume() is None
    assert await shop.job.orders("me") == Orders()


async def test_drain_is_for_one_member(shop: Shop):
    ann = Order("ann on host-a", NOW)
    await operator(shop).drain("NAME/gpu0", ann)

    standing = await shop.job.standing_orders()

    assert await shop.job.orders("NAME/gpu0") == Orders(drain=True) == standing.of("NAME/gpu0")
    assert await shop.job.orders("NAME/gpu") == Orders() == standing.of("NAME/gpu")
    assert standing.drained == {"NAME/gpu0": ann}


async def test_order_to_drain_ends_with_its_member(shop: Shop):
    """However that ended: with a word, or without one long ago."""
    now = time.time()
    for name in ("killed", "leaving", "staying"):
        await shop.job.beat(member(name, now - GONE_SECONDS if name == "killed" else now))
        await operator(shop).drain(name, Order("ann", NOW))

    await shop.job.leave(member("leaving", now))
    await operator(shop).beat(member("staying", now))

    assert (await shop.job.standing_orders()).drained.keys() == {"staying"}


async def test_server_that_was_emptied_has_no_orders(shop: Shop):
    await operator(shop).pause(Order("ann", NOW))
    await operator(shop).drain("me", Order("ann", NOW))

    await shop.redis.flushall()

    assert await shop.job.orders("me") == Orders()


async def test_snapshot_tells_of_a_pause(shop: Shop):
    before = await shop.inspector.snapshot()
    await operator(shop).pause(Order("ann", NOW))

    assert (before.paused, (await shop.inspector.snapshot()).paused) == (False, True)
