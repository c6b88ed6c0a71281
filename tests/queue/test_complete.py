"""Complete: a stage is left once, and only by who holds the sample."""

import asyncio

from msgspec.structs import replace

from caption_flow.model import Caption
from tests.queue.shop import IMAGE, LEASE_SECONDS, Shop, done, ids_of, outcome_of, renew


async def test_completed_sample_is_a_caption_with_its_outcome(shop: Shop):
    [sample] = await shop.offer(1)
    worker = await shop.worker()
    [lease] = await worker.claim(1)
    outcome = outcome_of(lease, "a small red circle")

    assert await worker.complete([(lease, (outcome,))]) == [True]

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
    await worker.complete([(first, (outcome,))])

    [second] = await worker.claim(1)

    assert (second.stage, second.sample, second.outcomes) == ("tell", sample, (outcome,))
    assert second.attempt == 1


async def test_outcomes_stand_in_the_order_of_the_stages(wires):
    shop = Shop(wires, "zeta", "alpha", "mid")
    await shop.caption(1)

    [caption] = await shop.sink().read(1)

    assert [outcome.stage for outcome in caption.outcomes] == ["zeta", "alpha", "mid"]


async def test_a_small_batch_follows_a_large_one_in_the_same_millisecond(two_stages: Shop):
    """Here since the clock was put back; on a busy server often."""
    shop = two_stages
    ahead = 1 << 52
    tell = shop.lane.samples("tell")
    await shop.redis.xdel(tell, await shop.redis.xadd(tell, {"a": "b"}, id=f"{ahead}-0"))
    await shop.offer(40)
    worker = await shop.worker()
    leases = await worker.claim(40)

    assert all(await worker.complete(done(leases[:30])))
    assert all(await worker.complete(done(leases[30:31])))
    assert all(await worker.complete(done(leases[31:])))

    entries = await shop.entries(tell)
    assert [entry.split("-")[0] for entry in entries] == [str(ahead)] * 40


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


async def test_two_stages_in_one_visit_are_left_together(two_stages: Shop):
    [sample] = await two_stages.offer(1)
    worker = await two_stages.worker()
    [lease] = await worker.claim(1)
    seen, told = outcome_of(lease, "seen"), replace(outcome_of(lease, "told"), stage="tell")

    assert await worker.complete([(lease, (seen, told))]) == [True]

    [caption] = await two_stages.sink().read(1)
    assert (caption.sample, caption.outcomes) == (sample, (seen, told))
    counts = await two_stages.job.counts()
    assert (counts.prompt_tokens, counts.output_tokens, counts.completed) == (14, 6, 1)
    assert await two_stages.redis.xlen(two_stages.lane.images) == 0
    await two_stages.check_books()


async def test_sample_of_a_stage_that_was_dropped_goes_where_it_belongs(two_stages: Shop):
    """The job has other stages now: what waits in an old one is moved, with what it brings."""
    await two_stages.offer(2)
    before = await two_stages.worker("before")
    seen = [await before.claim(1), await before.claim(1)]
    await before.complete(done(seen[0]))
    await before.release(seen[1])
    after = await two_stages.worker("after", order=("look", "shorten"), former=("tell",))

    for lease in await after.claim(2):
        assert await after.complete([(lease, ())]) == [True]

    waiting = {lease.stage: lease for lease in await after.claim(2)}
    assert {stage: len(lease.outcomes) for stage, lease in waiting.items()} == {
        "look": 0,
        "shorten": 1,
    }
    assert all(lease.attempt == 1 for lease in waiting.values())


async def test_sample_that_has_passed_all_stages_there_are_is_finished(two_stages: Shop):
    [sample] = await two_stages.offer(1)
    before = await two_stages.worker("before")
    await before.complete(done(await before.claim(1)))
    after = await two_stages.worker("after", order=("look",), former=("tell",))
    [lease] = await after.claim(1)

    assert await after.complete([(lease, ())]) == [True]

    [caption] = await two_stages.sink().read(1)
    assert [outcome.stage for outcome in caption.outcomes] == ["look"]
    assert caption.sample == sample
    await two_stages.check_books()


async def test_worker_claims_of_the_stages_it_serves_only(two_stages: Shop):
    await two_stages.offer(3)
    teller = await two_stages.worker("teller", only=("tell",))
    looker = await two_stages.worker("looker", only=("look",))
    assert await teller.claim(3) == []

    await looker.complete(done(await looker.claim(3)))

    assert [lease.stage for lease in await teller.claim(3)] == ["tell"] * 3
    assert await looker.claim(3) == []


async def test_lease_of_a_stage_that_is_served_no_more_is_settled_all_the_same(two_stages: Shop):
    await two_stages.offer(2)
    worker = await two_stages.worker()
    held, given_back = await worker.claim(2)

    await worker.serve(two_stages.stages, only=("tell",), lease_seconds=LEASE_SECONDS)

    assert await worker.complete(done([held])) == [True]
    assert [lease.stage for lease in await worker.claim(2)] == ["tell"]
    await worker.release([given_back])
    assert await renew(worker, [given_back]) == {given_back.entry}
    await two_stages.check_books()


async def test_worker_with_two_stages_in_hand_settles_each(two_stages: Shop):
    await two_stages.offer(4)
    worker = await two_stages.worker()
    await worker.complete(done(await worker.claim(2)))
    leases = await worker.claim(4)
    assert sorted(lease.stage for lease in leases) == ["look", "look", "tell", "tell"]

    assert await worker.complete(done(leases)) == [True] * 4
    await two_stages.check_books()


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
