"""Audit: what is missing is fed again once, and a lease on what was deleted by hand ends."""

import asyncio

import pytest

from caption_flow.queue.ports.audit import Mark
from tests.queue.auditing import auditor, everywhere, seen
from tests.queue.shop import PLENTY, Shop, chunk_of, done, entries_of, ids_of, offers_of

# Feeding again


async def test_missing_samples_wait_in_a_chunk(shop: Shop):
    await shop.plan(2)
    seen_mark = await auditor(shop).mark()
    fix = chunk_of("fix-1", 3)

    assert await auditor(shop).reissue(fix, seen_mark, "1 again", most=9) == "ok"

    assert await auditor(shop).mark() == Mark("1 again", 1)
    assert [left.chunk for left in await auditor(shop).chunks()] == [chunk_of("0", 2), fix]
    await shop.check_books()


@pytest.mark.parametrize("believed", [Mark("0", 0), Mark("", 0), Mark("1", 1)])
async def test_who_has_seen_another_plan_or_fewer_mendings_changes_nothing(
    shop: Shop, believed: Mark
):
    await shop.plan(2)
    before = await shop.dump()

    assert await auditor(shop).reissue(chunk_of("f", 1), believed, "2", most=9) == "moved"
    assert await shop.dump() == before


async def test_of_auditors_at_once_one_adds_its_chunk(shop: Shop):
    await shop.plan(2)
    mark = await auditor(shop).mark()

    answers = await asyncio.gather(
        *(auditor(shop).reissue(chunk_of(f"f{n}", 1), mark, mark.position, most=9) for n in "abc")
    )

    assert sorted(answers) == ["moved", "moved", "ok"]
    assert len(await auditor(shop).chunks()) == 2


async def test_no_more_chunks_wait_than_may(shop: Shop):
    await shop.plan(1, 1)
    before = await shop.dump()
    mark = await auditor(shop).mark()

    assert await auditor(shop).reissue(chunk_of("f", 1), mark, "3", most=2) == "full"
    assert await shop.dump() == before


async def test_planner_of_a_plan_that_moved_is_told(shop: Shop):
    await shop.plan(1)
    mark = await auditor(shop).mark()
    await auditor(shop).reissue(chunk_of("f", 1), mark, "1 again", most=9)

    planned = await shop.feeder().plan("1", "2", chunk_of("f", 1), backlog=9, done=False)

    assert (planned.status, planned.position) == ("moved", "1 again")


# Leases on what somebody deleted


async def test_feeder_of_a_deleted_chunk_offers_no_more(shop: Shop):
    """Else it would go on from memory, and what was fed again would come twice."""
    await shop.plan(3)
    feeder = shop.feeder()
    lease = await feeder.claim_chunk()
    assert lease is not None
    await shop.redis.xdel(shop.lane.chunks, lease.entry)

    assert await auditor(shop).disown() == 1

    assert (await feeder.offer(lease, offers_of(lease.chunk), PLENTY)).status == "lost"
    assert await seen(shop) == []


async def test_sink_of_a_deleted_caption_is_told_that_it_lost_it(shop: Shop):
    await shop.caption(2)
    sink = shop.sink()
    captions = await sink.read(2)
    await shop.redis.xdel(shop.lane.captions, captions[0].entry)

    assert await auditor(shop).disown() == 1

    assert await sink.commit("part", b"{}", entries_of(captions)) == [captions[0].entry]
    assert await sink.commit("part", b"{}", [captions[1].entry]) == []


async def test_worker_of_a_deleted_sample_is_told_that_it_lost_it(shop: Shop):
    await shop.offer(2)
    worker = await shop.worker()
    leases = await worker.claim(2)
    await shop.redis.xdel(shop.lane.samples("caption"), leases[0].entry)

    assert await auditor(shop).disown() == 1

    assert await worker.complete(done(leases)) == [False, True]


async def test_leases_on_what_is_there_stay(two_stages: Shop):
    await everywhere(two_stages)
    worker = await two_stages.worker("last")
    leases = await worker.claim(9)
    before = await two_stages.dump()

    assert await auditor(two_stages).disown() == 0

    assert await two_stages.dump() == before
    assert all(await worker.complete(done(leases)))
    assert ids_of(leases)


async def test_there_is_nothing_to_disown_where_nobody_came_yet(shop: Shop):
    assert await auditor(shop).disown() == 0
