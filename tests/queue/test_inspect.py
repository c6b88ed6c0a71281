"""Inspect: the job at a glance, right, and at a price that does not grow with the job."""

import asyncio
import time
from types import SimpleNamespace
from unittest.mock import AsyncMock

import msgspec
import pytest
from msgspec.structs import replace

from caption_flow.errors import QueueUnreachable
from caption_flow.model import Counts, Credit
from caption_flow.queue import inspect, job, reasons
from caption_flow.queue.inspect import RedisInspector
from caption_flow.queue.job import GONE_SECONDS, RedisJob
from caption_flow.queue.ports import LetterFilter, Member, Snapshot
from caption_flow.sink.recovery import record
from tests.queue.shop import Shop, done, entries_of, failed, recorded

STAGES = msgspec.json.encode({"stages": [{"name": "look"}, {"name": "tell"}]})

# None of them reads more when there are more samples.
CHEAP = {"hmget", "hgetall", "smembers", "xlen", "xpending"}
CHEAP |= {"time", "lrange", "exists", "xinfo|stream", "xrevrange", "xrange"}  # of a few entries


def standing(snapshot: Snapshot) -> dict[str, tuple[int, int]]:
    """What waits and what is held, by stream."""
    return {stream.name: (stream.waiting, stream.held) for stream in snapshot.streams}


def member(name: str, seen: float) -> Member:
    return Member("worker", name, "host", 1, seen, seen, "working")


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


async def test_live_members_are_listed(shop: Shop):
    now = time.time()
    await shop.job.beat(member("old", now - GONE_SECONDS - 1))
    await shop.job.beat(member("live", now - 1))
    await shop.job.beat(member("live", now))

    assert (await shop.inspector.snapshot()).members == (member("live", now),)
    assert list(await shop.job.members()) == ["worker:live"]


async def test_member_that_was_killed_long_ago_is_taken_off_by_the_next(shop: Shop):
    """Each process has a name of its own, so what was killed would stay for ever."""
    now = time.time()
    await shop.job.beat(member("killed", now - GONE_SECONDS - 1))
    await shop.job.beat(member("silent", now - GONE_SECONDS + 60))
    await shop.feeder().beat(member("next", now))

    known = await shop.redis.hkeys(shop.job.keys.members)
    assert sorted(known) == [b"worker:next", b"worker:silent"]


class OtherClock:
    """The time on a host whose clock is off, in place of the module."""

    monotonic = staticmethod(time.monotonic)

    def __init__(self, ahead: float) -> None:
        self._ahead = ahead

    def time(self) -> float:
        return time.time() + self._ahead


@pytest.mark.parametrize("ahead", [-25.0, 3600.0, -3600.0])
async def test_member_whose_clock_is_off_is_seen_by_that_of_the_server(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, ahead: float
):
    now = time.time()
    with monkeypatch.context() as there:
        there.setattr(job, "time", OtherClock(ahead))
        await shop.job.beat(member("other", now + ahead))
        await shop.job.beat(replace(member("other", now + ahead), figures={"clock_ahead": 7.0}))

    [seen] = (await shop.inspector.snapshot()).members
    assert (seen.seen, seen.started) == pytest.approx((now, now), abs=1)
    assert seen.figures == {"clock_ahead": pytest.approx(ahead, abs=1)}


async def test_member_whose_clock_is_right_is_not_told_to_be_ahead(shop: Shop):
    await shop.job.beat(replace(member("liar", time.time()), figures={"clock_ahead": 600.0}))

    [seen] = (await shop.inspector.snapshot()).members
    assert seen.figures == {}


async def test_reader_whose_clock_is_off_takes_nobody_for_gone(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
):
    now = time.time()
    await shop.job.beat(member("right", now))
    monkeypatch.setattr(job, "time", OtherClock(7200.0))
    await shop.feeder().beat(member("other", now + 7200))

    found = (await shop.inspector.snapshot()).members
    assert sorted(one.name for one in found) == ["other", "right"]


async def test_clock_is_not_taken_for_off_for_an_answer_that_took_long(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
):
    now = time.time()
    slow = SimpleNamespace(monotonic=time.monotonic, time=iter((now - 60, now + 60, now)).__next__)
    monkeypatch.setattr(job, "time", slow)
    await shop.job.beat(member("slow", now))

    assert (await shop.inspector.snapshot()).members == (member("slow", now),)


async def test_member_that_said_goodbye_is_gone(shop: Shop):
    here = member("here", time.time())
    await shop.job.beat(here)
    await shop.job.leave(here)

    assert (await shop.inspector.snapshot()).members == ()


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


async def test_books_are_noted_with_the_first_word_of_a_process(shop: Shop):
    await shop.caption(3)
    await shop.job.beat(member("one", time.time()))
    await shop.caption(2)
    await shop.job.beat(member("one", time.time()))

    [noted] = (await shop.inspector.snapshot()).history
    assert (noted.completed, noted.dead, noted.output_tokens) == (3, 0, 9)
    assert abs(noted.at - time.time()) < 5


async def test_books_are_noted_by_one_process_of_several(shop: Shop):
    """However many there are, notes are as far apart as those of one."""
    await shop.job.beat(member("one", time.time()))
    await RedisJob(shop.job.connections, shop.job.job).beat(member("two", time.time()))

    assert len((await shop.inspector.snapshot()).history) == 1


async def test_notes_of_more_than_an_hour_are_let_go(shop: Shop, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(job, "NOTE_SECONDS", 0.0)
    monkeypatch.setattr(job, "NOTES", 3)
    for _ in range(5):
        await shop.caption(1)
        await shop.job.beat(member("one", time.time()))

    history = (await shop.inspector.snapshot()).history
    assert [moment.completed for moment in history] == [3, 4, 5]
    assert list(history) == sorted(history, key=lambda moment: moment.at)


async def test_dead_letters_are_counted_by_reason(shop: Shop):
    inspector = shop.inspector
    assert (await inspector.snapshot()).reasons == {}
    await shop.give_up(3, "corrupt")
    await shop.give_up(1, "refused")
    assert (await inspector.snapshot()).reasons == {"corrupt": 3, "refused": 1}
    await shop.give_up(2, "refused")

    assert (await inspector.snapshot()).reasons == {"corrupt": 3, "refused": 3}


async def test_letters_that_are_taken_off_do_not_count(shop: Shop):
    inspector = shop.inspector
    await shop.give_up(3, "corrupt")
    await inspector.snapshot()
    [letters] = [batch async for batch in shop.dead.letters(LetterFilter())]
    await shop.dead.drop(letters[:2])

    assert (await inspector.snapshot()).reasons == {"corrupt": 1}


async def test_while_letters_are_taken_off_they_are_not_read_at_each_look(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
):
    inspector = shop.inspector
    letters = await shop.give_up(5, "corrupt")
    found = []
    for letter in letters[:3]:
        await shop.dead.drop([letter])
        found.append((await inspector.snapshot()).reasons["corrupt"])
    assert found == [4, 4, 4]
    await shop.give_up(1, "refused")
    assert (await inspector.snapshot()).reasons == {"corrupt": 4, "refused": 1}

    monkeypatch.setattr(reasons.time, "monotonic", lambda: 1e12)

    assert (await inspector.snapshot()).reasons == {"corrupt": 2, "refused": 1}


async def test_look_that_broke_off_counts_no_letter_twice(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(reasons, "PAGE", 2)
    inspector = shop.inspector
    await shop.give_up(5, "corrupt")
    first = await inspector.client.xrevrange(inspector.lane.dead, count=2)
    looks = AsyncMock(side_effect=[first, QueueUnreachable("away")])
    with monkeypatch.context() as broken:
        broken.setattr(inspector.client, "xrevrange", looks)
        with pytest.raises(QueueUnreachable):
            await inspector.snapshot()

    assert (await inspector.snapshot()).reasons == {"corrupt": 5}


async def test_letters_of_a_server_that_was_emptied_do_not_count(shop: Shop):
    inspector = shop.inspector
    await shop.give_up(3, "corrupt")
    await inspector.snapshot()
    await shop.redis.flushall()
    await shop.give_up(1, "refused")

    assert (await inspector.snapshot()).reasons == {"refused": 1}


async def test_letters_are_read_once(shop: Shop, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(reasons, "PAGE", 20)
    inspector = shop.inspector
    await shop.give_up(50, "corrupt")
    await inspector.snapshot()
    await shop.redis.config_resetstat()
    await inspector.snapshot()

    told = await shop.redis.info("commandstats")
    assert told["cmdstat_xrevrange"]["calls"] == 1
    assert (await inspector.snapshot()).reasons == {"corrupt": 50}


async def test_of_many_letters_the_newest_are_read(shop: Shop, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(reasons, "PAGE", 2)
    monkeypatch.setattr(reasons, "MOST", 4)
    await shop.give_up(3, "corrupt")
    await shop.give_up(3, "refused")

    assert (await shop.inspector.snapshot()).reasons == {"refused": 3, "corrupt": 1}
