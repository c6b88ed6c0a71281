"""Renew: a lease begins anew, is no delivery, and is never stolen back."""

from tests.queue.shop import LEASE_SECONDS, Shop, done, renew


async def test_renewed_lease_has_its_whole_time(shop: Shop):
    await shop.offer(2)
    worker = await shop.worker()
    leases = await worker.claim(2)
    await shop.expire(shop.lane.samples("caption"))

    assert await renew(worker, leases) == set()

    rows = await shop.pending(shop.lane.samples("caption"), "workers")
    assert all(row["time_since_delivered"] < LEASE_SECONDS * 1000 for row in rows)


async def test_renewal_is_no_delivery(shop: Shop):
    await shop.offer(1)
    worker = await shop.worker()
    leases = await worker.claim(1)
    for _ in range(5):
        await renew(worker, leases)

    [row] = await shop.pending(shop.lane.samples("caption"), "workers")
    assert row["times_delivered"] == 1


async def test_lost_leases_are_named(shop: Shop):
    await shop.offer(3)
    worker, other = await shop.worker("first"), await shop.worker("other")
    leases = await worker.claim(3)
    await worker.release(leases[:1])
    await other.claim(1)
    await worker.complete(done(leases[1:2]))

    assert await renew(worker, leases) == {leases[0].entry, leases[1].entry}


async def test_renewal_never_steals_back(shop: Shop):
    await shop.offer(1)
    late, prompt = await shop.worker("late"), await shop.worker("prompt")
    leases = await late.claim(1)
    await shop.expire(shop.lane.samples("caption"))
    ours = await prompt.claim(1)

    await renew(late, leases)

    assert await prompt.complete(done(ours)) == [True]


async def test_leases_of_all_stages_are_renewed(two_stages: Shop):
    await two_stages.offer(2)
    worker = await two_stages.worker()
    await worker.complete(done(await worker.claim(1)))
    leases = await worker.claim(2)
    for stage in two_stages.stages:
        await two_stages.expire(two_stages.lane.samples(stage))
    await renew(worker, leases)

    assert await (await two_stages.worker("other")).claim(2) == []


async def test_nothing_is_renewed_of_no_lease(shop: Shop):
    assert await renew(await shop.worker(), []) == set()


async def test_thousands_of_leases_are_renewed_at_once(shop: Shop):
    """More than Lua's stack holds."""
    samples = await shop.offer(9_000)
    worker = await shop.worker()
    leases = await worker.claim(len(samples))
    await shop.expire(shop.lane.samples("caption"))

    assert await renew(worker, leases) == set()
    assert await (await shop.worker("other")).claim(1) == []


async def test_sink_is_told_of_lost_captions(shop: Shop):
    await shop.caption(2)
    sink = shop.sink("first")
    captions = await sink.read(2)
    await shop.expire(shop.lane.captions)
    [stolen] = await shop.sink("second").read(1)

    assert await renew(sink, [c.entry for c in captions]) == {stolen.entry}


async def test_caption_lost_and_back_is_not_read_twice(shop: Shop):
    """The open part holds it still: read once more, it would stand in the part twice."""
    await shop.caption(1)
    sink, other = shop.sink("first"), shop.sink("other")
    [caption] = await sink.read(1)
    await shop.expire(shop.lane.captions)
    await other.read(1)
    await renew(sink, [caption.entry])
    await other.release_captions([caption.entry])

    assert await sink.read(1) == []
    assert await sink.commit("part", b"{}", [caption.entry]) == []
    await shop.check_books()
