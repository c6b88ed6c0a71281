"""Claim: a sample is one worker's at a time, and is never out of reach."""

import asyncio

import pytest

from caption_flow.codec import records
from caption_flow.codec.weight import footprint
from caption_flow.queue import consumer
from caption_flow.queue.work import runs
from tests.queue.shop import IMAGE, Shop, done, ids_of, renew


async def test_claimed_sample_is_nobody_elses(shop: Shop):
    await shop.offer(10)
    workers = [await shop.worker(f"worker {n}") for n in range(4)]

    claims = await asyncio.gather(*(worker.claim(4) for worker in workers))

    claimed = [id_ for leases in claims for id_ in ids_of(leases)]
    assert sorted(claimed) == [f"0/{n}" for n in range(10)]


async def test_claim_gives_no_more_than_asked(shop: Shop):
    await shop.offer(10)

    assert len(await (await shop.worker()).claim(3)) == 3


async def test_claim_of_nothing_is_empty(shop: Shop):
    assert await (await shop.worker()).claim(3) == []


async def test_first_claim_is_attempt_one_without_outcomes(shop: Shop):
    [sample] = await shop.offer(1)

    [lease] = await (await shop.worker()).claim(1)

    assert (lease.sample, lease.stage, lease.attempt, lease.outcomes) == (sample, "caption", 1, ())


async def test_sample_of_a_dead_worker_goes_to_another(shop: Shop):
    await shop.offer(1)
    [lost] = await (await shop.worker("first")).claim(1)
    await shop.expire(shop.lane.samples("caption"))

    [found] = await (await shop.worker("second")).claim(1)

    assert found.sample == lost.sample
    assert found.attempt == 2


async def test_sample_that_is_renewed_in_time_is_not_reclaimed(shop: Shop):
    await shop.offer(1)
    worker = await shop.worker("first")
    leases = await worker.claim(1)
    await shop.expire(shop.lane.samples("caption"))
    await renew(worker, leases)

    assert await (await shop.worker("second")).claim(1) == []


async def test_own_lease_that_ran_out_is_not_given_twice(shop: Shop):
    """It is in hand still: the worker goes on with it."""
    await shop.offer(1)
    worker = await shop.worker()
    leases = await worker.claim(1)
    await shop.expire(shop.lane.samples("caption"))

    assert await worker.claim(1) == []
    assert await worker.complete(done(leases)) == [True]


async def test_lost_lease_that_comes_back_is_given_again(shop: Shop):
    await shop.offer(1)
    worker, other = await shop.worker("first"), await shop.worker("other")
    [lease] = await worker.claim(1)
    await shop.expire(shop.lane.samples("caption"))
    stolen = await other.claim(1)
    assert await renew(worker, [lease]) == {lease.entry}
    await other.release(stolen)

    [again] = await worker.claim(1)

    assert again.entry == lease.entry


async def test_last_stage_is_served_first(two_stages: Shop):
    """What is begun is finished before more is begun."""
    await two_stages.offer(3)
    worker = await two_stages.worker()
    [begun] = await worker.claim(1)
    await worker.complete(done([begun]))

    leases = await worker.claim(2)

    assert [lease.stage for lease in leases] == ["tell", "look"]


async def test_waiting_claim_takes_no_more_than_asked_of_two_streams(
    two_stages: Shop, monkeypatch: pytest.MonkeyPatch
):
    """COUNT of XREADGROUP holds for each stream."""
    worker = await two_stages.worker()
    await worker.claim(1)
    monkeypatch.setattr(consumer, "BLOCK_MS", 2_000)
    waiting = asyncio.create_task(worker.claim(1))
    await asyncio.sleep(0)
    await two_stages.offer(2)
    entry, fields = next(iter((await two_stages.entries(two_stages.lane.samples("look"))).items()))
    await two_stages.redis.xadd(two_stages.lane.samples("tell"), {**fields, b"image": entry})

    first = await waiting
    monkeypatch.setattr(consumer, "BLOCK_MS", None)
    rest = [lease for _ in range(4) for lease in await worker.claim(1)]

    assert len(first) == 1
    assert len(rest) == 2


async def test_surplus_of_a_claim_is_given_by_the_next(
    two_stages: Shop, monkeypatch: pytest.MonkeyPatch
):
    """Both streams answer a claim of one: the second answer is not forgotten."""
    await two_stages.offer(1)
    [(entry, fields)] = (await two_stages.entries(two_stages.lane.samples("look"))).items()
    await two_stages.redis.xadd(two_stages.lane.samples("tell"), {**fields, b"image": entry})
    worker = await two_stages.worker()
    source = worker._source

    async def read_at_once(count: int, *, block: bool):
        return await source._read_new(source._streams, count, block=block)

    monkeypatch.setattr(source, "_read", read_at_once)
    first, second = await worker.claim(1), await worker.claim(1)

    assert [lease.stage for lease in first + second] == ["tell", "look"]
    assert [lease.attempt for lease in first + second] == [1, 1]


async def test_image_that_is_gone_is_left_out(shop: Shop):
    await shop.offer(2)
    worker = await shop.worker()
    leases = await worker.claim(2)
    await shop.redis.xdel(shop.lane.images, leases[0].image)

    assert set(await worker.images(leases)) == {leases[1].entry}


async def test_no_image_is_asked_for_no_lease(shop: Shop):
    assert await (await shop.worker()).images([]) == {}


async def test_sample_entry_can_be_read_by_a_person(shop: Shop):
    [sample] = await shop.offer(1)

    [fields] = (await shop.entries(shop.lane.samples("caption"))).values()

    [image] = await shop.entries(shop.lane.images)
    written = records.encode(sample)
    size = b"%d" % footprint(len(written), len(IMAGE) + len(sample.id))
    assert fields == {b"sample": written, b"bytes": size, b"image": image.encode()}


def test_ids_that_follow_one_another_are_read_as_one_run():
    entries = ["7-1", "7-2", "7-4", "8-5", "8-6", "no id", "8-7", "8-6"]

    assert runs(entries) == [
        ("7-1", "7-2"),
        ("7-4", "7-4"),
        ("8-5", "8-6"),
        ("no id", "no id"),
        ("8-7", "8-7"),
        ("8-6", "8-6"),
    ]


async def test_images_are_found_in_whatever_order_they_are_asked_for(shop: Shop):
    await shop.offer(6)
    worker = await shop.worker()
    first, second, third, fourth, fifth, sixth = await worker.claim(6)
    await shop.redis.xdel(shop.lane.images, second.image)

    images = await worker.images([fifth, sixth, first, second, third])

    asked = [first, third, fifth, sixth]
    assert images == {lease.entry: IMAGE + lease.sample.id.encode() for lease in asked}
    assert list(await worker.images([fourth])) == [fourth.entry]
