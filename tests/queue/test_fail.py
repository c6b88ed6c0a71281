"""Fail: a sample that cannot be captioned is one dead letter, with all that is needed to retry."""

import asyncio

from tests.queue.shop import Shop, done, failed, failure_of, unsigned


async def test_dead_letter_has_its_sample_and_the_reason(shop: Shop):
    [sample] = await shop.offer(1)
    worker = await shop.worker()
    [lease] = await worker.claim(1)

    assert await worker.fail(failed([lease])) == [True]

    [letter] = await shop.inspector.dead_letters(1)
    assert (letter.sample, unsigned(letter.failure)) == (sample, failure_of(lease))


async def test_dead_letter_keeps_all_fields_of_its_entry(two_stages: Shop):
    await two_stages.offer(1)
    worker = await two_stages.worker()
    await worker.complete(done(await worker.claim(1)))
    leases = await worker.claim(1)
    entry = (await two_stages.entries(two_stages.lane.samples("tell")))[leases[0].entry]

    await worker.fail(failed(leases))

    [letter] = (await two_stages.entries(two_stages.lane.dead)).values()
    assert entry.items() <= letter.items()
    assert set(letter) - set(entry) == {b"why"}


async def test_image_of_a_dead_letter_is_gone(two_stages: Shop):
    await two_stages.offer(1)
    worker = await two_stages.worker()
    await worker.complete(done(await worker.claim(1)))
    await worker.fail(failed(await worker.claim(1)))

    assert await two_stages.redis.xlen(two_stages.lane.images) == 0
    await two_stages.check_books()


async def test_failing_at_once_counts_once(shop: Shop):
    await shop.offer(3)
    worker = await shop.worker()
    leases = await worker.claim(3)

    answers = await asyncio.gather(*(worker.fail(failed(leases)) for _ in range(5)))

    assert [sum(column) for column in zip(*answers, strict=True)] == [1] * 3
    await shop.check_books()


async def test_late_failure_does_nothing(shop: Shop):
    await shop.offer(1)
    late, prompt = await shop.worker("late"), await shop.worker("prompt")
    leases = await late.claim(1)
    await shop.expire(shop.lane.samples("caption"))
    await prompt.claim(1)
    before = await shop.dump()

    assert await late.fail(failed(leases)) == [False]
    assert await shop.dump() == before


async def test_failed_sample_cannot_be_completed(shop: Shop):
    await shop.offer(1)
    worker = await shop.worker()
    leases = await worker.claim(1)
    await worker.fail(failed(leases))

    assert await worker.complete(done(leases)) == [False]
    await shop.check_books()


async def test_entry_deleted_by_hand_harms_no_neighbour(shop: Shop):
    await shop.offer(3)
    worker = await shop.worker()
    leases = await worker.claim(3)
    await shop.redis.xdel(shop.lane.samples("caption"), leases[1].entry)

    assert await worker.fail(failed(leases)) == [True, False, True]
    assert (await shop.job.counts()).dead == 2


async def test_dead_letters_come_newest_first(shop: Shop):
    await shop.offer(3)
    worker = await shop.worker()
    leases = await worker.claim(3)
    await worker.fail(failed(leases))

    letters = await shop.inspector.dead_letters(2)

    assert [letter.sample for letter in letters] == [leases[2].sample, leases[1].sample]


async def test_all_dead_are_named(shop: Shop):
    samples = await shop.offer(1100)
    worker = await shop.worker()
    await worker.fail(failed(await worker.claim(1100)))

    assert await shop.feeder().dead_ids() == [sample.id for sample in samples]
