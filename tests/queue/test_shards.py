"""Shards: what is kept of each is what streams and parts hold, whatever comes twice."""

import msgspec
import pytest

from caption_flow.model import Credit
from caption_flow.queue.audit import RedisAuditQueue
from caption_flow.queue.keys import shard_from, shard_to
from caption_flow.queue.ports import Member, Shard
from caption_flow.queue.ports.recall import Made, Rewrite
from caption_flow.queue.recall import RedisRecall
from caption_flow.sink.recovery import record
from tests.queue.shop import (
    PLENTY,
    Shop,
    chunk_of,
    entries_of,
    failed,
    letters_of,
    offers_of,
    recorded,
    rejection_of,
)

ODD = ["a:b", "été", 'quo"te\\back', "\udcff/x", "a, b", "a:planned", '","chunk":"']


def auditor(shop: Shop) -> RedisAuditQueue:
    return RedisAuditQueue(shop.job, stages=shop.stages, lease_seconds=60.0)


async def commit(shop: Shop, count: int, part: str = "part") -> bytes:
    """Let a sink write so many captions to a part; answers what is recorded of it."""
    sink = shop.sink(part)
    captions = await sink.read(count)
    told = recorded(captions)
    for _ in range(2):  # as when the answer is lost
        assert await sink.commit(part, told, entries_of(captions)) == []
    return told


async def known(shop: Shop) -> dict[str, tuple[int, int, int]]:
    found = await shop.inspector.shards("", 1000)
    return {one.name: (one.planned, one.captioned, one.dead) for one in found}


async def test_shard_is_known_from_plan_to_part(shop: Shop):
    await shop.caption(3, shard="b")
    await shop.caption(2, shard="a")
    assert await known(shop) == {"a": (2, 0, 0), "b": (3, 0, 0)}

    await commit(shop, 4)

    assert await known(shop) == {"a": (2, 1, 0), "b": (3, 3, 0)}
    await shop.check_shards(a=1, b=3)


async def test_plan_that_is_told_twice_counts_once(shop: Shop):
    feeder = shop.feeder()
    for _ in range(2):
        await feeder.plan("", "1", chunk_of("one", 3, "a"), backlog=9, done=False)

    assert await known(shop) == {"a": (3, 0, 0)}


async def test_dead_letters_count_once_whoever_gave_up(shop: Shop):
    await shop.plan(3, shard="a")
    feeder, worker = shop.feeder(), await shop.worker()
    lease = await feeder.claim_chunk()
    assert lease is not None
    bad = lease.chunk.names[0]
    offers = [rejection_of(lease.chunk, bad), *offers_of(lease.chunk)[1:]]
    for _ in range(2):
        await feeder.offer(lease, offers, PLENTY)
    leases = await worker.claim(1)
    for _ in range(2):
        await worker.fail(failed(leases))

    assert await known(shop) == {"a": (3, 0, 2)}
    await shop.check_shards()


async def test_dead_letters_that_are_retried_or_dropped_are_dead_no_more(shop: Shop):
    first, second, *_ = await shop.give_up(3, shard="a")
    again = chunk_of("again", 1, "a")
    for _ in range(2):
        await shop.dead.retry(again, [first])
        await shop.dead.drop([second])

    assert await known(shop) == {"a": (2, 0, 1)}
    await shop.check_shards()


async def test_recalled_samples_are_dead(shop: Shop):
    await shop.caption(1, shard="a")
    [entry] = await shop.entries(shop.lane.captions)
    recall = RedisRecall(shop.job, stages=shop.stages)
    made = [Made(shop.lane.captions, entry, "caption")]
    assert [await recall.recall(made, "ada") for _ in range(2)] == [1, 0]

    assert await known(shop) == {"a": (1, 0, 1)}
    await shop.check_shards()


async def test_what_is_left_of_a_withdrawn_chunk_is_not_planned(shop: Shop):
    await shop.plan(5, shard="a")
    feeder = shop.feeder()
    lease = await feeder.claim_chunk()
    assert lease is not None
    await feeder.offer(lease, offers_of(lease.chunk, 0, 2), PLENTY)
    for _ in range(2):
        await feeder.withdraw(lease, await feeder.position(), "again")

    assert await known(shop) == {"a": (2, 0, 0)}
    await shop.check_shards()


async def test_part_that_was_forgotten_counts_and_its_captions_that_come_again_do_not(shop: Shop):
    """As when a server has lost the commit, and the sink finds its part published."""
    await shop.caption(3, shard="a")
    sink = shop.sink()
    captions = await sink.read(2)
    for _ in range(2):
        await sink.record_part("part", recorded(captions))
    assert await known(shop) == {"a": (5, 2, 0)}

    for _ in range(2):
        await sink.discard(entries_of(captions))

    assert await known(shop) == {"a": (3, 2, 0)}
    await shop.check_shards(a=2)


async def test_part_that_is_gone_is_planned_by_who_feeds_it_again(shop: Shop):
    await shop.caption(3, shard="a")
    await commit(shop, 2)
    audit = auditor(shop)
    for _ in range(2):
        await audit.forget_part("part", 2)
    assert await known(shop) == {"a": (1, 0, 0)}

    mark = await audit.mark()
    for _ in range(2):
        await audit.reissue(chunk_of("fix", 2, "a"), mark, mark.position, most=9)

    assert await known(shop) == {"a": (3, 0, 0)}
    await shop.check_shards()


async def test_rows_that_are_taken_out_of_a_part_are_planned_and_not_captioned(shop: Shop):
    await shop.caption(3, shard="a")
    seen = await commit(shop, 3)
    recall = RedisRecall(shop.job, stages=shop.stages)
    chunk = msgspec.json.encode(chunk_of("again", 2, "a")).decode()
    rest = record(1, {"": Credit(1)}, {"a": 1}).decode()
    rewrite = Rewrite("token", rest, (chunk,), (2,), ("a",))
    assert await recall.begin_rewrite("part", seen, rewrite, [], most=9) == "ok"
    assert [await recall.finish_rewrite("part", "token") for _ in range(2)] == [True, False]

    assert await known(shop) == {"a": (3, 1, 0)}
    await shop.check_shards(a=1)


@pytest.mark.parametrize("name", ODD)
async def test_any_name_is_kept(shop: Shop, name: str):
    await shop.caption(3, shard=name)
    await commit(shop, 1)
    sink, worker = shop.sink("late"), await shop.worker()
    await sink.discard(entries_of(await sink.read(1)))
    await shop.offer(1, shard=name)
    await worker.fail(failed(await worker.claim(1)))

    assert await known(shop) == {name: (3, 1, 1)}
    assert not await auditor(shop).mend_shards()


def test_names_are_read_as_they_were_written():
    assert [shard_from(shard_to(name)) for name in ODD] == ODD


async def test_what_is_lost_is_mended(two_stages: Shop):
    """As after an earlier version, which kept nothing, fed and captioned some of it."""
    shop = two_stages
    await shop.caption(4, shard="a")
    await commit(shop, 2)
    await shop.give_up(1, shard="b")
    await shop.plan(2, shard="c")
    right = await known(shop)
    assert not await auditor(shop).mend_shards()
    await shop.redis.hincrby(shop.lane.shards, "d:planned", 7)
    await shop.redis.hdel(shop.lane.shards, "a:captioned")
    await shop.redis.delete(shop.lane.shard_names)

    assert [await auditor(shop).mend_shards() for _ in range(2)] == [True, False]

    assert await known(shop) == right == {"a": (4, 2, 0), "b": (1, 0, 1), "c": (2, 0, 0)}


async def test_shards_are_read_a_page_at_a_time_by_name(shop: Shop):
    for name in ("c", "a", "b"):
        await shop.plan(1, shard=name)

    pages, after = [], ""
    while page := await shop.inspector.shards(after, 2):
        pages.append([one.name for one in page])
        after = page[-1].name

    assert pages == [["a", "b"], ["c"]]


async def test_snapshot_names_the_shards_at_work(shop: Shop):
    for name in ("done", "first", "middle", "last", "fed", "later"):
        await shop.plan(1, shard=name)
    feeder, worker, sink = shop.feeder(), await shop.worker(), shop.sink()
    await feeder.publish(b'{"stages": [{"name": "caption"}]}', "data")
    for _ in range(4):
        lease = await feeder.claim_chunk()
        assert lease is not None
        await feeder.offer(lease, offers_of(lease.chunk), PLENTY)
    [done] = await worker.claim(1)
    await worker.fail(failed([done]))
    facts = {"shards": "fed, what nobody planned"}
    await shop.job.beat(Member("feed", "f", "host", 1, 0.0, 9e9, "working", {}, facts))

    found = (await shop.inspector.snapshot()).shards

    assert found == (Shard("first", 1, 0, 0), Shard("last", 1, 0, 0), Shard("fed", 1, 0, 0))
    assert len(await letters_of(shop.dead)) == 1
    assert await sink.records() == {}
