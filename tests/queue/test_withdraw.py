"""Withdraw: what is left of a chunk leaves the plan, and the plan begins anew, in one step."""

import pytest

from tests.queue.shop import PLENTY, Shop, offers_of


@pytest.fixture
async def planned(shop: Shop) -> Shop:
    """A job with two chunks, both planned, the first of them held and offered in part."""
    await shop.plan(5, 3)
    return shop


async def test_only_what_is_not_offered_leaves_the_books(planned: Shop):
    feeder = planned.feeder()
    lease = await feeder.claim_chunk()
    assert lease is not None
    await feeder.offer(lease, offers_of(lease.chunk)[:2], PLENTY)

    assert await feeder.withdraw(lease, "2", "anew") == "ok"

    counts = await feeder.counts()
    assert (counts.planned, counts.offered, counts.plan_done) == (5, 2, False)
    assert await feeder.position() == "anew"
    await planned.check_books()


async def test_nothing_happens_when_the_plan_has_moved(planned: Shop):
    feeder = planned.feeder()
    lease = await feeder.claim_chunk()
    assert lease is not None

    assert await feeder.withdraw(lease, "1", "anew") == "moved"

    assert (await feeder.counts()).planned == 8
    assert await feeder.position() == "2"


async def test_chunk_of_another_feeder_is_left_to_it(planned: Shop):
    feeder = planned.feeder()
    lease = await feeder.claim_chunk()
    assert lease is not None
    await planned.expire(planned.lane.chunks)
    assert await planned.feeder("other").claim_chunk() is not None

    assert await feeder.withdraw(lease, "2", "anew") == "lost"

    assert (await feeder.counts()).planned == 8


async def test_withdrawn_twice_is_lost(planned: Shop):
    feeder = planned.feeder()
    lease = await feeder.claim_chunk()
    assert lease is not None
    await feeder.withdraw(lease, "2", "anew")

    assert await feeder.withdraw(lease, "anew", "again") == "lost"

    assert (await feeder.counts()).planned == 3
