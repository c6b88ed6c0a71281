"""Merge: parts that became one are recorded as that one, and nothing else has changed."""

from typing import Any
from unittest.mock import ANY

from caption_flow.queue.captions import FORBIDDEN_SECONDS
from caption_flow.queue.ports.recall import Rewrite
from caption_flow.queue.recall import RedisRecall
from caption_flow.sink.records import read_record, summed
from tests.queue.lossy import LossyWire
from tests.queue.shop import Shop, entries_of, recorded
from tests.queue.test_full_server import full
from tests.queue.test_lost_replies import lose

REWRITE = Rewrite("token", "{}", (), ())


async def committed(shop: Shop) -> dict[str, bytes]:
    """Two parts, of three samples in two shards; answers what is recorded of them."""
    await shop.caption(2, shard="0")
    await shop.caption(1, shard="1")
    sink, told = shop.sink(), {}
    for part, count in (("a", 2), ("b", 1)):
        captions = await sink.read(count)
        told[part] = recorded(captions)
        await sink.commit(part, told[part], entries_of(captions))
    return told


def sum_of(told: dict[str, bytes]) -> bytes:
    return summed(map(read_record, told.values()))


async def books(shop: Shop) -> dict[str, Any]:
    """Read all that is counted, and the epoch."""
    lane = shop.lane
    hashes = (lane.counts, lane.contributors, lane.shards)
    counted = {key: await shop.redis.hgetall(key) for key in hashes}
    return counted | {lane.epoch: await shop.redis.get(lane.epoch)}


async def all_of(shop: Shop) -> tuple[dict[str, Any], dict[str, bytes]]:
    return await books(shop), await shop.sink().records()


def test_record_of_a_merged_part_is_the_sum():
    told = [
        b'{"rows":1,"tally":{"ada":[1,2,3]},"shards":{"x":1}}',
        b'{"rows":2,"again":true,"tally":{"ada":[1,1,1],"":[1,0,0]},"shards":{"x":1,"y":1},"revision":"r"}',
    ]

    found = read_record(summed(map(read_record, told)))

    assert (found.rows, found.again, found.revision) == (3, True, "")
    assert found.shards == {"x": 2, "y": 1}
    assert {name: credit.output_tokens for name, credit in found.tally.items()} == {"ada": 4, "": 0}


async def test_merged_part_is_recorded_in_the_place_of_the_others(shop: Shop):
    told = await committed(shop)
    before = await books(shop)

    assert await shop.sink().merge_parts("m", sum_of(told), told)

    assert await shop.sink().records() == {"m": sum_of(told)}
    assert await books(shop) == before
    await shop.check_books()
    await shop.check_shards(**{"0": 2, "1": 1})


async def test_parts_that_are_not_recorded_as_seen_are_not_merged(shop: Shop):
    told = await committed(shop)
    before = await all_of(shop)

    for seen in (told | {"a": b"{}"}, told | {"c": b"{}"}):
        assert not await shop.sink().merge_parts("m", sum_of(told), seen)

    assert await all_of(shop) == before


async def test_part_that_is_losing_rows_is_not_merged(shop: Shop):
    told = await committed(shop)
    await RedisRecall(shop.job, stages=()).begin_rewrite("a", told["a"], REWRITE, [], most=9)
    before = await all_of(shop)

    assert not await shop.sink().merge_parts("m", sum_of(told), told)
    assert await all_of(shop) == before


async def test_part_that_was_merged_loses_no_rows(shop: Shop):
    told = await committed(shop)
    await shop.sink().merge_parts("m", sum_of(told), told)

    recall = RedisRecall(shop.job, stages=())
    assert await recall.begin_rewrite("a", told["a"], REWRITE, [], most=9) == "moved"


async def test_part_that_was_merged_is_not_recorded_again(shop: Shop):
    """By a sink that had found it forgotten before, or by a commit that comes late."""
    told = await committed(shop)
    await shop.sink().merge_parts("m", sum_of(told), told)
    before = await all_of(shop)

    assert not await shop.sink().record_part("a", told["a"])
    await shop.sink().commit("a", told["a"], ["1-1"])

    assert await all_of(shop) == before


async def test_part_that_was_merged_twice_is_not_recorded_again(shop: Shop):
    told = await committed(shop)
    await shop.sink().merge_parts("m", sum_of(told), told)
    await shop.sink().merge_parts("again", sum_of(told), {"m": sum_of(told)})

    assert not await shop.sink().record_part("a", told["a"])
    assert list(await shop.sink().records()) == ["again"]


async def test_part_that_was_merged_into_one_that_is_gone_is_recorded_again(shop: Shop):
    """Both were put back from a backup, and what had replaced them is no more."""
    told = await committed(shop)
    await shop.sink().merge_parts("m", sum_of(told), told)
    await shop.redis.hdel(shop.lane.parts, "m")

    assert await shop.sink().record_part("a", told["a"])


async def test_parts_that_were_merged_long_ago_are_forgotten_at_the_next_merge(shop: Shop):
    told = await committed(shop)
    await shop.sink().merge_parts("m", sum_of(told), told)
    await shop.redis.zincrby(shop.lane.merged_at, -FORBIDDEN_SECONDS, "a")
    await shop.sink().merge_parts("again", sum_of(told), {"m": sum_of(told)})

    assert await shop.redis.hgetall(shop.lane.merged) == {b"b": b"m", b"m": b"again"}
    assert set(await shop.redis.zrange(shop.lane.merged_at, 0, -1)) == {b"b", b"m"}
    assert 0 < await shop.redis.ttl(shop.lane.merged) <= FORBIDDEN_SECONDS


async def test_merged_part_that_is_given_up_leaves_its_parts_as_they_were(shop: Shop):
    """A record of either that comes late changes nothing."""
    told = await committed(shop)
    before, epoch = await all_of(shop), await shop.sink().epoch()
    await shop.sink().merge_parts("m", sum_of(told), told)

    for _ in range(2):
        await shop.sink().unmerge_parts("m", told)

    assert await shop.sink().epoch() != epoch
    assert not await shop.sink().merge_parts("m", sum_of(told), told)
    books, records = await all_of(shop)
    assert (books, records) == (before[0] | {shop.lane.epoch: ANY}, before[1])
    assert not await shop.redis.exists(shop.lane.merged, shop.lane.merged_at)
    await shop.check_books()


async def test_merged_part_that_was_forgotten_is_given_up_and_nothing_recorded(shop: Shop):
    told = await committed(shop)
    await shop.redis.delete(shop.lane.parts)

    await shop.sink().unmerge_parts("m", told)

    assert await shop.sink().records() == {}
    assert not await shop.sink().merge_parts("m", b"{}", {})


async def test_merged_part_is_given_up_on_a_full_server(shop: Shop):
    told = await committed(shop)
    await shop.sink().merge_parts("m", sum_of(told), told)

    async with full(shop):
        await shop.sink().unmerge_parts("m", told)

    assert await shop.sink().records() == told


async def test_merged_part_that_others_gave_up_is_not_recorded(shop: Shop):
    """Who merged died, and what he had asked comes late."""
    told = await committed(shop)
    await shop.sink().forbid("m")

    assert not await shop.sink().merge_parts("m", sum_of(told), told)
    assert await shop.sink().records() == told


async def test_merge_whose_answer_was_lost_may_be_repeated(
    shop: Shop, far_shop: Shop, lossy: LossyWire
):
    told = await committed(shop)
    sink = far_shop.sink()
    await sink.merge_parts("x", b"{}", {})
    await lose(lossy, "EVALSHA", lambda: sink.merge_parts("m", sum_of(told), told))

    assert await sink.merge_parts("m", sum_of(told), told)


async def test_parts_are_merged_on_a_full_server(shop: Shop):
    """It has less to remember then."""
    told = await committed(shop)

    async with full(shop):
        assert await shop.sink().merge_parts("m", sum_of(told), told)

    assert await shop.sink().records() == {"m": sum_of(told)}


async def test_merged_part_that_was_forgotten_is_recorded_instead_of_the_others(shop: Shop):
    """Of these Redis remembers one."""
    told = await committed(shop)
    await shop.sink().merge_parts("m", sum_of(told), told)
    epoch, before = await shop.sink().epoch(), await books(shop)
    await shop.redis.delete(shop.lane.parts, shop.lane.merged)
    await shop.redis.hset(shop.lane.parts, "b", told["b"])
    await shop.redis.hincrby(shop.lane.shards, "0:planned", -2)
    await shop.redis.hincrby(shop.lane.shards, "0:captioned", -2)
    await shop.redis.hincrby(shop.lane.contributors, ":captions", -2)

    assert await shop.sink().record_part("m", sum_of(told), told)

    assert await shop.sink().records() == {"m": sum_of(told)}
    assert await books(shop) == before | {shop.lane.epoch: ANY}
    assert await shop.sink().epoch() != epoch


async def test_part_that_was_recorded_beside_the_merged_one_is_taken_off(shop: Shop):
    told = await committed(shop)
    await shop.sink().merge_parts("m", sum_of(told), told)
    before = await books(shop)
    await shop.redis.delete(shop.lane.merged)
    await shop.sink().record_part("a", told["a"])

    assert not await shop.sink().record_part("m", sum_of(told), told)

    assert await shop.sink().records() == {"m": sum_of(told)}
    assert await books(shop) == before | {shop.lane.epoch: ANY}
