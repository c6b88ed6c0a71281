"""Feeder: chunks become samples, each once, within the budget, through whatever happens."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from caption_flow.codec import records
from caption_flow.errors import SourceError
from caption_flow.feed import look as looking
from caption_flow.feed.position import Position
from caption_flow.keeper import Renew
from caption_flow.lifecycle import Drain
from caption_flow.model import ChunkLease, Listed, Raw
from caption_flow.queue.connect import connect
from caption_flow.queue.feed import RedisFeedQueue
from caption_flow.queue.ports import Budget, Offered
from tests.made import (
    LEASE,
    folder_source,
    jpeg,
    pictures,
)
from tests.redis_server import RedisServer
from tests.roles import (
    Roles,
    ends,
    kill,
    running,
    until,
)
from tests.worker.engines import CountingEngine


def names(count: int) -> list[str]:
    return [f"{n:05}.jpg" for n in range(count)]


@pytest.fixture
def small_offers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two samples an offer, so that a chunk takes several."""
    monkeypatch.setattr(looking, "OFFER_SAMPLES", 2)


class Pausing:
    """A source that stops in the middle of a chunk until it is let go on."""

    def __init__(self, root: Path, after: int) -> None:
        self._source = folder_source(root)
        self.dataset = self._source.dataset
        self.fingerprint = self._source.fingerprint
        self.size = self._source.size
        self._after = after

    def shards(self, start: str | None = None) -> Iterator[str]:
        return self._source.shards(start)

    def names(self, shard: str, after: Listed | None) -> Iterator[Listed]:
        return self._source.names(shard, after)

    def samples(self, shard: str, asked: Sequence[Listed], fingerprint: str = "") -> Iterator[Raw]:
        yield from self._source.samples(shard, asked[: self._after], fingerprint)
        raise SourceError("The disk is gone.")


async def test_every_sample_is_offered_once(roles: Roles, tmp_path: Path):
    feeder = roles.feeder(folder_source(pictures(tmp_path / "in", range(25))))

    await ends(feeder.run())

    assert await roles.waiting() == names(25)
    size = sum(len(jpeg(number)) for number in range(25))
    counts = {"shards": 1, "samples": 25, "bytes": size, "skipped": 0, "failed": 0}
    assert counts.items() <= feeder.figures().items()


async def test_a_sample_lies_beside_its_own_image(roles: Roles, tmp_path: Path):
    await ends(roles.feeder(folder_source(pictures(tmp_path / "in", range(5)))).run())
    queue = await roles.work_queue()

    leases = await queue.claim(5)
    images = await queue.images(leases)

    assert [images[lease.entry] for lease in leases] == [
        (tmp_path / "in" / lease.sample.id).read_bytes() for lease in leases
    ]


async def test_two_feeders_offer_every_sample_once(roles: Roles, tmp_path: Path):
    source = folder_source(pictures(tmp_path / "in", range(40)))

    async with asyncio.timeout(20):
        await asyncio.gather(*(roles.feeder(source, chunk_size=3).run() for _ in range(2)))

    assert await roles.waiting() == names(40)


@pytest.mark.usefixtures("small_offers")
async def test_a_chunk_goes_on_at_its_cursor_after_its_feeder_was_killed(
    roles: Roles, tmp_path: Path
):
    root = pictures(tmp_path / "in", range(9))
    few = Budget(bytes=1 << 30, samples=4)
    async with running(roles.feeder(folder_source(root), chunk_size=9, budget=few).run()) as task:
        await until(lambda: _offered(roles, 4))
        await kill(task)
    await roles.expire_chunks()

    await ends(roles.feeder(folder_source(root), chunk_size=9).run())

    assert await roles.waiting() == names(9)


async def _offered(roles: Roles, count: int) -> bool:
    return (await roles.counts()).offered == count


@pytest.mark.usefixtures("small_offers")
async def test_a_source_that_fails_ends_the_feeder_and_nothing_is_lost(
    roles: Roles, tmp_path: Path
):
    root = pictures(tmp_path / "in", range(9))
    with pytest.raises(SourceError, match="The disk is gone"):
        await ends(roles.feeder(Pausing(root, after=5), chunk_size=9).run())
    await roles.expire_chunks()

    await ends(roles.feeder(folder_source(root), chunk_size=9).run())

    assert await roles.waiting() == names(9)


@pytest.mark.usefixtures("small_offers")
async def test_a_full_budget_is_waited_for(roles: Roles, tmp_path: Path):
    root = pictures(tmp_path / "in", range(20))
    few = Budget(bytes=1 << 30, samples=4)
    async with running(roles.feeder(folder_source(root), budget=few).run()) as feeding:
        await until(lambda: _offered(roles, 4))
        worker, sink = await roles.worker(CountingEngine()), roles.sink(rows=1)
        async with running(worker.run()) as working, running(sink.run()) as sinking:
            await ends(feeding)
            await ends(working)
            await ends(sinking)

    assert (await roles.counts()).captioned == 20


@pytest.mark.usefixtures("small_offers")
async def test_a_full_budget_of_bytes_is_never_exceeded(roles: Roles, tmp_path: Path):
    root = pictures(tmp_path / "in", range(20))
    two = 2 * 1200  # a sample weighs some 1,000 bytes, with its image
    async with running(roles.feeder(folder_source(root), budget=Budget(two, 100)).run()):
        await until(lambda: _offered(roles, 2))
        worker = await roles.worker(CountingEngine())
        most = 0
        async with running(worker.run()) as working:
            while not working.done():
                most = max(most, (await roles.counts()).bytes_in_flight)
                await asyncio.sleep(0)

    assert 0 < most <= two


@pytest.mark.usefixtures("small_offers")
async def test_a_drained_feeder_hands_its_chunk_back_at_once(roles: Roles, tmp_path: Path):
    root = pictures(tmp_path / "in", range(9))
    drain = Drain()
    few = Budget(bytes=1 << 30, samples=4)
    feeder = roles.feeder(folder_source(root), chunk_size=9, budget=few, drain=drain)
    async with running(feeder.run()) as feeding:
        await until(lambda: _offered(roles, 4))
        drain.ask()
        await ends(feeding)

    other = await roles.feed_queue().claim_chunk()

    assert other is not None
    assert (other.cursor, other.attempt) == (4, 1)


@pytest.mark.usefixtures("small_offers")
async def test_bad_images_are_dead_letters_and_their_neighbours_are_fed(
    roles: Roles, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    root = pictures(tmp_path / "in", range(6))
    (root / "00002.jpg").write_bytes(b"no image")
    (root / "00003.jpg").write_bytes(b"")
    feeder = roles.feeder(folder_source(root), chunk_size=6)

    await ends(feeder.run())

    assert await roles.waiting() == [f"{n:05}.jpg" for n in (0, 1, 4, 5)]
    dead = await roles.dead()
    assert sorted(dead) == ["00002.jpg", "00003.jpg"]
    assert all(letter.failure.reason in caplog.text for letter in dead.values())
    figures = feeder.figures()
    assert (figures["samples"], figures["failed"]) == (4, 2)
    assert sum(count for name, count in figures.items() if name.startswith("failed:")) == 2


async def test_a_job_of_bad_images_alone_is_done(roles: Roles, tmp_path: Path):
    root = pictures(tmp_path / "in", [])
    (root / "a.jpg").write_bytes(b"no image")

    await ends(roles.feeder(folder_source(root)).run())

    assert (await roles.counts()).done


async def test_hostile_columns_reach_the_queue_and_come_back(roles: Roles, tmp_path: Path):
    root = pictures(tmp_path / "in", range(2))
    deep = "[" * 900 + "]" * 900
    (root / "00000.json").write_text(f'{{"deep": {deep}, "big": 1{"0" * 40}}}')

    await ends(roles.feeder(folder_source(root, sidecars=("json",))).run())

    [lease, _] = await (await roles.work_queue()).claim(2)
    assert lease.sample.columns == {"deep": deep, "big": 10**40}


class DeafQueue(RedisFeedQueue):
    """A queue each of whose offers is made twice, as after a lost answer."""

    async def offer(self, *args: object) -> Offered:
        await super().offer(*args)  # type: ignore[arg-type]
        return await super().offer(*args)  # type: ignore[arg-type]


@pytest.mark.usefixtures("small_offers")
async def test_an_offer_whose_answer_got_lost_is_not_made_twice(roles: Roles, tmp_path: Path):
    queue = DeafQueue(roles.job, name="deaf", stages=["caption"], lease_seconds=LEASE)
    source = folder_source(pictures(tmp_path / "in", range(9)))

    await ends(roles.feeder(source, chunk_size=5, queue=queue).run())

    assert await roles.waiting() == names(9)


@pytest.mark.usefixtures("small_offers")
async def test_a_chunk_that_another_feeder_took_is_left_to_it(roles: Roles, tmp_path: Path):
    root = pictures(tmp_path / "in", range(9))
    few = Budget(bytes=1 << 30, samples=4)
    slow = roles.feeder(folder_source(root), chunk_size=9, budget=few)
    async with running(slow.run()) as feeding:
        await until(lambda: _offered(roles, 4))
        other = roles.feeder(folder_source(root), chunk_size=9)

        async def is_taken() -> bool:
            await roles.expire_chunks()  # again, should the slow one have taken it itself
            return other.tally.samples > 0

        async with running(other.run()) as taking:
            await until(is_taken)
            await ends(taking)
        worker = await roles.worker(CountingEngine())
        async with running(worker.run()) as working, running(roles.sink().run()) as sinking:
            await ends(feeding)
            await ends(working)
            await ends(sinking)

    assert other.tally.samples == 5
    assert (await roles.counts()).captioned == 9


async def test_a_fed_source_ends_while_another_feeds_still(roles: Roles, tmp_path: Path):
    """A feeder stays until all chunks are offered, so that it can take over from the others."""
    root = pictures(tmp_path / "in", range(4))
    await ends(roles.planner(folder_source(root)).run())
    held = await roles.feed_queue("other").claim_chunk()
    assert held is not None

    async with running(roles.feeder(folder_source(root)).run()) as feeding:
        await roles.expire_chunks()
        await ends(feeding)

    assert await roles.waiting() == names(4)


async def test_a_feeder_whose_job_is_forgotten_feeds_it_again(roles: Roles, tmp_path: Path):
    root = pictures(tmp_path / "in", range(4))
    await ends(roles.planner(folder_source(root)).run())
    held = await roles.feed_queue("other").claim_chunk()
    assert held is not None
    async with running(roles.feeder(folder_source(root)).run()) as feeding:
        await until(lambda: _waits_for_chunks(roles))
        await roles.client.flushall()
        await ends(feeding)

    assert await roles.waiting() == names(4)


async def test_a_feeder_plans_on_when_the_plan_was_set_back(roles: Roles, tmp_path: Path):
    """As by a server that crashed and lost its last second."""
    root = pictures(tmp_path / "in", range(8))
    queue = roles.feed_queue("other")
    await ends(roles.planner(folder_source(root), queue=queue).run())
    held = await queue.claim_chunk()
    assert held is not None
    async with running(roles.feeder(folder_source(root)).run()) as feeding:
        await until(lambda: _waits_for_chunks(roles))
        await _set_back_to(roles, held)
        await ends(feeding)

    assert await roles.waiting() == names(8)
    assert (await roles.counts()).in_chunks == 0


async def _set_back_to(roles: Roles, lease: ChunkLease) -> None:
    """Let Redis know of the first chunk only, which nobody has claimed."""
    lane = roles.job.lane
    after = Position(shard=".", after=lease.chunk.names[-1], ordinal=lease.chunk.count)
    async with roles.client.pipeline(transaction=True) as pipe:
        pipe.delete(*(lane.chunks, lane.samples("caption"), lane.images, lane.cursors, lane.counts))
        pipe.hset(lane.cursors, "plan", after.encode())
        pipe.hset(lane.counts, mapping={"planned": lease.chunk.count, "plan_done": 0})
        pipe.xadd(lane.chunks, {"chunk": records.encode(lease.chunk), "count": lease.chunk.count})
        await pipe.execute()


async def _waits_for_chunks(roles: Roles) -> bool:
    return bool((await roles.client.info("clients"))["blocked_clients"])


@pytest.mark.usefixtures("small_offers")
async def test_a_chunk_that_is_lost_while_there_is_no_room_is_said_once(
    roles: Roles, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    source = folder_source(pictures(tmp_path / "in", range(9)))
    few = Budget(bytes=1 << 30, samples=4)
    queue = roles.feed_queue()
    renewals = 0

    @asynccontextmanager
    async def counted() -> AsyncIterator[Renew[ChunkLease]]:
        async with RedisFeedQueue.renewals(queue) as renew:

            async def renew_and_count(held: Sequence[ChunkLease]) -> list[ChunkLease]:
                nonlocal renewals
                renewals += 1
                return await renew(held)

            yield renew_and_count

    queue.renewals = counted  # type: ignore[method-assign]
    feeder = roles.feeder(source, chunk_size=9, budget=few, queue=queue, lease_seconds=0.03)
    async with running(feeder.run()):
        await until(lambda: _offered(roles, 4))
        await _take_over_chunk(roles)
        await until(lambda: "Lost the lease" in caplog.text)
        so_far = renewals
        await until(lambda: renewals > so_far + 3)

    assert caplog.text.count("Lost the lease") == 1


async def _take_over_chunk(roles: Roles) -> None:
    stream = roles.job.lane.chunks
    [row] = await roles.client.xpending_range(stream, "feeders", "-", "+", 9)
    await roles.client.xclaim(stream, "feeders", "other", 0, [row["message_id"]])


@pytest.mark.usefixtures("small_offers")
async def test_a_feeder_waits_for_redis_and_goes_on(
    own_server: RedisServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    async with connect(own_server.url, role="test") as connections:
        roles = Roles(connections, tmp_path)
        root = pictures(tmp_path / "in", range(8))
        few = Budget(bytes=1 << 30, samples=2)
        caplog.set_level(logging.WARNING)
        async with running(roles.feeder(folder_source(root), budget=few).run()) as feeding:
            await until(lambda: _offered(roles, 2))
            own_server.stop()
            await until(lambda: "No answer from 127.0.0.1" in caplog.text)
            own_server.start()
            worker, sink = await roles.worker(CountingEngine()), roles.sink(rows=1)
            async with running(worker.run()) as working, running(sink.run()) as sinking:
                await ends(feeding)
                await ends(working)
                await ends(sinking)

        assert (await roles.counts()).captioned == 8
        assert sorted(row["id"] for row in roles.rows()) == names(8)
