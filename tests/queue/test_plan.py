"""Plan: the source enters the queue chunk by chunk, however many planners there are."""

import asyncio

from caption_flow.queue.feed import RedisFeedQueue
from tests.queue.shop import Shop, chunk_of


async def plan(feeder: RedisFeedQueue, before: str, after: str, count: int = 2, backlog: int = 9):
    return await feeder.plan(before, after, chunk_of(after, count), backlog=backlog, done=False)


async def test_position_is_empty_before_the_first_chunk(shop: Shop):
    assert await shop.feeder().position() == ""


async def test_planned_chunk_can_be_claimed(shop: Shop):
    await plan(shop.feeder(), "", "a", 3)

    lease = await shop.feeder().claim_chunk()

    assert lease is not None
    assert (lease.chunk, lease.cursor, lease.attempt) == (chunk_of("a", 3), 0, 1)


async def test_repeated_plan_is_told_the_position_and_changes_nothing(shop: Shop):
    feeder = shop.feeder()
    await plan(feeder, "", "a")
    before = await shop.dump()

    repeated = await plan(feeder, "", "a")

    assert (repeated.status, repeated.position) == ("moved", "a")
    assert await shop.dump() == before


async def test_planners_at_once_never_double_a_chunk(shop: Shop):
    async def plan_all(planner: RedisFeedQueue) -> None:
        position = await planner.position()
        while position != "20":
            answer = await plan(planner, position, str(int(position or 0) + 1), backlog=99)
            position = answer.position

    await asyncio.gather(*(plan_all(shop.feeder(f"planner {n}")) for n in range(4)))

    chunks = await shop.entries(shop.lane.chunks)
    assert len(chunks) == 20
    assert (await shop.job.counts()).planned == 40


async def test_full_backlog_changes_nothing(shop: Shop):
    feeder = shop.feeder()
    await plan(feeder, "", "a")
    before = await shop.dump()

    answer = await plan(feeder, "a", "b", backlog=1)

    assert (answer.status, answer.position) == ("full", "a")
    assert await shop.dump() == before


async def test_claimed_chunk_counts_as_backlog(shop: Shop):
    feeder = shop.feeder()
    await plan(feeder, "", "a")
    await feeder.claim_chunk()

    assert (await plan(feeder, "a", "b", backlog=1)).status == "full"


async def test_empty_chunk_moves_only_the_position(shop: Shop):
    feeder = shop.feeder()
    answer = await feeder.plan("", "a", None, backlog=1, done=False)

    assert (answer.status, answer.position) == ("ok", "a")
    assert await feeder.position() == "a"
    assert await shop.redis.xlen(shop.lane.chunks) == 0
    assert (await shop.job.counts()).planned == 0


async def test_end_of_the_source_needs_no_room_in_the_backlog(shop: Shop):
    feeder = shop.feeder()
    await plan(feeder, "", "a")

    answer = await feeder.plan("a", "end", None, backlog=1, done=True)

    assert answer.status == "ok"
    assert (await shop.job.counts()).plan_done


async def test_plan_that_goes_on_is_not_done(shop: Shop):
    feeder = shop.feeder()
    await feeder.plan("", "end", None, backlog=1, done=True)
    await plan(feeder, "end", "again")

    assert not (await shop.job.counts()).plan_done
