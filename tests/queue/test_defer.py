"""Defer: what failed is tried again after a while, and why it failed is not forgotten."""

import pytest

from tests.queue.shop import (
    LEASE_SECONDS,
    Shop,
    deferred,
    done,
    failed,
    failure_of,
    ids_of,
    renew,
    unsigned,
)


async def test_deferred_sample_goes_to_another(shop: Shop):
    await shop.offer(2)
    worker = await shop.worker("first")
    leases = await worker.claim(2)

    await worker.defer(deferred(leases))

    assert ids_of(await (await shop.worker("second")).claim(2)) == ids_of(leases)


async def test_deferred_sample_waits_out_its_delay(shop: Shop):
    """It is idle for all but the delay of a lease, so that a look passes over it till then."""
    await shop.offer(1)
    worker = await shop.worker()
    await worker.defer(deferred(await worker.claim(1), delay=LEASE_SECONDS / 2))

    [row] = await shop.pending(shop.lane.samples("caption"), "workers")

    assert LEASE_SECONDS / 2 <= row["time_since_delivered"] / 1000 < LEASE_SECONDS
    assert await worker.claim(1) == []


@pytest.mark.parametrize(("own", "attempts"), [(False, [1, 1, 1]), (True, [1, 2, 3])])
async def test_attempts_count_where_the_failure_was_its_own(
    shop: Shop, own: bool, attempts: list[int]
):
    await shop.offer(1)
    seen = []
    for name in ("first", "second", "third"):
        worker = await shop.worker(name)
        [lease] = await worker.claim(1)
        seen.append(lease.attempt)
        await worker.defer(deferred([lease], own=own))

    assert seen == attempts


async def test_next_lease_says_what_went_wrong_before(shop: Shop):
    await shop.offer(1)
    worker = await shop.worker()
    reasons = []
    for _ in range(3):
        [lease] = await worker.claim(1)
        assert lease.failures == tuple(reasons)
        reasons.append(failure_of(lease))
        await worker.defer(deferred([lease]))


async def test_dead_letter_says_what_went_wrong_before(shop: Shop):
    await shop.offer(1)
    worker = await shop.worker()
    first = await worker.claim(1)
    await worker.defer(deferred(first))
    second = await worker.claim(1)
    await worker.fail(failed(second))

    [letter] = await shop.inspector.dead_letters(1)

    assert letter.earlier == (failure_of(first[0]),)
    assert unsigned(letter.failure) == failure_of(second[0])


async def test_settled_samples_leave_no_failures_behind(shop: Shop):
    await shop.offer(2)
    worker = await shop.worker()
    await worker.defer(deferred(await worker.claim(2)))
    leases = await worker.claim(2)
    await worker.complete(done(leases[:1]))
    await worker.fail(failed(leases[1:]))

    assert not await shop.redis.exists(shop.lane.failures)


async def test_sample_of_another_is_not_deferred(shop: Shop):
    await shop.offer(1)
    late, prompt = await shop.worker("late"), await shop.worker("prompt")
    leases = await late.claim(1)
    await shop.expire(shop.lane.samples("caption"))
    ours = await prompt.claim(1)

    await late.defer(deferred(leases))

    assert await renew(prompt, ours) == set()
    assert not await shop.redis.exists(shop.lane.failures)


async def test_deferred_twice_is_one_failure(shop: Shop):
    """As when the answer to the first was lost."""
    await shop.offer(1)
    worker = await shop.worker()
    deferrals = deferred(await worker.claim(1))
    await worker.defer(deferrals)
    await worker.defer(deferrals)

    [lease] = await worker.claim(1)

    assert len(lease.failures) == 1
    assert lease.attempt == 2
