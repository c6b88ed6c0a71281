"""Own leases: who lives and renews too late takes nothing from its samples' attempts."""

from tests.queue.shop import Shop, done, entries_of, ids_of

ROUNDS = 4  # more than a sample's deliveries may end without a word


async def deliveries(shop: Shop, stream: str, group: str = "workers") -> list[int]:
    return [row["times_delivered"] for row in await shop.pending(stream, group)]


async def test_own_lease_that_runs_out_is_no_delivery(shop: Shop):
    await shop.offer(2)
    samples = shop.lane.samples("caption")
    worker = await shop.worker()
    leases = await worker.claim(2)
    for _ in range(ROUNDS):
        await shop.expire(samples)
        assert await worker.claim(2) == []

    assert await deliveries(shop, samples) == [1, 1]
    assert await worker.complete(done(leases)) == [True, True]


async def test_own_lease_that_ran_out_begins_anew(shop: Shop):
    await shop.offer(1)
    worker = await shop.worker()
    await worker.claim(1)
    await shop.expire(shop.lane.samples("caption"))
    await worker.claim(1)

    assert await (await shop.worker("other")).claim(1) == []


async def test_lease_of_another_counts_beside_our_own(shop: Shop):
    """Found in one look, ours before and behind."""
    await shop.offer(3)
    samples = shop.lane.samples("caption")
    worker, other = await shop.worker(), await shop.worker("other")
    await worker.claim(1)
    [lost] = await other.claim(1)
    await worker.claim(1)
    await shop.expire(samples)

    found = await worker.claim(3)

    assert [(lease.sample, lease.attempt) for lease in found] == [(lost.sample, 2)]
    assert await deliveries(shop, samples) == [1, 2, 1]


async def test_own_lease_keeps_the_deliveries_it_had(shop: Shop):
    await shop.offer(1)
    samples = shop.lane.samples("caption")
    await (await shop.worker("dead")).claim(1)
    await shop.expire(samples)
    worker = await shop.worker()
    [lease] = await worker.claim(1)
    await shop.expire(samples)
    await worker.claim(1)

    assert lease.attempt == 2
    assert await deliveries(shop, samples) == [2]


async def test_own_lease_that_is_in_hand_no_more_is_given_as_it_was(shop: Shop):
    await shop.offer(1)
    samples = shop.lane.samples("caption")
    worker = await shop.worker()
    leases = await worker.claim(1)
    worker.drop(leases)
    await shop.expire(samples)

    assert [lease.attempt for lease in await worker.claim(1)] == [1]


async def test_thousands_of_own_leases_run_out_uncounted(shop: Shop):
    """As many as a worker that stood still may find at once."""
    samples = await shop.offer(2_000)
    worker = await shop.worker()
    leases = await worker.claim(len(samples))
    await shop.expire(shop.lane.samples("caption"))
    assert await worker.claim(len(samples)) == []

    rows = await shop.redis.xpending_range(
        shop.lane.samples("caption"), "workers", "-", "+", len(samples)
    )
    assert len(leases) == len(rows)
    assert {row["times_delivered"] for row in rows} == {1}


async def test_own_chunk_that_runs_out_is_no_delivery(shop: Shop):
    """One that was delivered three times would be fed alone, sample by sample."""
    await shop.plan(2)
    feeder = shop.feeder()
    await feeder.claim_chunk()
    for _ in range(ROUNDS):
        await shop.expire(shop.lane.chunks)
        assert await feeder.claim_chunk() is None

    assert await deliveries(shop, shop.lane.chunks, "feeders") == [1]


async def test_own_captions_that_run_out_stay_in_the_part(shop: Shop):
    await shop.caption(2)
    sink = shop.sink()
    captions = await sink.read(2)
    await shop.expire(shop.lane.captions)

    assert ids_of(await sink.read(2)) == []
    assert await deliveries(shop, shop.lane.captions, "sinks") == [1, 1]
    assert await sink.commit("part", b"{}", entries_of(captions)) == []
