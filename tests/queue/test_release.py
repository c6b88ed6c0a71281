"""Release: what is handed back is anybody's at once, and a clean stop costs no attempt."""

from caption_flow.queue.connect import connect
from caption_flow.queue.work import RedisWorkQueue
from tests.queue.shop import Shop, done, ids_of, renew
from tests.redis_server import RedisServer


async def test_released_sample_goes_to_another_at_once(shop: Shop):
    await shop.offer(2)
    worker = await shop.worker("first")
    leases = await worker.claim(2)

    await worker.release(leases)

    assert ids_of(await (await shop.worker("second")).claim(2)) == ids_of(leases)


async def test_released_sample_may_return_to_who_released_it(shop: Shop):
    await shop.offer(1)
    worker = await shop.worker()
    leases = await worker.claim(1)
    await worker.release(leases)

    again = await worker.claim(1)

    assert ids_of(again) == ids_of(leases)
    assert await worker.complete(done(again)) == [True]


async def test_release_is_no_attempt(shop: Shop):
    await shop.offer(1)
    seen = []
    for name in ("first", "second", "third"):
        worker = await shop.worker(name)
        [lease] = await worker.claim(1)
        seen.append(lease.attempt)
        await worker.release([lease])

    assert seen == [1, 1, 1]


async def test_release_keeps_earlier_attempts(shop: Shop):
    await shop.offer(1)
    await (await shop.worker("dead")).claim(1)
    await shop.expire(shop.lane.samples("caption"))
    worker = await shop.worker("stopping")
    await worker.release(await worker.claim(1))

    [lease] = await (await shop.worker("next")).claim(1)

    assert lease.attempt == 2


async def test_sample_of_another_is_not_released(shop: Shop):
    await shop.offer(1)
    late, prompt = await shop.worker("late"), await shop.worker("prompt")
    leases = await late.claim(1)
    await shop.expire(shop.lane.samples("caption"))
    ours = await prompt.claim(1)

    await late.release(leases)

    assert await renew(prompt, ours) == set()


async def test_released_sample_is_not_ours_to_settle(shop: Shop):
    await shop.offer(1)
    worker = await shop.worker()
    leases = await worker.claim(1)
    await worker.release(leases)

    assert await worker.complete(done(leases)) == [False]
    await shop.check_books()


async def test_samples_of_all_stages_are_released(two_stages: Shop):
    await two_stages.offer(2)
    worker = await two_stages.worker("first")
    await worker.complete(done(await worker.claim(1)))
    leases = await worker.claim(2)
    await worker.release(leases)

    assert len(await (await two_stages.worker("second")).claim(2)) == 2


async def test_released_captions_go_to_another_sink(shop: Shop):
    await shop.caption(3)
    sink = shop.sink("first")
    captions = await sink.read(3)
    await sink.release_captions([caption.entry for caption in captions])

    assert ids_of(await shop.sink("second").read(3)) == ids_of(captions)


async def test_leaving_worker_is_forgotten(shop: Shop):
    worker = await shop.worker()
    await worker.claim(1)
    await worker.close()

    assert await shop.redis.xinfo_consumers(shop.lane.samples("caption"), "workers") == []


async def test_worker_that_never_claimed_may_leave(shop: Shop):
    await (await shop.worker()).close()
    await shop.feeder().close()
    await shop.sink().close()


async def test_worker_that_was_told_no_stages_may_leave(shop: Shop):
    await RedisWorkQueue(shop.job, name="early").close()


async def test_who_leaves_while_redis_is_away_goes_quietly(own_server: RedisServer):
    async with connect(own_server.url, role="test") as connections:
        shop = Shop(connections)
        worker, sink = await shop.worker(), shop.sink()
        await worker.claim(1)
        await sink.read(1)
        own_server.stop()

        await worker.close()
        await sink.close()
