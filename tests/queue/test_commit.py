"""Commit: the rows of a part leave the queue all together, once, or not at all."""

import asyncio

import pytest

from caption_flow.errors import QueueForgot
from caption_flow.model import Credit
from caption_flow.queue.audit import RedisAuditQueue
from caption_flow.queue.connect import connect
from caption_flow.queue.contributors import RedisContributors
from tests.queue.shop import Shop, entries_of, ids_of
from tests.redis_server import RedisServer

FIRST = b'{"rows":3,"tally":{"ada":[2,14,6],"":[1,7,3]}}'
SECOND = b'{"rows":1,"tally":{"bob":[1,7,3],"eve":[1,0,0]}}'


async def test_committed_part_is_recorded_and_its_entries_are_gone(shop: Shop):
    await shop.caption(3)
    sink = shop.sink()
    entries = entries_of(await sink.read(3))

    assert await sink.commit("part", b'{"rows":3}', entries) == []

    assert await shop.redis.hgetall(shop.lane.parts) == {b"part": b'{"rows":3}'}
    assert await shop.redis.xlen(shop.lane.captions) == 0
    assert (await shop.job.counts()).captioned == 3
    await shop.check_books()


async def test_repeated_commit_loses_nothing_and_changes_nothing(shop: Shop):
    await shop.caption(3)
    sink = shop.sink()
    entries = entries_of(await sink.read(3))
    await sink.commit("part", b"{}", entries)
    before = await shop.dump()

    assert await sink.commit("part", b"{}", entries) == []
    assert await shop.dump() == before


async def test_commits_at_once_count_once(shop: Shop):
    await shop.caption(4)
    sink = shop.sink()
    entries = entries_of(await sink.read(4))

    await asyncio.gather(*(sink.commit("part", b"{}", entries) for _ in range(5)))

    assert (await shop.job.counts()).captioned == 4


async def test_entries_lost_to_another_sink_are_named_and_nothing_happens(shop: Shop):
    await shop.caption(4)
    sink, other = shop.sink("first"), shop.sink("other")
    entries = entries_of(await sink.read(4))
    await shop.expire(shop.lane.captions)
    stolen = entries_of(await other.read(2))
    before = await shop.dump()

    assert await sink.commit("part", b"{}", entries) == stolen
    assert await shop.dump() == before
    assert len(await shop.pending(shop.lane.captions, "sinks")) == 4


async def test_what_is_left_after_losses_can_be_committed(shop: Shop):
    await shop.caption(4)
    sink, other = shop.sink("first"), shop.sink("other")
    entries = entries_of(await sink.read(4))
    await shop.expire(shop.lane.captions)
    stolen = entries_of(await other.read(2))
    lost = await sink.commit("part", b"{}", entries)

    assert await sink.commit("part", b"{}", [e for e in entries if e not in lost]) == []
    assert await other.commit("other", b"{}", stolen) == []
    await shop.check_books()


async def test_entry_named_twice_counts_once(shop: Shop):
    await shop.caption(1)
    sink = shop.sink()
    [entry] = entries_of(await sink.read(1))
    await sink.commit("part", b"{}", [entry, entry])

    assert (await shop.job.counts()).captioned == 1


async def test_ten_thousand_entries_go_in_one_commit(shop: Shop):
    """More than Lua's stack holds."""
    pipe = shop.redis.pipeline(transaction=False)
    [sample] = await shop.caption(1)
    [fields] = (await shop.entries(shop.lane.captions)).values()
    for _ in range(9_999):
        pipe.xadd(shop.lane.captions, fields)
    await pipe.execute()
    sink = shop.sink()
    captions = [caption for _ in range(20) for caption in await sink.read(500)]
    assert set(ids_of(captions)) == {sample.id}

    assert await sink.commit("part", b"{}", entries_of(captions)) == []

    assert await shop.redis.xlen(shop.lane.captions) == 0
    assert (await shop.job.counts()).captioned == 10_000


async def test_discarded_captions_are_counted_and_gone_without_a_part(shop: Shop):
    await shop.caption(2)
    sink = shop.sink()
    entries = entries_of(await sink.read(2))

    assert await sink.discard(entries) == []

    assert await shop.job.parts() == set()
    assert (await shop.job.counts()).captioned == 2
    await shop.check_books()


async def test_losses_among_the_discarded_do_not_keep_the_others(shop: Shop):
    await shop.caption(3)
    sink, other = shop.sink("first"), shop.sink("other")
    entries = entries_of(await sink.read(3))
    await shop.expire(shop.lane.captions)
    stolen = entries_of(await other.read(1))

    assert await sink.discard(entries) == stolen
    assert entries_of(await shop.sink("third").read(3)) == []
    assert list(await shop.entries(shop.lane.captions)) == stolen


async def test_forgotten_part_is_recorded_once(shop: Shop):
    sink = shop.sink()
    await sink.record_part("part", FIRST)
    await sink.record_part("part", SECOND)

    assert await shop.redis.hgetall(shop.lane.parts) == {b"part": FIRST}
    assert await sink.parts() == {"part"}


async def credits_of(shop: Shop) -> dict[str, Credit]:
    listed = await RedisContributors(shop.job.connections, shop.job.job).contributors()
    return {one.name: one.credit for one in listed if one.credit != Credit()}


async def test_contributors_have_what_the_record_of_a_part_says(shop: Shop):
    await shop.caption(3)
    sink = shop.sink()
    entries = entries_of(await sink.read(3))

    for _ in range(2):
        await sink.commit("part", FIRST, entries)

    assert await credits_of(shop) == {"ada": Credit(2, 14, 6), "": Credit(1, 7, 3)}


async def test_contributors_have_what_is_in_a_forgotten_part_once(shop: Shop):
    sink = shop.sink()
    await sink.record_part("part", SECOND)
    await sink.record_part("part", FIRST)
    await sink.record_part("other", FIRST)

    assert await credits_of(shop) == {
        "ada": Credit(2, 14, 6),
        "bob": Credit(1, 7, 3),
        "eve": Credit(1, 0, 0),
        "": Credit(1, 7, 3),
    }


async def test_contributors_lose_what_was_in_a_part_that_is_gone(shop: Shop):
    sink = shop.sink()
    audit = RedisAuditQueue(shop.job, stages=shop.stages, lease_seconds=1.0)
    await sink.record_part("part", FIRST)
    await sink.record_part("other", SECOND)

    for _ in range(2):
        await audit.forget_part("other")

    assert await credits_of(shop) == {"ada": Credit(2, 14, 6), "": Credit(1, 7, 3)}


async def test_captions_that_are_discarded_are_nobodys(shop: Shop):
    await shop.caption(2)
    sink = shop.sink()

    await sink.discard(entries_of(await sink.read(2)))

    assert await credits_of(shop) == {}


async def test_epoch_ends_when_a_forgotten_part_is_recorded(shop: Shop):
    """Its samples may be on their way to any sink."""
    sink = shop.sink()
    before = await sink.epoch()
    await sink.record_part("part", FIRST)
    after = await sink.epoch()
    await sink.record_part("part", SECOND)

    assert before != after == await sink.epoch()


async def test_forbidden_part_is_not_recorded_and_its_entries_stay(shop: Shop):
    """Whoever deletes its file forbids it first, since a commit may still be on its way."""
    await shop.caption(2)
    sink = shop.sink()
    entries = entries_of(await sink.read(2))
    assert await shop.sink("other").forbid("part")

    assert await sink.commit("part", b"{}", entries) == entries

    assert await sink.records() == {}
    assert len(await shop.pending(shop.lane.captions, "sinks")) == 2
    await shop.check_books()


async def test_recorded_part_cannot_be_forbidden(shop: Shop):
    await shop.caption(1)
    sink = shop.sink()
    await sink.commit("part", b"{}", entries_of(await sink.read(1)))

    assert not await shop.sink("other").forbid("part")
    assert await sink.records() == {"part": b"{}"}


async def test_epoch_is_the_same_for_all_until_the_server_is_emptied_or_started_again(
    own_server: RedisServer,
):
    async with connect(own_server.url, role="test") as connections:
        shop = Shop(connections)
        epochs = [await shop.sink().epoch(), await shop.sink("other").epoch()]
        own_server.cli("FLUSHALL")
        epochs.append(await shop.sink().epoch())
        own_server.restart()
        await connections.commands.connection_pool.disconnect()
        epochs.append(await shop.sink().epoch())

    first, same, emptied, restarted = epochs
    assert first == same
    assert len({first, emptied, restarted}) == 3


async def test_commit_in_another_epoch_is_refused(shop: Shop):
    """What stood in no part then may have come a second time since."""
    await shop.caption(2)
    sink = shop.sink()
    entries, epoch = entries_of(await sink.read(2)), await sink.epoch()
    await shop.redis.delete(shop.lane.epoch)
    await shop.sink("other").epoch()

    with pytest.raises(QueueForgot):
        await sink.commit("part", b"{}", entries, epoch=epoch)

    assert await sink.records() == {}
    assert await sink.commit("part", b"{}", entries, epoch=await sink.epoch()) == []


async def test_first_proposal_of_a_schema_holds_for_all(shop: Shop):
    proposals = [b"one", b"two", b"three"]

    agreed = await asyncio.gather(*(shop.sink(str(p)).agree(p) for p in proposals))

    assert len(set(agreed)) == 1
    assert agreed[0] in proposals
