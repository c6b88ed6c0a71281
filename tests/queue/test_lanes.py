"""Lanes: a job over several of them is one job, and one may forget while the others do not."""

import pytest

from caption_flow.errors import CaptionFlowError
from caption_flow.model import Credit
from caption_flow.queue import inspect
from caption_flow.queue.connect import Connections
from caption_flow.queue.inspect import RedisInspector
from caption_flow.queue.keys import WORKERS
from caption_flow.queue.lanes.entries import bare, lane_of
from caption_flow.queue.ports import LetterFilter, Snapshot
from caption_flow.sink.records import record
from tests.queue.laned_shop import LANES, LanedShop
from tests.queue.shop import PLENTY, chunk_of, done, failure_of, offers_of, recorded

COUNT = 2  # samples in a chunk


@pytest.fixture(autouse=True)
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits long for anything."""
    monkeypatch.setattr("caption_flow.queue.lanes.feed.BLOCK_MS", 0)
    monkeypatch.setattr("caption_flow.queue.lanes.work.WAIT_SECONDS", 0.0)
    monkeypatch.setattr("caption_flow.queue.consumer.BLOCK_MS", None)


@pytest.fixture
def shop(connections: Connections) -> LanedShop:
    """A job with one stage."""
    return LanedShop(connections)


async def plan(shop: LanedShop, count: int = 2 * LANES, *, end: bool = True) -> None:
    """Begin a plan, add chunks, and end it."""
    feeder = shop.feeder()
    assert (await feeder.plan("", "0", None, backlog=99, done=False)).status == "ok"
    for number in range(count):
        chunk = chunk_of(f"{number}", COUNT)
        planned = await feeder.plan(f"{number}", f"{number + 1}", chunk, backlog=99, done=False)
        assert planned.status == "ok"
    if end:
        await feeder.plan(f"{count}", "end", None, backlog=99, done=True)


async def feed(shop: LanedShop) -> int:
    """Offer all that is planned; answers the samples."""
    feeder, count = shop.feeder("first feeder"), 0
    while lease := await feeder.claim_chunk():
        offers = offers_of(lease.chunk)
        assert (await feeder.offer(lease, offers, PLENTY)).status == "ok"
        count += len(offers)
    return count


async def caption(shop: LanedShop) -> int:
    """Caption all that is offered; answers the samples."""
    worker, count = await shop.worker(), 0
    while leases := await worker.claim(100):
        assert all(await worker.complete(done(leases)))
        count += len(leases)
    return count


async def test_chunks_fill_all_lanes_alike(shop: LanedShop):
    await plan(shop)

    planned = [(await lane.counts()).planned for lane in shop.whole.lanes]

    assert planned == [2 * COUNT] * LANES
    assert (await shop.whole.counts()).planned == 2 * COUNT * LANES


async def test_job_is_done_when_all_lanes_are(shop: LanedShop):
    await plan(shop)
    total = await feed(shop)
    await caption(shop)
    await shop.check_books()
    for lane in range(LANES):
        assert not (await shop.whole.counts()).done
        sink = shop.lane_sink(lane)
        captions = await sink.read(100)
        assert (await sink.counts()).captions_done
        entries = [one.entry for one in captions]
        epoch = await sink.epoch()
        assert await sink.commit(f"part-{lane}", recorded(captions), entries, epoch=epoch) == []

    counts = await shop.whole.counts()

    assert counts.done
    assert counts.captioned == total
    assert set(await shop.lane_sink(0).records()) == {"part-0", "part-1", "part-2"}


async def test_leases_of_all_lanes_have_their_own_images(shop: LanedShop):
    await plan(shop)
    await feed(shop)
    worker = await shop.worker()
    leases = await worker.claim(100)

    images = await worker.images(leases)

    assert {lane_of(lease.entry) for lease in leases} == set(range(LANES))
    assert [images[one.entry].decode() for one in leases] == [
        f"pixels of {one.sample.id}" for one in leases
    ]


async def test_claims_take_turns_among_the_lanes(shop: LanedShop):
    await plan(shop)
    await feed(shop)
    worker = await shop.worker()

    lanes = [lane_of(lease.entry) for _ in range(LANES) for lease in await worker.claim(1)]

    assert sorted(lanes) == list(range(LANES))


async def test_renewal_names_the_leases_that_were_lost(shop: LanedShop):
    await plan(shop)
    await feed(shop)
    worker = await shop.worker()
    leases = await worker.claim(100)
    await shop.flush(1)

    async with worker.renewals() as renew:
        lost = await renew(leases)

    assert lost == [lease for lease in leases if lane_of(lease.entry) == 1]


async def test_lane_that_fails_keeps_no_samples_of_the_others(shop: LanedShop):
    await plan(shop)
    await feed(shop)
    broken = shop.whole.lanes[1].lane.samples(shop.stages[0])
    await shop.redis.set(broken, "no stream")
    worker = await shop.worker()

    found = [*await worker.claim(100), *await worker.claim(100)]

    assert {lane_of(lease.entry) for lease in found} == {0, 2}
    with pytest.raises(CaptionFlowError):
        await worker.claim(100)


async def test_lane_that_fails_lets_the_leases_of_others_be_renewed(shop: LanedShop):
    await plan(shop)
    await feed(shop)
    worker = await shop.worker()
    leases = sorted(await worker.claim(100), key=lambda lease: lane_of(lease.entry))
    streams = [one.lane.samples(shop.stages[0]) for one in shop.whole.lanes]
    await shop.redis.set(streams[0], "no stream")
    other = [bare(lease).entry for lease in leases if lane_of(lease.entry) == 1]
    await shop.redis.xclaim(streams[1], WORKERS, "worker", 0, other, idle=9_999, justid=True)

    async with worker.renewals() as renew:
        with pytest.raises(CaptionFlowError):
            await renew(leases)

    held = await shop.redis.xpending_range(streams[1], WORKERS, "-", "+", 10)
    assert {one["time_since_delivered"] < 9_999 for one in held} == {True}


@pytest.mark.parametrize("lane", range(LANES))
async def test_lane_that_forgot_lets_another_plan_begin(shop: LanedShop, lane: int):
    await plan(shop)
    await shop.flush(lane)
    assert not (await shop.whole.counts()).plan_done
    feeder = shop.feeder()

    position = await feeder.position()

    assert position.startswith("again after ")
    assert await feeder.position() == position
    assert not (await shop.whole.heads()).forgotten
    planned = await feeder.plan(position, "on", chunk_of("new", 1), backlog=99, done=True)
    assert planned.status == "ok"
    assert (await shop.whole.counts()).plan_done


async def test_planners_at_once_let_one_plan_begin(shop: LanedShop):
    await plan(shop)
    await shop.flush(2)

    positions = {await shop.feeder(f"feeder {number}").position() for number in range(3)}

    assert len(positions) == 1


async def test_job_that_all_lanes_forgot_has_no_position(shop: LanedShop):
    await plan(shop)
    for lane in range(LANES):
        await shop.flush(lane)

    assert await shop.feeder().position() == ""


async def test_plan_goes_on_where_its_planner_died_between_its_first_steps(shop: LanedShop):
    # As after the first of them.
    await shop.redis.hset(shop.job.lane.cursors, "plan", "0 0 word 0 begun")

    assert await shop.feeder().position() == "begun"
    assert (await shop.whole.heads()).is_begun


async def test_withdrawn_chunk_leaves_the_plan_in_the_step_that_moves_it(shop: LanedShop):
    await plan(shop)
    feeder = shop.feeder()
    lease = await feeder.claim_chunk()
    assert lease is not None

    assert await feeder.withdraw(lease, "end", "anew") == "ok"

    counts = await shop.whole.counts()
    assert (counts.planned, counts.plan_done) == (COUNT * (2 * LANES - 1), False)
    assert await feeder.position() == "anew"


async def test_dead_letters_are_tried_again_in_their_lanes(shop: LanedShop):
    await plan(shop)
    await feed(shop)
    worker = await shop.worker()
    leases = await worker.claim(100)
    assert all(await worker.fail([(lease, failure_of(lease, "decode")) for lease in leases]))
    dead = (await shop.whole.counts()).dead

    async for letters in shop.dead.letters(LetterFilter()):
        chunk = chunk_of(f"again {letters[0].entry}", len(letters))
        assert await shop.dead.retry(chunk, letters) == set()
        assert await shop.dead.retry(chunk, letters) == {letter.entry for letter in letters}

    counts = await shop.whole.counts()
    assert (dead, counts.dead, counts.in_chunks) == (len(leases), 0, len(leases))
    await shop.check_books()


async def test_snapshot_adds_up_what_the_lanes_say(shop: LanedShop):
    await plan(shop)
    await feed(shop)
    total = 2 * LANES * COUNT
    worker = await shop.worker()
    await worker.complete(done(await worker.claim(5)))
    await shop.feeder().publish(b'{"stages": [{"name": "caption"}]}', "data")

    snapshot = await shop.inspector.snapshot()

    waiting = {stream.name: stream.waiting for stream in snapshot.streams}
    assert waiting == {"chunks": 0, "samples:caption": total - 5, "captions": 5}
    assert snapshot.counts == await shop.whole.counts()
    [shard] = snapshot.shards
    assert (shard.planned, shard.captioned) == (total, 0)
    assert await shop.inspector.shards("", 10) == [shard]
    assert len(await shop.inspector.captions(3)) == 3


async def test_stages_may_change_between_the_looks_at_two_lanes(
    shop: LanedShop, monkeypatch: pytest.MonkeyPatch
):
    await plan(shop)
    await feed(shop)
    look = RedisInspector.snapshot

    async def look_and_change(lane: RedisInspector) -> Snapshot:
        found = await look(lane)
        await shop.feeder().publish(b'{"stages": [{"name": "caption"}]}', "data")
        return found

    monkeypatch.setattr(RedisInspector, "snapshot", look_and_change)
    snapshot = await shop.inspector.snapshot()

    assert [stream.name for stream in snapshot.streams] == ["chunks", "samples:caption", "captions"]


async def test_many_contributors_of_lanes_are_not_read_for_each_look(
    shop: LanedShop, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(inspect, "MANY", 1)
    inspector = shop.inspector
    await shop.lane_sink(0).record_part("early", record(2, {"a": Credit(1), "b": Credit(1)}))
    seen = (await inspector.snapshot()).leaderboard
    await shop.lane_sink(0).record_part("late", record(1, {"a": Credit(1)}))

    assert {line.name for line in seen} >= {"a", "b"}
    assert (await inspector.snapshot()).leaderboard == seen
    assert (await shop.inspector.snapshot()).leaderboard != seen


async def test_part_that_its_lane_forgot_is_recorded_once(shop: LanedShop):
    sinks = [shop.lane_sink(lane, f"sink {lane}") for lane in range(LANES)]

    recorded_by = [await sink.record_part("part-x", b'{"rows": 3}') for sink in sinks]

    assert recorded_by == [True, False, False]
    assert set(await sinks[2].records()) == {"part-x"}


async def test_part_that_is_forbidden_is_committed_in_no_lane(shop: LanedShop):
    await plan(shop)
    await feed(shop)
    await caption(shop)
    assert await shop.lane_sink(0).forbid("part-x")

    sink = shop.lane_sink(1)
    captions = await sink.read(100)
    entries = [one.entry for one in captions]

    assert await sink.commit("part-x", recorded(captions), entries) == entries
