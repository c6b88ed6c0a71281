"""Relay: what a proxy's channels do with the queue, each as a consumer of its own."""

import asyncio

import pytest

from caption_flow.codec import records
from caption_flow.queue import consumer
from caption_flow.queue.news import News
from caption_flow.queue.reclaims import Reclaims
from caption_flow.queue.relay import Handout, Holding, RelayQueue
from tests.queue.shop import IMAGE, LEASE_SECONDS, Shop, failure_of, ids_of, outcome_of


async def relay(shop: Shop, name: str = "ann~1.0", **kwargs: object) -> RelayQueue:
    queue = RelayQueue(shop.job, name=name, contributor="ann", **kwargs)
    await queue.serve(shop.stages, lease_seconds=LEASE_SECONDS)
    return queue


def held(handouts: list[Handout]) -> list[Holding]:
    return [handout.holding for handout in handouts]


def done(holdings: list[Holding]) -> list:
    return [(holding, (outcome_of(holding),)) for holding in holdings]


async def test_sample_is_handed_out_as_it_stands(shop: Shop):
    [sample] = await shop.offer(1)

    [handout] = await (await relay(shop)).hand(5)

    assert records.sample_from("", {b"sample": handout.sample}) == sample
    holding = handout.holding
    assert (holding.stage, holding.attempt, holding.passed) == ("caption", 1, ())
    assert not holding.elsewhere
    assert holding.bytes == len(handout.sample) + len(IMAGE + sample.id.encode())


async def test_hand_never_waits(shop: Shop, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(consumer, "BLOCK_MS", 60_000)
    queue = await relay(shop)

    async with asyncio.timeout(5):
        assert await queue.hand(1) == []


async def test_outcomes_of_earlier_stages_are_handed_on(two_stages: Shop):
    await two_stages.offer(1)
    queue = await relay(two_stages)
    [first] = held(await queue.hand(1))
    await queue.complete(done([first]))

    [second] = await queue.hand(1)

    assert second.holding.passed == ("look",)
    assert second.holding.image == first.image
    assert [records._outcome.decode(made).stage for made in second.outcomes] == ["look"]
    assert await queue.complete(done([second.holding])) == [True]
    await two_stages.check_books()


async def test_reasons_of_earlier_attempts_are_handed_on(shop: Shop):
    await shop.offer(1)
    worker = await shop.worker("first")
    [lease] = await worker.claim(1)
    await worker.suspect(lease, failure_of(lease, "worker_died"))
    await shop.expire(shop.lane.samples("caption"))

    [handout] = await (await relay(shop)).hand(1)

    assert [f.reason for f in records.failures_from(b"[%b]" % handout.failures)] == ["worker_died"]
    told = await shop.redis.hget(shop.lane.failures, handout.holding.entry)
    assert handout.holding.noted == len(told)


async def test_adopted_samples_are_the_new_consumers_and_no_attempt(two_stages: Shop):
    await two_stages.offer(3)
    old = await relay(two_stages, "ann~1.0")
    await old.complete(done(held(await old.hand(1))))
    before = held(await old.hand(3))
    assert len(before) == 3

    new = await relay(two_stages, "ann~2.0")
    kept = await new.adopt("ann~1.0", two_stages.stages, {one.entry for one in before})

    by_entry = {one.entry: one for one in before}
    assert {one.entry: one for one in kept} == by_entry
    assert await old.complete(done(before)) == [False] * 3
    assert await new.complete(done(kept)) == [True] * 3
    await two_stages.check_books()


async def test_adopted_sample_that_never_arrived_is_handed_out_again(shop: Shop):
    await shop.offer(2)
    old = await relay(shop, "ann~1.0")
    arrived, missed = held(await old.hand(2))

    new = await relay(shop, "ann~2.0")
    await new.adopt("ann~1.0", shop.stages, {arrived.entry})

    assert held(await new.hand(5)) == [missed]
    assert await new.hand(5) == []


async def test_adopting_twice_keeps_what_was_adopted(shop: Shop):
    """The answer to the first may have been lost."""
    await shop.offer(1)
    old = await relay(shop, "ann~1.0")
    [before] = held(await old.hand(1))
    new = await relay(shop, "ann~2.0")
    await new.adopt("ann~1.0", shop.stages, {before.entry})

    assert await new.adopt("ann~1.0", shop.stages, {before.entry}) == [before]


async def test_nothing_is_adopted_from_a_consumer_that_is_gone(shop: Shop):
    new = await relay(shop, "ann~2.0")

    assert await new.adopt("ann~1.0", shop.stages, {"1-1"}) == []


async def test_sample_that_another_has_is_not_adopted(shop: Shop):
    await shop.offer(1)
    old = await relay(shop, "ann~1.0")
    [lost] = held(await old.hand(1))
    await shop.expire(shop.lane.samples("caption"))
    await (await shop.worker("other")).claim(1)

    new = await relay(shop, "ann~2.0")

    assert await new.adopt("ann~1.0", shop.stages, {lost.entry}) == []


@pytest.mark.parametrize(("attempted", "attempt"), [(True, 2), (False, 1)])
async def test_abandoned_samples_are_anybodys_at_once(shop: Shop, attempted: bool, attempt: int):
    await shop.offer(3)
    queue = await relay(shop)
    await queue.hand(3)

    await queue.abandon(attempted=attempted)

    leases = await (await shop.worker("next")).claim(3)
    assert len(set(ids_of(leases))) == 3
    assert {lease.attempt for lease in leases} == {attempt}
    assert len(await shop.redis.xinfo_consumers(shop.lane.samples("caption"), "workers")) == 2


async def test_abandoning_leaves_what_was_adopted(shop: Shop):
    await shop.offer(1)
    old = await relay(shop, "ann~1.0")
    [before] = held(await old.hand(1))
    new = await relay(shop, "ann~2.0")
    kept = await new.adopt("ann~1.0", shop.stages, {before.entry})

    await old.abandon(attempted=True)

    assert await new.complete(done(kept)) == [True]


async def test_renewing_tells_what_was_lost(shop: Shop):
    await shop.offer(2)
    queue = await relay(shop)
    first, second = held(await queue.hand(2))
    await queue.release([first])
    await (await shop.worker("other")).claim(1)

    assert await queue.renew([first, second]) == {first.entry}


async def test_lease_that_a_client_lets_run_out_counts_though_it_comes_back_to_it(shop: Shop):
    """It may never have had the sample, or have died of it."""
    await shop.offer(1)
    queue = await relay(shop)
    await queue.hand(1)
    await shop.expire(shop.lane.samples("caption"))

    [again] = held(await queue.hand(1))

    assert again.attempt == 2


async def test_many_consumers_look_for_lost_leases_as_often_as_one(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(consumer, "RECLAIM_SECONDS", 60.0)
    shared = Reclaims(grace=1.0)
    queues = [await relay(shop, f"ann~{n}.0", reclaims=shared) for n in range(5)]
    for queue in queues:
        await queue.hand(1)
    await shop.redis.config_resetstat()
    shared.look_on(shop.lane.samples("caption"))

    for queue in queues:
        await queue.hand(1)

    stats = await shop.redis.info("commandstats")
    assert stats["cmdstat_evalsha"]["calls"] == 1


async def test_news_name_the_stages_where_samples_wait(two_stages: Shop):
    news = News(two_stages.job)
    assert await news.waiting(two_stages.stages) == set()

    await two_stages.offer(1)
    assert await news.waiting(two_stages.stages) == {"look"}

    queue = await relay(two_stages)
    await queue.hand(1)
    assert await news.waiting(two_stages.stages) == set()


async def test_news_come_while_they_are_waited_for(shop: Shop):
    waiting = asyncio.create_task(News(shop.job).waiting(shop.stages))
    await asyncio.sleep(0.05)
    await shop.offer(1)

    assert await waiting == {"caption"}
