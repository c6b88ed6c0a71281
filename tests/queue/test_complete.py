"""Complete: a stage is left once, and only by who holds the sample."""

import asyncio

from caption_flow.model import Caption
from tests.queue.shop import IMAGE, Shop, done, ids_of, outcome_of


async def test_completed_sample_is_a_caption_with_its_outcome(shop: Shop):
    [sample] = await shop.offer(1)
    worker = await shop.worker()
    [lease] = await worker.claim(1)
    outcome = outcome_of(lease, "a small red circle")

    assert await worker.complete([(lease, outcome)]) == [True]

    [caption] = await shop.sink().read(1)
    assert caption == Caption(caption.entry, sample, (outcome,))


async def test_completed_sample_leaves_nothing_behind(shop: Shop):
    await shop.caption(3)

    for key in (shop.lane.samples("caption"), shop.lane.images):
        assert await shop.redis.xlen(key) == 0
    assert await shop.pending(shop.lane.samples("caption"), "workers") == []
    await shop.check_books()


async def test_completes_at_once_count_once(shop: Shop):
    await shop.offer(5)
    worker = await shop.worker()
    leases = await worker.claim(5)

    answers = await asyncio.gather(*(worker.complete(done(leases)) for _ in range(8)))

    assert [sum(column) for column in zip(*answers, strict=True)] == [1] * 5
    assert await shop.redis.xlen(shop.lane.captions) == 5
    await shop.check_books()


async def test_sample_named_twice_in_one_batch_counts_once(shop: Shop):
    await shop.offer(1)
    worker = await shop.worker()
    [lease] = await worker.claim(1)

    await worker.complete(done([lease, lease]))

    assert await shop.redis.xlen(shop.lane.captions) == 1
    await shop.check_books()


async def test_late_completion_does_nothing(shop: Shop):
    await shop.offer(1)
    late, prompt = await shop.worker("late"), await shop.worker("prompt")
    leases = await late.claim(1)
    await shop.expire(shop.lane.samples("caption"))
    await prompt.claim(1)
    before = await shop.dump()

    assert await late.complete(done(leases)) == [False]
    assert await shop.dump() == before


async def test_losses_in_a_batch_harm_no_neighbour(shop: Shop):
    await shop.offer(3)
    worker = await shop.worker()
    leases = await worker.claim(3)
    await worker.complete(done(leases[1:2]))

    assert await worker.complete(done(leases)) == [True, False, True]
    await shop.check_books()


async def test_entry_deleted_by_hand_harms_no_neighbour(shop: Shop):
    """It is pending still, without fields; the samples around it are moved and counted."""
    await shop.offer(3)
    worker = await shop.worker()
    leases = await worker.claim(3)
    await shop.redis.xdel(shop.lane.samples("caption"), leases[1].entry)

    assert await worker.complete(done(leases)) == [True, False, True]
    assert (await shop.job.counts()).completed == 2
    assert await shop.pending(shop.lane.samples("caption"), "workers") == []


async def test_image_is_kept_between_stages(two_stages: Shop):
    [sample] = await two_stages.offer(1)
    worker = await two_stages.worker()
    await worker.complete(done(await worker.claim(1)))

    leases = await worker.claim(1)

    assert await worker.images(leases) == {leases[0].entry: IMAGE + sample.id.encode()}
    await two_stages.check_books()


async def test_image_is_gone_after_the_last_stage(two_stages: Shop):
    await two_stages.caption(2)

    assert await two_stages.redis.xlen(two_stages.lane.images) == 0
    await two_stages.check_books()


async def test_second_stage_knows_the_outcome_of_the_first(two_stages: Shop):
    [sample] = await two_stages.offer(1)
    worker = await two_stages.worker()
    [first] = await worker.claim(1)
    outcome = outcome_of(first, "seen")
    await worker.complete([(first, outcome)])

    [second] = await worker.claim(1)

    assert (second.stage, second.sample, second.outcomes) == ("tell", sample, (outcome,))
    assert second.attempt == 1


async def test_outcomes_stand_in_the_order_of_the_stages(wires):
    shop = Shop(wires, "zeta", "alpha", "mid")
    await shop.caption(1)

    [caption] = await shop.sink().read(1)

    assert [outcome.stage for outcome in caption.outcomes] == ["zeta", "alpha", "mid"]


async def test_entries_of_different_stages_never_share_an_id(two_stages: Shop):
    """A worker tells its samples, and their images, apart by their entries alone."""
    await two_stages.offer(200)
    worker = await two_stages.worker()
    for _ in range(10):
        begun = [lease for lease in await worker.claim(10) if lease.stage == "look"]
        await asyncio.gather(worker.complete(done(begun)), two_stages.offer(10))

    look, tell = [await two_stages.entries(two_stages.lane.samples(s)) for s in ("look", "tell")]
    assert tell
    assert not set(look) & set(tell)
    numbers = [int(entry.partition("-")[2]) for entry in tell]
    assert min(numbers) > 1 << 32


async def test_worker_with_two_stages_in_hand_settles_each(two_stages: Shop):
    await two_stages.offer(4)
    worker = await two_stages.worker()
    await worker.complete(done(await worker.claim(2)))
    leases = await worker.claim(4)
    assert sorted(lease.stage for lease in leases) == ["look", "look", "tell", "tell"]

    assert await worker.complete(done(leases)) == [True] * 4
    await two_stages.check_books()


async def test_contributor_is_credited(shop: Shop):
    await shop.offer(3)
    worker = await shop.worker(contributor="ada")
    await worker.complete(done(await worker.claim(3)))

    board = await shop.redis.hgetall(shop.lane.contributors)
    assert board == {b"ada:samples": b"3", b"ada:output_tokens": b"9"}


async def test_tokens_are_counted(shop: Shop):
    await shop.caption(2)

    counts = await shop.job.counts()
    assert (counts.prompt_tokens, counts.output_tokens) == (14, 6)


async def test_job_is_captioned_before_it_is_done(shop: Shop):
    await shop.caption(2)
    await shop.feeder().plan("1", "end", None, backlog=1, done=True)

    counts = await shop.job.counts()
    assert counts.captions_done
    assert not counts.done


async def test_captions_come_in_the_order_of_completion(shop: Shop):
    await shop.offer(3)
    worker = await shop.worker()
    leases = await worker.claim(3)
    await worker.complete(done(leases[::-1]))

    assert ids_of(await shop.sink().read(3)) == ids_of(leases[::-1])
