"""Suspect: what a sample will have done is noted before it can, for when nobody is left to tell."""

import pytest

from caption_flow.model import WORKER_DIED, Lease
from tests.queue.shop import Shop, deferred, done, failed, failure_of, ids_of, unsigned
from tests.redis_server import RedisServer


async def noted(shop: Shop, name: str = "worker") -> Lease:
    """Claim the one sample there is, and note what it may do."""
    worker = await shop.worker(name)
    [lease] = await worker.claim(1)
    await worker.suspect(lease, failure_of(lease, WORKER_DIED))
    return lease


async def orphaned(shop: Shop, name: str = "worker") -> Lease:
    """The same, and then be heard of no more."""
    lease = await noted(shop, name)
    await shop.expire(shop.lane.samples("caption"))
    return lease


async def test_what_was_noted_is_told_when_its_holder_is_not_heard_of_again(shop: Shop):
    await shop.offer(1)
    dead = await orphaned(shop)

    [lease] = await (await shop.worker("other")).claim(1)

    assert lease.failures == (failure_of(dead, WORKER_DIED),)
    assert (lease.spent, lease.orphaned) == (1, 1)


async def test_each_holder_that_died_is_an_attempt(shop: Shop):
    await shop.offer(1)
    for name in ("first", "second", "third"):
        await orphaned(shop, name)

    [lease] = await (await shop.worker("other")).claim(1)

    assert (lease.spent, lease.orphaned) == (3, 3)


async def test_holder_that_died_without_a_note_is_no_attempt(shop: Shop):
    await shop.offer(1)
    for name in ("first", "second", "third"):
        await (await shop.worker(name)).claim(1)
        await shop.expire(shop.lane.samples("caption"))

    [lease] = await (await shop.worker("other")).claim(1)

    assert (lease.spent, lease.orphaned) == (0, 3)


async def test_what_was_noted_did_not_happen_where_the_sample_was_handed_back(shop: Shop):
    await shop.offer(1)
    worker = await shop.worker()
    [lease] = await worker.claim(1)
    await worker.suspect(lease, failure_of(lease, WORKER_DIED))
    await worker.release([lease])

    [again] = await (await shop.worker("other")).claim(1)

    assert (again.failures, again.spent, again.orphaned) == ((), 0, 0)


async def test_what_was_noted_did_not_happen_where_the_sample_failed(shop: Shop):
    await shop.offer(1)
    worker = await shop.worker()
    [lease] = await worker.claim(1)
    await worker.suspect(lease, failure_of(lease, WORKER_DIED))
    await worker.defer(deferred([lease]))

    [again] = await (await shop.worker("other")).claim(1)

    assert again.failures == (failure_of(lease),)
    assert (again.spent, again.orphaned) == (1, 0)


async def test_dead_letter_tells_of_the_dead_and_not_of_who_lived_to_tell(shop: Shop):
    await shop.offer(1)
    dead = await orphaned(shop)
    worker = await shop.worker("other")
    [lease] = await worker.claim(1)
    await worker.suspect(lease, failure_of(lease, WORKER_DIED))
    await worker.fail(failed([lease]))

    [letter] = await shop.inspector.dead_letters(1)

    assert letter.earlier == (failure_of(dead, WORKER_DIED),)
    assert unsigned(letter.failure) == failure_of(lease)


async def test_sample_of_another_is_not_noted(shop: Shop):
    await shop.offer(1)
    late, prompt = await shop.worker("late"), await shop.worker("prompt")
    [lease] = await late.claim(1)
    await shop.expire(shop.lane.samples("caption"))
    await prompt.claim(1)
    before = await shop.dump()

    await late.suspect(lease, failure_of(lease, WORKER_DIED))

    assert await shop.dump() == before


async def test_settled_sample_leaves_no_note_behind(shop: Shop):
    await shop.offer(1)
    worker = await shop.worker()
    [lease] = await worker.claim(1)
    await worker.suspect(lease, failure_of(lease, WORKER_DIED))
    await worker.complete(done([lease]))

    assert not await shop.redis.exists(shop.lane.failures)


async def test_lease_begins_anew_and_is_no_delivery(shop: Shop):
    await shop.offer(1)
    worker = await shop.worker()
    [lease] = await worker.claim(1)
    await shop.expire(shop.lane.samples("caption"))

    await worker.suspect(lease, failure_of(lease, WORKER_DIED))

    [row] = await shop.pending(shop.lane.samples("caption"), "workers")
    assert row["time_since_delivered"] < 10_000
    assert row["times_delivered"] == 1


async def test_full_server_takes_a_note(shop: Shop, redis_server: RedisServer):
    await shop.offer(1)
    worker = await shop.worker()
    [lease] = await worker.claim(1)
    redis_server.cli("CONFIG", "SET", "maxmemory", "1")
    try:
        await worker.suspect(lease, failure_of(lease, WORKER_DIED))
    finally:
        redis_server.cli("CONFIG", "SET", "maxmemory", "0")

    assert await shop.redis.exists(shop.lane.failures)


@pytest.mark.parametrize("times", [1, 2])
async def test_noted_twice_is_one_attempt(shop: Shop, times: int):
    """As when the answer to the first was lost."""
    await shop.offer(1)
    worker = await shop.worker()
    [lease] = await worker.claim(1)
    for _ in range(times):
        await worker.suspect(lease, failure_of(lease, WORKER_DIED))
    await shop.expire(shop.lane.samples("caption"))

    [again] = await (await shop.worker("other")).claim(1)

    assert again.spent == 1
    assert ids_of([again]) == ids_of([lease])
