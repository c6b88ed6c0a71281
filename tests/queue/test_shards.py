"""Shards: what is kept of each is what streams and parts hold, whatever comes twice."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caption_flow.model import Credit
from caption_flow.queue.audit import RedisAuditQueue
from caption_flow.queue.keys import shard_from, shard_to
from caption_flow.queue.ports import Member, Shard
from caption_flow.queue.ports.recall import Made, Rewrite
from caption_flow.queue.recall import RedisRecall
from caption_flow.queue.scripts import Scripts
from caption_flow.queue.shards import MOST
from caption_flow.sink.records import record
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
ODD += ["été\udc80", 'x"\\ud800', "q\\z\\udabc", "\\ud83d\\ude00", "é\\udc80"]

Act = Callable[[], Awaitable[Any]]


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


@given(st.text(st.characters(exclude_categories=())) | st.from_regex(r'(\\ud[89a-f]..|[a"\\é])+'))
def test_what_is_written_of_a_name_finds_it_again(name: str):
    """Else who asks for what comes after it might be told of it for ever."""
    for written in (shard_to(name), json.dumps(name)[1:-1], name.encode(errors="replace").decode()):
        assert shard_to(shard_from(written)) == written


async def test_only_so_many_shards_are_kept(shop: Shop):
    """Nothing bounds how many there are, as in a folder for each product."""
    await shop.caption(2, shard="a")
    await shop.redis.zadd(shop.lane.shard_names, {f"b{n}": 0 for n in range(MOST - 1)})
    await shop.caption(3, shard="c")
    await commit(shop, 5)
    await shop.give_up(1, shard="c")
    await shop.plan(2, shard="a")

    assert await shop.redis.hgetall(shop.lane.shards) == {b"a:planned": b"4", b"a:captioned": b"2"}
    assert await shop.redis.zcard(shop.lane.shard_names) == MOST


async def test_of_many_shards_those_that_are_kept_stay_kept(shop: Shop):
    await shop.caption(1, shard="z")
    await commit(shop, 1)
    told = record(MOST, {}, {f"b{number}": 1 for number in range(MOST)})
    await shop.redis.hset(shop.lane.parts, "large", told)

    assert [await auditor(shop).mend_shards() for _ in range(2)] == [True, False]

    assert await shop.redis.zcard(shop.lane.shard_names) == MOST
    assert await shop.redis.hget(shop.lane.shards, "z:captioned") == b"1"
    assert await shop.redis.hlen(shop.lane.shards) == 3 * MOST


async def test_what_an_earlier_version_gave_up_is_not_taken_off(shop: Shop):
    letters = await shop.give_up(4, shard="a")
    await shop.redis.delete(shop.lane.shards, shop.lane.shard_names)
    await shop.dead.drop(letters[:1])
    assert await known(shop) == {}

    await shop.plan(1, shard="a")
    await shop.dead.retry(chunk_of("again", 2, "a"), letters[1:3])
    await shop.dead.drop(letters[3:])

    assert await known(shop) == {"a": (0, 0, 0)}
    await shop.redis.hset(shop.lane.shards, mapping={"a:dead": -3, "a:captioned": -2})
    assert await known(shop) == {"a": (0, 0, 0)}


def between(monkeypatch: pytest.MonkeyPatch, *acts: Act) -> None:
    """Let something happen after letters and records were read, at each look."""
    left, run = list(acts), Scripts.run

    async def later(self: Scripts, name: str, keys: list[str], args: list[Any]) -> Any:
        if name == "mend_shards" and left:
            await left.pop(0)()
        return await run(self, name, keys, args)

    monkeypatch.setattr(Scripts, "run", later)


async def test_what_comes_while_shards_are_counted_counts(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
):
    await shop.give_up(2, shard="a")
    await shop.caption(3, shard="b")
    await commit(shop, 1, "first")
    await shop.redis.delete(shop.lane.shards, shop.lane.shard_names)

    async def go_on() -> None:
        await shop.give_up(1, shard="a")
        await commit(shop, 2, "second")

    between(monkeypatch, go_on)
    assert [await auditor(shop).mend_shards() for _ in range(2)] == [True, False]

    assert await known(shop) == {"a": (3, 0, 3), "b": (3, 3, 0)}
    await shop.check_shards(b=3)


@pytest.mark.parametrize("what", ["retried", "emptied", "forgotten", "rewritten"])
async def test_shards_are_counted_anew_where_something_is_gone_meanwhile(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, what: str
):
    letters = await shop.give_up(2, shard="a")
    await shop.caption(3, shard="b")
    seen = await commit(shop, 2)

    async def retried() -> None:
        await shop.dead.retry(chunk_of("again", 1, "a"), letters[:1])

    async def emptied() -> None:
        await shop.redis.delete(shop.lane.dead)
        await shop.give_up(1, shard="a")

    async def forgotten() -> None:
        await auditor(shop).forget_part("part", 2)

    async def rewritten() -> None:
        recall = RedisRecall(shop.job, stages=shop.stages)
        chunk = msgspec.json.encode(chunk_of("fix", 1, "b")).decode()
        rest = record(1, {"": Credit(1)}, {"b": 1}).decode()
        rewrite = Rewrite("token", rest, (chunk,), (1,), ("b",))
        await recall.begin_rewrite("part", seen, rewrite, [], most=9)
        await recall.finish_rewrite("part", "token")

    await shop.redis.hincrby(shop.lane.shards, "a:planned", 7)
    acts = {"retried": retried, "emptied": emptied, "forgotten": forgotten, "rewritten": rewritten}
    between(monkeypatch, acts[what])

    assert [await auditor(shop).mend_shards() for _ in range(2)] == [True, False]
    await shop.check_shards(b={"forgotten": 0, "rewritten": 1}.get(what, 2))


async def test_shards_are_left_alone_while_letters_are_taken_off_all_the_time(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
):
    letters = await shop.give_up(5, shard="a")
    await shop.redis.hincrby(shop.lane.shards, "a:planned", 7)
    between(monkeypatch, *(lambda one=one: shop.dead.drop([one]) for one in letters[:3]))

    assert [await auditor(shop).mend_shards() for _ in range(2)] == [False, True]
    await shop.check_shards()


async def test_script_that_mends_shards_reads_no_letter_that_was_read_before(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
):
    """All others wait while it runs, and letters may be millions."""
    reads = []
    for letters in (1, 1500):
        await shop.give_up(letters, shard="a")
        between(monkeypatch, shop.redis.config_resetstat)
        await auditor(shop).mend_shards()
        reads.append((await shop.redis.info("commandstats"))["cmdstat_xrange"]["calls"])

    assert reads[0] == reads[1]


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


async def test_shards_are_left_and_that_is_said_where_letters_keep_being_taken_off(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    letters = await shop.give_up(4, shard="a")
    await shop.redis.hincrby(shop.lane.shards, "a:planned", 7)

    async def drop() -> None:
        await shop.dead.drop([letters.pop()])

    between(monkeypatch, drop, drop, drop)

    assert not await auditor(shop).mend_shards()
    assert "was not counted anew" in caplog.text
    assert await auditor(shop).mend_shards()
    await shop.check_shards()
