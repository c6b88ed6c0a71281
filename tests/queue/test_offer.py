"""Offer: a sample of a chunk enters the queue once, and only while there is room."""

import asyncio

import pytest

from caption_flow.codec.weight import weight
from caption_flow.model import ChunkLease
from caption_flow.queue.feed import RedisFeedQueue
from caption_flow.queue.ports import Budget, Room
from tests.queue.shop import (
    IMAGE,
    PLENTY,
    Shop,
    chunk_of,
    offer_of,
    offers_of,
    rejection_of,
    renew,
)


async def lease_of(shop: Shop, count: int, feeder: str = "feeder") -> ChunkLease:
    await shop.plan(count)
    lease = await shop.feeder(feeder).claim_chunk()
    assert lease is not None
    return lease


async def test_each_sample_names_its_image(shop: Shop):
    await shop.offer(3)

    images = await shop.entries(shop.lane.images)
    samples = await shop.entries(shop.lane.samples("caption"))
    assert [fields[b"image"].decode() for fields in samples.values()] == list(images)


@pytest.mark.parametrize("ahead", ["images", "samples"])
async def test_stream_whose_ids_are_ahead_takes_both(shop: Shop, ahead: str):
    """As where a stage was renamed, a stream deleted, or the clock set back by a fail-over."""
    stream = shop.lane.images if ahead == "images" else shop.lane.samples("caption")
    far = await shop.redis.xadd(stream, {"image": b""}, id="9000000000000-4294967297")
    await shop.redis.xdel(stream, far)

    offered = await shop.offer(3)

    leases = await (await shop.worker()).claim(3)
    assert [lease.sample for lease in leases] == offered
    await shop.check_books()


async def test_ids_of_the_first_stage_are_its_own_again_after_those_of_a_later(shop: Shop):
    """Those of later stages begin at higher sequence numbers, so that no two share one."""
    stream = shop.lane.samples("caption")
    far = await shop.redis.xadd(stream, {"image": b""}, id="9000000000000-4294967297")
    await shop.redis.xdel(stream, far)

    await shop.offer(2)

    assert list(await shop.entries(stream)) == ["9000000000001-0", "9000000000001-1"]


async def test_offered_samples_are_in_the_order_of_the_chunk(shop: Shop):
    offered = await shop.offer(5)

    leases = await (await shop.worker()).claim(5)
    assert [lease.sample for lease in leases] == offered


async def test_chunk_offered_to_its_end_is_gone_with_its_cursor(shop: Shop):
    await shop.offer(3)

    assert await shop.entries(shop.lane.chunks) == {}
    assert await shop.pending(shop.lane.chunks, "feeders") == []
    assert set(await shop.redis.hgetall(shop.lane.cursors)) == {b"plan", b"images"}


async def test_repeated_offer_is_told_the_cursor_and_changes_nothing(shop: Shop):
    lease = await lease_of(shop, 3)
    feeder = shop.feeder()
    await feeder.offer(lease, offers_of(lease.chunk, 0, 2), PLENTY)
    before = await shop.dump()

    repeated = await feeder.offer(lease, offers_of(lease.chunk, 0, 2), PLENTY)

    assert (repeated.status, repeated.cursor) == ("moved", 2)
    assert await shop.dump() == before


async def test_repeated_last_offer_is_lost_and_changes_nothing(shop: Shop):
    lease = await lease_of(shop, 2)
    feeder = shop.feeder()
    await feeder.offer(lease, offers_of(lease.chunk), PLENTY)
    before = await shop.dump()

    assert (await feeder.offer(lease, offers_of(lease.chunk), PLENTY)).status == "lost"
    assert await shop.dump() == before


async def test_same_offer_made_many_times_at_once_enters_once(shop: Shop):
    lease = await lease_of(shop, 4)
    feeder = shop.feeder()
    batch = offers_of(lease.chunk, 0, 3)

    answers = await asyncio.gather(*(feeder.offer(lease, batch, PLENTY) for _ in range(10)))

    assert sorted(a.status for a in answers) == ["moved"] * 9 + ["ok"]
    assert len(await shop.entries(shop.lane.samples("caption"))) == 3


async def test_other_feeder_goes_on_at_the_cursor(shop: Shop):
    lease = await lease_of(shop, 5, "first")
    await shop.feeder("first").offer(lease, offers_of(lease.chunk, 0, 3), PLENTY)
    await shop.expire(shop.lane.chunks)

    found = await shop.feeder("second").claim_chunk()

    assert found is not None
    assert (found.chunk, found.cursor, found.attempt) == (lease.chunk, 3, 2)


async def test_feeder_that_lost_its_chunk_offers_nothing(shop: Shop):
    lease = await lease_of(shop, 3, "first")
    await shop.expire(shop.lane.chunks)
    await shop.feeder("second").claim_chunk()
    before = await shop.dump()

    answer = await shop.feeder("first").offer(lease, offers_of(lease.chunk), PLENTY)

    assert answer.status == "lost"
    assert await shop.dump() == before


async def test_rejected_samples_are_dead_letters_in_the_same_step(shop: Shop):
    lease = await lease_of(shop, 3)
    good, bad, other = lease.chunk.names
    batch = [
        offer_of(lease.chunk, good),
        rejection_of(lease.chunk, bad),
        offer_of(lease.chunk, other),
    ]

    await shop.feeder().offer(lease, batch, PLENTY)

    [letter] = await shop.inspector.dead_letters(10)
    assert (letter.sample.id, letter.failure.reason) == (bad, "truncated")
    assert await shop.feeder().dead_ids() == [bad]
    await shop.check_books()


async def test_chunk_of_rejections_alone_ends_the_job(shop: Shop):
    lease = await lease_of(shop, 2)
    feeder = shop.feeder()
    await feeder.offer(lease, [rejection_of(lease.chunk, n) for n in lease.chunk.names], PLENTY)
    await feeder.plan("1", "2", None, backlog=1, done=True)

    assert (await shop.job.counts()).done


@pytest.mark.parametrize(
    "budget", [Budget(bytes=600, samples=100), Budget(bytes=1 << 30, samples=3)]
)
async def test_offer_past_a_budget_is_refused_whole(shop: Shop, budget: Budget):
    lease = await lease_of(shop, 4)
    feeder = shop.feeder()
    await feeder.offer(lease, offers_of(lease.chunk, 0, 2), budget)
    lease = ChunkLease(lease.entry, lease.chunk, 2, 1)
    before = await shop.dump()

    answer = await feeder.offer(lease, offers_of(lease.chunk, 2), budget)

    assert (answer.status, answer.cursor) == ("full", 2)
    assert answer.room == await shop.job.room()
    assert await shop.dump() == before


async def test_rejections_need_no_room(shop: Shop):
    lease = await lease_of(shop, 2)
    feeder = shop.feeder()
    nothing = Budget(bytes=0, samples=0)
    await feeder.offer(lease, offers_of(lease.chunk, 0, 1), nothing)
    lease = ChunkLease(lease.entry, lease.chunk, 1, 1)

    answer = await feeder.offer(lease, [rejection_of(lease.chunk, lease.chunk.names[1])], nothing)

    assert answer.status == "ok"


async def test_image_larger_than_the_budget_passes_alone(shop: Shop):
    lease = await lease_of(shop, 2)
    large = offer_of(lease.chunk, lease.chunk.names[0], b"x" * 100)

    answer = await shop.feeder().offer(lease, [large], Budget(bytes=10, samples=10))

    assert (answer.status, answer.room) == ("ok", Room(bytes=weight(large), samples=1))


async def test_image_larger_than_the_budget_waits_for_other_images_only(shop: Shop):
    """Captions that wait for their part hold no pixels; a sink may keep them for minutes."""
    await shop.caption(1)
    lease = await lease_of(shop, 2)
    large = offer_of(lease.chunk, lease.chunk.names[0], b"x" * 100)

    answer = await shop.feeder().offer(lease, [large], Budget(bytes=10, samples=10))

    assert answer.status == "ok"


@pytest.mark.parametrize("bytes_in_flight", [0, 5, 10])
@pytest.mark.parametrize("samples_in_flight", [0, 1, 2])
@pytest.mark.parametrize("size", [1, 5, 100])
def test_room_admits_what_the_script_would(bytes_in_flight: int, samples_in_flight: int, size: int):
    """A feeder asks for numbers first; the numbers must not promise more than the script."""
    room = Room(bytes=bytes_in_flight, samples=samples_in_flight)
    fits = bytes_in_flight == 0 or bytes_in_flight + size <= 10
    few = samples_in_flight == 0 or samples_in_flight + 1 <= 2

    assert room.admits(Budget(bytes=10, samples=2), bytes_=size, samples=1) == (fits and few)


async def test_image_arrives_as_it_was_offered(shop: Shop):
    data = bytes(range(256)) * 4096
    lease = await lease_of(shop, 1)
    await shop.feeder().offer(lease, [offer_of(lease.chunk, "0/0", data)], PLENTY)
    worker = await shop.worker()

    leases = await worker.claim(1)

    assert await worker.images(leases) == {leases[0].entry: data}


async def test_room_is_what_is_in_flight(shop: Shop):
    await shop.offer(2)
    [offer, _] = offers_of(chunk_of("0", 2))

    assert await shop.job.room() == Room(bytes=2 * weight(offer), samples=2)


def test_a_sample_that_is_given_up_weighs_nothing():
    chunk = chunk_of("0", 1)

    assert weight(rejection_of(chunk, "0/0")) == 0


async def test_released_chunk_is_claimed_again_at_its_cursor(shop: Shop):
    lease = await lease_of(shop, 4, "first")
    first = shop.feeder("first")
    await first.offer(lease, offers_of(lease.chunk, 0, 1), PLENTY)
    await first.release_chunk(lease)

    found = await shop.feeder("second").claim_chunk()

    assert found is not None
    assert (found.cursor, found.attempt) == (1, 1)


async def test_feeder_is_told_that_its_chunk_was_lost(shop: Shop):
    await shop.plan(1)
    first = shop.feeder("first")
    lease = await first.claim_chunk()
    assert lease is not None
    assert await renew(first, [lease]) == set()
    await shop.expire(shop.lane.chunks)
    await shop.feeder("second").claim_chunk()

    assert await renew(first, [lease]) == {lease.entry}


async def test_two_feeders_never_share_a_chunk(shop: Shop):
    await shop.plan(*[1] * 20)
    feeders = [shop.feeder("first"), shop.feeder("second")]

    found = [await feeder.claim_chunk() for _ in range(10) for feeder in feeders]

    assert len({lease.chunk.id for lease in found if lease}) == 20


async def test_offer_enters_where_the_server_has_forgotten_the_script(shop: Shop):
    """As when it was started anew: the images must not stay behind without their samples."""
    lease = await lease_of(shop, 2)
    feeder = shop.feeder()
    await feeder.offer(lease, offers_of(lease.chunk, 0, 1), PLENTY)
    await shop.redis.script_flush()
    lease = ChunkLease(lease.entry, lease.chunk, 1, 1)

    assert (await feeder.offer(lease, offers_of(lease.chunk, 1), PLENTY)).status == "ok"
    await shop.check_books()


async def test_images_of_feeders_side_by_side_are_not_mixed_up(shop: Shop):
    await shop.plan(20)
    await shop.plan(20)
    feeders = [shop.feeder("first"), shop.feeder("second")]
    leases = [lease for feeder in feeders if (lease := await feeder.claim_chunk())]

    async def feed(feeder: RedisFeedQueue, lease: ChunkLease) -> None:
        for at in range(0, 20, 4):
            there = ChunkLease(lease.entry, lease.chunk, at, 1)
            await feeder.offer(there, offers_of(lease.chunk, at, at + 4), PLENTY)

    await asyncio.gather(*map(feed, feeders, leases))

    worker = await shop.worker()
    claimed = await worker.claim(40)
    images = await worker.images(claimed)
    assert images == {lease.entry: IMAGE + lease.sample.id.encode() for lease in claimed}
    assert len(images) == 40


async def test_no_image_gets_the_id_of_another_after_images_were_deleted(shop: Shop):
    """By hand, say: samples that wait for theirs would find those of others."""
    await shop.offer(3)
    old = {
        fields[b"image"] for fields in (await shop.entries(shop.lane.samples("caption"))).values()
    }
    await shop.redis.delete(shop.lane.images)

    new = await shop.offer(4)

    worker = await shop.worker()
    leases = await worker.claim(7)
    images = await worker.images(leases)
    assert {lease.sample.id for lease in leases if lease.entry in images} == {s.id for s in new}
    assert not old & {lease.image.encode() for lease in leases if lease.entry in images}
    assert await shop.redis.xlen(shop.lane.images) == 4
