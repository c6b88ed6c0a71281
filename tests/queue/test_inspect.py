"""Inspect: the job at a glance, right, and at a price that does not grow with the job."""

import time

import msgspec

from caption_flow.model import Counts
from caption_flow.queue.job import GONE_SECONDS
from caption_flow.queue.ports import Member
from tests.queue.shop import Shop, done, entries_of, failed

STAGES = msgspec.json.encode({"stages": [{"name": "look"}, {"name": "tell"}]})

# None of them reads more when there are more samples.
CHEAP = {"hmget", "hgetall", "smembers", "xlen", "xpending"}


def member(name: str, seen: float) -> Member:
    return Member("worker", name, "host", 1, seen, seen, "working")


async def test_job_that_is_empty(shop: Shop):
    snapshot = await shop.inspector.snapshot()

    assert snapshot.counts == Counts()
    assert snapshot.waiting == {"chunks": 0, "captions": 0}
    assert snapshot.held == {"chunks": 0, "captions": 0}


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

    assert snapshot.waiting == {"chunks": 2, "samples:look": 1, "samples:tell": 0, "captions": 2}
    assert snapshot.held == {"chunks": 1, "samples:look": 1, "samples:tell": 1, "captions": 2}
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

    assert (snapshot.waiting["samples:tell"], snapshot.waiting["samples:look"]) == (0, 4)


async def test_what_was_handed_back_waits(two_stages: Shop):
    await two_stages.feeder().publish(STAGES, "data")
    await two_stages.offer(3)
    worker = await two_stages.worker()
    leases = await worker.claim(3)
    await worker.release(leases[:2])

    snapshot = await two_stages.inspector.snapshot()

    assert (snapshot.waiting["samples:look"], snapshot.held["samples:look"]) == (2, 1)


async def test_snapshot_reads_nothing_that_grows(two_stages: Shop):
    await two_stages.feeder().publish(STAGES, "data")
    await two_stages.caption(50)
    await two_stages.redis.config_resetstat()
    await two_stages.inspector.snapshot()

    told = await two_stages.redis.info("commandstats")
    used = {name.removeprefix("cmdstat_") for name in told}
    assert used - {"info", "config|resetstat"} <= CHEAP
    assert sum(told[f"cmdstat_{name}"]["calls"] for name in CHEAP if f"cmdstat_{name}" in told) < 16


async def test_live_members_are_listed(shop: Shop):
    now = time.time()
    await shop.job.beat(member("old", now - GONE_SECONDS - 1))
    await shop.job.beat(member("live", now - 1))
    await shop.job.beat(member("live", now))

    assert (await shop.inspector.snapshot()).members == (member("live", now),)


async def test_member_that_was_killed_long_ago_is_taken_off_by_the_next(shop: Shop):
    """Each process has a name of its own, so what was killed would stay for ever."""
    now = time.time()
    await shop.job.beat(member("killed", now - GONE_SECONDS - 1))
    await shop.job.beat(member("silent", now - GONE_SECONDS + 60))
    await shop.feeder().beat(member("next", now))

    known = await shop.redis.hkeys(shop.job.keys.members)
    assert sorted(known) == [b"worker:next", b"worker:silent"]


async def test_member_that_said_goodbye_is_gone(shop: Shop):
    here = member("here", time.time())
    await shop.job.beat(here)
    await shop.job.leave(here)

    assert (await shop.inspector.snapshot()).members == ()
