"""Entries that are not ours to read: they are named, stay where they are, and stop nobody."""

import logging

import pytest

from tests.queue.shop import Shop, done, ids_of

JUNK = {"sample": b"{", "bytes": "many"}


async def test_broken_sample_harms_no_neighbour(shop: Shop, caplog: pytest.LogCaptureFixture):
    await shop.offer(1)
    samples = shop.lane.samples("caption")
    entry = await shop.redis.xadd(samples, JUNK)
    await shop.offer(1)
    worker = await shop.worker()

    with caplog.at_level(logging.WARNING):
        leases = await worker.claim(3)

    assert ids_of(leases) == ["0/0", "1/0"]
    assert entry.decode() in caplog.text
    assert await worker.complete(done(leases)) == [True, True]
    assert list(await shop.entries(samples)) == [entry.decode()]


async def test_broken_sample_is_named_once_by_each_worker(
    shop: Shop, caplog: pytest.LogCaptureFixture
):
    samples = shop.lane.samples("caption")
    await shop.redis.xadd(samples, JUNK)
    worker = await shop.worker()
    for _ in range(5):
        await worker.claim(3)
        await shop.expire(samples)

    assert caplog.text.count("Passing over") == 1


async def test_broken_caption_harms_no_neighbour(shop: Shop):
    await shop.redis.xadd(shop.lane.captions, JUNK)
    [sample] = await shop.caption(1)

    assert ids_of(await shop.sink().read(3)) == [sample.id]


async def test_broken_chunk_harms_no_neighbour(shop: Shop):
    await shop.redis.xadd(shop.lane.chunks, {"chunk": b"[]"})
    [chunk] = await shop.plan(1)
    feeder = shop.feeder()

    found = [await feeder.claim_chunk() for _ in range(2)]

    assert [lease and lease.chunk for lease in found] == [None, chunk]


async def test_broken_dead_letter_harms_no_neighbour(shop: Shop):
    await shop.redis.xadd(shop.lane.dead, {"why": b""})

    assert await shop.feeder().dead_ids() == []
    assert await shop.inspector.dead_letters(5) == []
