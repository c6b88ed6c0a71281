"""Traps of Redis Streams that were found by falling into them; each test is one of them."""

import pytest

from caption_flow.queue import consumer
from tests.queue.shop import PLENTY, Shop, done, entries_of, failed, ids_of, offers_of, renew


async def test_reclaim_looks_past_fresh_leases(shop: Shop):
    """XAUTOCLAIM from 0-0 each time looks at the oldest leases only, however fresh they are."""
    await shop.offer(1)
    samples = shop.lane.samples("caption")
    [fields] = (await shop.entries(samples)).values()
    busy = await shop.worker("busy")
    pipe = shop.redis.pipeline(transaction=False)
    for _ in range(4_999):
        pipe.xadd(samples, fields)
    await pipe.execute()
    await busy.claim(5_000)
    [last] = await shop.offer(1)
    await (await shop.worker("dead")).claim(1)
    [row] = await shop.redis.xpending_range(samples, "workers", "-", "+", 1, "dead")
    await shop.redis.xclaim(
        samples, "workers", "dead", 0, [row["message_id"]], idle=3_600_000, justid=True
    )
    worker = await shop.worker()

    assert [lease.sample for lease in await worker.claim(100)] == [last]


async def test_reclaim_of_one_goes_on_where_its_last_look_ended(shop: Shop):
    """What is handed back each time hides nothing that waits behind it."""
    await shop.offer(3)
    await (await shop.worker("dead")).claim(3)
    await shop.expire(shop.lane.samples("caption"))
    worker = await shop.worker()
    found = []
    for _ in range(3):
        leases = await worker.claim(1)
        found += ids_of(leases)
        await worker.release(leases)

    assert found == ["0/0", "0/1", "0/2"]


async def test_own_pending_entries_are_read_after_a_start(shop: Shop):
    """Of a reader with our name whose answers nobody saw."""
    await shop.offer(3)
    samples = shop.lane.samples("caption")
    await shop.redis.xgroup_create(samples, "workers", id="0")
    await shop.redis.xreadgroup("workers", "worker", {samples: ">"}, count=3)
    worker = await shop.worker()

    assert len(await worker.claim(3)) == 3
    assert await worker.claim(3) == []


async def test_group_sees_what_was_there_before_it(shop: Shop):
    """A group made at $ would not."""
    await shop.offer(2)

    assert len(await (await shop.worker()).claim(2)) == 2


async def test_readers_go_on_after_a_flush(shop: Shop):
    worker, sink, feeder = await shop.worker(), shop.sink(), shop.feeder()
    await worker.claim(1)
    await sink.read(1)
    await feeder.claim_chunk()
    await shop.redis.flushall()
    for read in (lambda: worker.claim(1), lambda: sink.read(1), feeder.claim_chunk):
        assert not await read()

    await shop.plan(1)
    lease = await feeder.claim_chunk()
    assert lease is not None
    await feeder.offer(lease, offers_of(lease.chunk), PLENTY)
    leases = await worker.claim(1)
    await worker.complete(done(leases))

    assert ids_of(await sink.read(1)) == ids_of(leases)
    await shop.check_books()


async def test_what_was_held_at_a_flush_is_lost_and_nothing_else(shop: Shop):
    """No settling raises: the roles drop what they hold and go on."""
    await shop.caption(2)
    await shop.offer(2)
    await shop.plan(2)
    worker, sink, feeder = await shop.worker(), shop.sink(), shop.feeder()
    chunk, leases, captions = (
        await feeder.claim_chunk(),
        await worker.claim(2),
        entries_of(await sink.read(2)),
    )
    assert chunk is not None
    assert len(leases) == len(captions) == 2
    await shop.redis.flushall()

    assert await worker.complete(done(leases)) == [False, False]
    assert await worker.fail(failed(leases)) == [False, False]
    assert await renew(worker, leases) == {lease.entry for lease in leases}
    assert await renew(sink, captions) == set(captions)
    assert await sink.commit("part", b"{}", captions) == captions
    assert await sink.discard(captions) == captions
    assert (await feeder.offer(chunk, offers_of(chunk.chunk), PLENTY)).status == "lost"
    assert await renew(feeder, [chunk]) == {chunk.entry}
    await worker.release(leases)
    await feeder.release_chunk(chunk)
    await sink.release_captions(captions)
    for role in (worker, sink, feeder):
        await role.close()
    assert await shop.dump() == {}


async def test_group_that_was_deleted_alone_is_made_again(shop: Shop):
    """What is delivered anew and still in hand is not handed out a second time."""
    await shop.offer(3)
    worker = await shop.worker()
    leases = await worker.claim(2)
    await shop.redis.xgroup_destroy(shop.lane.samples("caption"), "workers")
    rest = [lease for _ in range(3) for lease in await worker.claim(3)]

    assert ids_of(rest) == ["0/2"]
    assert await worker.complete(done(leases + rest)) == [True] * 3
    await shop.check_books()


async def test_chunk_whose_group_was_deleted_is_handed_out_anew(shop: Shop):
    """Its feeder has heard that it lost the chunk, and may be the only one there is."""
    [chunk] = await shop.plan(2)
    feeder = shop.feeder()
    lease = await feeder.claim_chunk()
    assert lease is not None
    await shop.redis.xgroup_destroy(shop.lane.chunks, "feeders")
    assert (await feeder.offer(lease, offers_of(chunk), PLENTY)).status == "lost"

    again = await feeder.claim_chunk()

    assert again is not None
    assert again.chunk == chunk


async def test_leaving_drops_no_pending_entry(shop: Shop):
    """XGROUP DELCONSUMER would."""
    await shop.offer(2)
    worker = await shop.worker("leaving")
    await worker.claim(2)
    await worker.close()
    await shop.expire(shop.lane.samples("caption"))

    assert len(await (await shop.worker("other")).claim(2)) == 2


async def test_consumer_that_is_long_gone_is_forgotten(shop: Shop, monkeypatch: pytest.MonkeyPatch):
    """Only where it holds nothing."""
    await shop.offer(2)
    idle, holder = await shop.worker("idle"), await shop.worker("holder")
    await idle.complete(done(await idle.claim(1)))
    await holder.claim(1)
    monkeypatch.setattr(consumer, "FORGET_MS", -1)
    await (await shop.worker("new")).claim(1)

    known = await shop.redis.xinfo_consumers(shop.lane.samples("caption"), "workers")
    names = {found["name"] for found in known}
    assert b"idle" not in names
    assert b"holder" in names


async def test_nothing_is_trimmed_however_long_it_waits(shop: Shop):
    """MAXLEN drops entries that nobody has acked; `~` begins to at a hundred a node."""
    await shop.offer(2_000)
    await shop.plan(*[1] * 300)
    worker = await shop.worker()
    leases = [lease for _ in range(2) for lease in await worker.claim(1_000)]
    await worker.fail(failed(leases[:1_000]))
    await worker.complete(done(leases[1_000:]))

    lengths = [
        await shop.redis.xlen(key) for key in (shop.lane.dead, shop.lane.captions, shop.lane.chunks)
    ]
    assert lengths == [1_000, 1_000, 300]


async def test_acked_entries_free_their_memory(shop: Shop):
    """XACK alone would keep them."""
    await shop.caption(3)
    sink = shop.sink()
    await sink.commit("part", b"{}", entries_of(await sink.read(3)))

    for key in await shop.redis.keys("cf:*"):
        if await shop.redis.type(key) == b"stream":
            assert await shop.redis.xlen(key) == 0
