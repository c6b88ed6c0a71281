"""Inspect: the job at a glance, right, and at a price that does not grow with the job."""

import asyncio
import time

import msgspec
import pytest

from caption_flow.model import Counts, Credit
from caption_flow.queue import inspect, reasons
from caption_flow.queue.inspect import RedisInspector
from caption_flow.queue.ports import Snapshot
from caption_flow.sink.records import record
from tests.queue.shop import Shop, done, entries_of, failed, recorded

STAGES = msgspec.json.encode({"stages": [{"name": "look"}, {"name": "tell"}]})

# None of them reads more when there are more samples.
CHEAP = {"hmget", "hgetall", "smembers", "xlen", "xpending"}
CHEAP |= {"time", "lrange", "exists", "xinfo|stream", "xrevrange", "xrange"}  # of a few entries


def standing(snapshot: Snapshot) -> dict[str, tuple[int, int]]:
    """What waits and what is held, by stream."""
    return {stream.name: (stream.waiting, stream.held) for stream in snapshot.streams}


async def test_job_that_is_empty(shop: Shop):
    snapshot = await shop.inspector.snapshot()

    assert snapshot.counts == Counts()
    assert standing(snapshot) == {"chunks": (0, 0), "captions": (0, 0)}


async def test_job_in_full_flow(two_stages: Shop):
    shop = two_stages
    await shop.caption(5)
    await shop.offer(4)
    await shop.plan(1, 1, 1)
    feeder, worker, sink = shop.feeder(), await shop.worker(), shop.sink()
    await feeder.publish(STAGES, "data")
    await feeder.claim_chunk()
    await sink.commit("part", b"{}", entries_of(await sink.read(1)))
    await sink.read(2)
    await worker.complete(done(await worker.claim(2)))
    held = await worker.claim(3)
    await worker.fail(failed(held[:1]))

    snapshot = await shop.inspector.snapshot()

    assert standing(snapshot) == {
        "chunks": (2, 1),
        "samples:look": (1, 1),
        "samples:tell": (0, 1),
        "captions": (2, 2),
    }
    counts = snapshot.counts
    assert (counts.planned, counts.offered, counts.completed) == (12, 9, 5)
    assert (counts.captioned, counts.dead, counts.in_flight) == (1, 1, 7)
    await shop.check_books()


async def test_what_waits_in_a_stage_that_the_job_has_no_more_is_seen(two_stages: Shop):
    shop = two_stages
    await shop.feeder().publish(STAGES, "data")
    await shop.offer(4)
    other = msgspec.json.encode({"stages": [{"name": "tell"}]})
    await shop.job.reload(other, ["tell"], instead_of=1, by="me")

    snapshot = await shop.inspector.snapshot()

    assert standing(snapshot)["samples:tell"] == (0, 0)
    assert standing(snapshot)["samples:look"] == (4, 0)


async def test_what_was_handed_back_waits(two_stages: Shop):
    await two_stages.feeder().publish(STAGES, "data")
    await two_stages.offer(3)
    worker = await two_stages.worker()
    leases = await worker.claim(3)
    await worker.release(leases[:2])

    snapshot = await two_stages.inspector.snapshot()

    assert standing(snapshot)["samples:look"] == (2, 1)


async def test_snapshot_reads_nothing_that_grows(two_stages: Shop):
    await two_stages.feeder().publish(STAGES, "data")
    await two_stages.caption(50)
    await two_stages.redis.config_resetstat()
    await two_stages.inspector.snapshot()

    told = await two_stages.redis.info("commandstats")
    used = {name.removeprefix("cmdstat_") for name in told}
    assert used - {"info", "config|resetstat"} <= CHEAP
    assert sum(told[f"cmdstat_{name}"]["calls"] for name in CHEAP if f"cmdstat_{name}" in told) < 30


async def cost(shop: Shop, inspector: RedisInspector) -> tuple[int, int]:
    """Take one snapshot; answers commands that it took, and bytes that Redis answered."""
    before = await shop.redis.info()
    await inspector.snapshot()
    after = await shop.redis.info()
    names = ("total_commands_processed", "total_net_output_bytes")
    commands, answered = (int(after[name]) - int(before[name]) for name in names)
    return commands, answered


async def grow(shop: Shop, name: str, parts: int) -> None:
    """Let a shard come by that leaves samples in its stage, captions, dead letters and parts."""
    await shop.caption(2 * parts, shard=name)
    await shop.give_up(2 * parts, shard=name)
    await shop.offer(2 * parts, shard=name)
    sink = shop.sink()
    for number in range(parts):
        captions = await sink.read(1)
        await sink.commit(f"{name} {number}", recorded(captions), entries_of(captions))


async def test_snapshot_costs_no_more_for_a_large_job(shop: Shop):
    inspector = shop.inspector
    await shop.feeder().publish(b'{"stages": [{"name": "caption"}]}', "data")
    await grow(shop, "first", 1)
    await inspector.snapshot()
    commands, answered = await cost(shop, inspector)
    for number in range(12):
        await grow(shop, f"later{number}", 20)
    await shop.plan(*[2] * 100)
    await inspector.snapshot()  # in which the letters that are new are read, once
    later_commands, later_answered = await cost(shop, inspector)

    assert later_commands == commands
    # Numbers have more digits, and there is a chunk now.
    assert later_answered - answered < 1000


async def test_first_snapshot_costs_no_more_for_many_dead_letters(shop: Shop):
    """As of each `status`, and of each monitor that begins to look."""
    await shop.give_up(reasons.MOST, "corrupt")
    commands, answered = await cost(shop, shop.inspector)
    for _ in range(3):
        await shop.give_up(reasons.MOST, "corrupt")
    later_commands, later_answered = await cost(shop, shop.inspector)

    assert later_commands == commands < 30
    assert later_answered - answered < 10 * reasons.MOST  # an entry has more digits
    assert answered < 1000 * reasons.MOST


async def test_first_of_many_contributors_are_named(shop: Shop, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(inspect, "MOST_RANKED", 2)
    made = {name: Credit(captions) for name, captions in (("a", 1), ("b", 3), ("c", 2), ("", 9))}
    await shop.sink().record_part("part", record(15, made))

    snapshot = await shop.inspector.snapshot()

    board = snapshot.leaderboard
    assert snapshot.unranked == 1
    assert [(line.kind, line.name) for line in board] == [
        ("contributor", "b"),
        ("contributor", "c"),
        ("own", ""),
    ]


async def test_many_contributors_are_not_read_for_each_look(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(inspect, "MANY", 2)
    inspector = shop.inspector

    async def read(*names: str) -> bool:
        """Whether a look at so many reads them, and the next look again."""
        made = {name: Credit(1) for name in names}
        await shop.sink().record_part(f"part of {names}", record(len(names), made))
        await inspector.snapshot()
        _, answered = await cost(shop, inspector)
        await shop.redis.hset(shop.lane.contributors, "x" * 10_000 + ":captions", 1)
        _, later = await cost(shop, inspector)
        await shop.redis.hdel(shop.lane.contributors, "x" * 10_000 + ":captions")
        return later - answered > 10_000

    assert await read("a")
    assert not await read("a", "b", "c")


async def test_stream_tells_when_its_oldest_entry_came(shop: Shop):
    before = time.time()
    await shop.feeder().publish(STAGES, "data")
    await shop.plan(1)
    await asyncio.sleep(0.01)
    await shop.plan(1)

    chunks = (await shop.inspector.snapshot()).streams[0]

    assert chunks.name == "chunks"
    assert chunks.oldest is not None
    assert before - 0.01 <= chunks.oldest < time.time() - 0.01
