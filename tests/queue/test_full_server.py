"""A full server: nothing new enters, and what is inside can leave."""

from contextlib import asynccontextmanager

import pytest
from msgspec.structs import replace

from caption_flow.errors import QueueFull
from caption_flow.model import ChunkLease
from caption_flow.queue.contributors import RedisContributors
from caption_flow.queue.feed import RedisFeedQueue
from caption_flow.queue.recall import RedisRecall
from tests.queue.shop import (
    PLENTY,
    Shop,
    chunk_of,
    done,
    entries_of,
    failed,
    ids_of,
    letters_of,
    offer_of,
    offers_of,
    outcome_of,
    rejection_of,
    renew,
)


@asynccontextmanager
async def full(shop: Shop):
    """Let the server be out of memory for a while."""
    await shop.redis.config_set("maxmemory", 1)
    try:
        yield
    finally:
        await shop.redis.config_set("maxmemory", 0)


async def test_offer_to_a_full_server_changes_nothing(shop: Shop):
    await shop.plan(2)
    feeder = shop.feeder()
    lease = await feeder.claim_chunk()
    assert lease is not None
    first, second = lease.chunk.names
    batch = [*offers_of(lease.chunk, 0, 1), rejection_of(lease.chunk, second)]
    before = await shop.dump()

    async with full(shop):
        with pytest.raises(QueueFull):
            await feeder.offer(lease, batch, PLENTY)

    assert await shop.dump() == before
    assert (await feeder.offer(lease, batch, PLENTY)).status == "ok"
    assert ids_of(await (await shop.worker()).claim(1)) == [first]


async def test_offer_that_a_server_has_no_room_for_leaves_nothing(shop: Shop):
    """It is refused before it begins, or done to its end."""
    await shop.plan(64)
    feeder = shop.feeder()
    lease = await feeder.claim_chunk()
    assert lease is not None
    used = (await shop.redis.info("memory"))["used_memory"]
    await shop.redis.config_set("maxmemory", used + 2_000_000)

    with pytest.raises(QueueFull):
        await offer_all(feeder, lease, b"x" * 100_000)

    await shop.redis.config_set("maxmemory", 0)
    entered = len(await shop.entries(shop.lane.images))
    assert 0 < entered < lease.chunk.count
    await shop.check_books()


async def offer_all(feeder: RedisFeedQueue, lease: ChunkLease, image: bytes) -> None:
    offers = [offer_of(lease.chunk, name, image) for name in lease.chunk.names]
    for at in range(0, lease.chunk.count, 8):
        await feeder.offer(replace(lease, cursor=at), offers[at : at + 8], PLENTY)


async def test_plan_on_a_full_server_changes_nothing(shop: Shop):
    await shop.plan(1)
    before = await shop.dump()

    async with full(shop):
        with pytest.raises(QueueFull):
            await shop.feeder().plan("1", "2", chunk_of("1", 1), backlog=9, done=False)

    assert await shop.dump() == before


async def test_samples_leave_a_full_server(shop: Shop):
    """Claimed, failed, handed back, captioned and committed, by roles that start only now."""
    await shop.offer(4)
    await (await shop.worker("earlier")).claim(1)
    await shop.sink("earlier").read(1)
    await shop.expire(shop.lane.samples("caption"))
    async with full(shop):
        worker, sink = await shop.worker(), shop.sink()
        leases = await worker.claim(1)
        leases += await worker.claim(3)
        assert await renew(worker, leases) == set()
        assert await worker.fail(failed(leases[:1])) == [True]
        await worker.release(leases[1:2])
        leases = leases[2:] + await worker.claim(1)
        assert await worker.complete(done(leases)) == [True] * 3
        entries = entries_of(await sink.read(3))
        await sink.release_captions(entries[:1])
        assert entries_of(await sink.read(3)) == entries[:1]
        assert await renew(sink, entries) == set()
        assert await sink.commit("part", b"{}", entries) == []
        await worker.close()
        await sink.close()

    assert await shop.job.parts() == {"part"}
    assert (await shop.job.counts()).in_flight == 0
    await shop.check_books()


async def test_sample_passes_the_stages_of_a_full_server(two_stages: Shop):
    await two_stages.offer(1)
    await (await two_stages.worker("earlier")).close()
    worker = await two_stages.worker()
    leases = await worker.claim(1)
    async with full(two_stages):
        await worker.complete(done(leases))
        await worker.complete(done(await worker.claim(1)))

    await two_stages.check_books()


async def test_readers_that_were_never_there_empty_a_full_server(shop: Shop):
    """Nobody has read yet, so there are no groups; and only readers can make room."""
    await shop.offer(2)
    async with full(shop):
        worker, sink = await shop.worker(), shop.sink()
        assert await worker.complete(done(await worker.claim(2))) == [True] * 2
        await sink.agree(b"columns")
        epoch, entries = await sink.epoch(), entries_of(await sink.read(2))
        assert await sink.commit("part", b"{}", entries, epoch=epoch) == []

    await shop.check_books()


async def test_group_that_a_full_server_lost_is_made_again(shop: Shop):
    await shop.offer(2)
    worker = await shop.worker()
    leases = await worker.claim(1)
    async with full(shop):
        await shop.redis.xgroup_destroy(shop.lane.samples("caption"), "workers")
        rest = [lease for _ in range(3) for lease in await worker.claim(2)]
        assert ids_of(leases + rest) == ["0/0", "0/1"]


async def test_reader_of_a_stream_that_is_not_there_waits_on_a_full_server(shop: Shop):
    async with full(shop):
        assert await shop.sink().read(1) == []


async def test_feeder_that_starts_on_a_full_server_claims_chunks(shop: Shop):
    await shop.plan(2)
    earlier = shop.feeder("earlier")
    lease = await earlier.claim_chunk()
    assert lease is not None
    await earlier.release_chunk(lease)

    async with full(shop):
        assert await shop.feeder().claim_chunk() == lease


async def test_what_a_contributor_made_can_be_taken_back(shop: Shop):
    await shop.offer(2)
    worker = await shop.worker()
    [lease, _] = await worker.claim(2)
    made = replace(outcome_of(lease), contributor="ada")
    await worker.complete([(lease, (made,))])
    recall = RedisRecall(shop.job, stages=shop.stages)
    found = [one async for some in recall.under_way("ada", 0.0) for one in some]

    async with full(shop):
        assert await recall.recall(found, "ada") == 1
        with pytest.raises(QueueFull):
            await RedisContributors(shop.job.connections, shop.job.job).spent(
                "ada", 1.0, anonymous=False
            )

    [letter] = await letters_of(shop.dead)
    assert (letter.failure.reason, letter.failure.contributor) == ("revoked", "ada")
    await shop.check_books()
