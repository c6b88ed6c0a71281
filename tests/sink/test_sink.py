"""Sink: each caption comes to stand in exactly one part."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from caption_flow.codec import records
from caption_flow.keeper import Renew
from caption_flow.lifecycle import Drain
from caption_flow.model import Counts, EntryId
from caption_flow.queue.captions import RedisCaptionQueue
from caption_flow.queue.connect import connect
from tests.made import LEASE, jpeg
from tests.redis_server import RedisServer
from tests.roles import (
    Roles,
    ends,
    running,
    until,
)
from tests.sink.crash import MortalFolder


def ids(roles: Roles) -> list[str]:
    return sorted(row["id"] for row in roles.rows())


def names(*numbers: int) -> list[str]:
    return [f"{n:05}.jpg" for n in numbers]


def sizes(roles: Roles) -> list[int]:
    """How many rows each part has."""
    folder = roles.folder
    return sorted(len(folder.ids(part)) for part in folder.published())


async def rest_waits(roles: Roles) -> None:
    """Leave the job with a sample that no worker has captioned."""
    await roles.offer([jpeg(999)], first=999)


async def test_each_caption_is_in_exactly_one_part(roles: Roles):
    await roles.finish(range(40))

    await ends(roles.sink(rows=7).run())

    assert ids(roles) == names(*range(40))
    assert (await roles.counts()).done


async def test_a_row_says_what_the_stage_made(roles: Roles):
    await roles.finish([3])

    await ends(roles.sink().run())

    [row] = roles.rows()
    assert (row["id"], row["captions"], row["model"]) == ("00003.jpg", ["caption of 3"], "none")


async def test_a_part_has_no_more_rows_than_it_should(roles: Roles):
    await roles.finish(range(10))

    await ends(roles.sink(rows=4).run())

    assert sizes(roles) == [2, 4, 4]


async def test_a_part_is_finished_after_its_time(roles: Roles):
    await roles.finish(range(3))
    await rest_waits(roles)
    async with running(roles.sink(seconds=0.05).run()):
        await until(roles.folder.published)

    assert ids(roles) == names(0, 1, 2)


class LookedAt(RedisCaptionQueue):
    """Counts how often it was asked whether there is more to come."""

    looks = 0

    async def counts(self) -> Counts:
        self.looks += 1
        return await super().counts()


async def test_a_part_waits_for_more_rows_until_its_time(roles: Roles):
    await roles.finish(range(3))
    await rest_waits(roles)
    queue = LookedAt(roles.job, name="sink", lease_seconds=LEASE)
    async with running(roles.sink(queue=queue).run()):
        await until(lambda: queue.looks > 2)

        assert await _held(roles, 3)
        assert roles.folder.published() == []


async def test_a_part_is_finished_early_where_feeders_wait_for_it(roles: Roles):
    await roles.finish(range(3))
    await rest_waits(roles)
    async with running(roles.sink(budget=4).run()):
        await until(roles.folder.published)

    assert ids(roles) == names(0, 1, 2)


async def test_a_part_waits_for_more_rows_while_feeders_have_room(roles: Roles):
    await roles.offer([jpeg(n) for n in range(4)])
    await roles.caption_some(1)
    queue = LookedAt(roles.job, name="sink", lease_seconds=LEASE)
    async with running(roles.sink(budget=4, queue=queue).run()):
        await until(lambda: queue.looks > 2)
        await roles.caption_some(1)
        await until(roles.folder.published)

    assert sizes(roles) == [2]


async def _held(roles: Roles, count: int) -> bool:
    lane = roles.job.lane
    [group] = await roles.client.xinfo_groups(lane.captions) or [{"pending": 0}]
    return bool(group["pending"] == count)


async def _reads(roles: Roles) -> bool:
    return bool((await roles.client.info("clients"))["blocked_clients"])


async def test_the_last_part_is_finished_as_soon_as_no_caption_will_come(roles: Roles):
    await roles.finish(range(3))
    async with running(roles.sink(exit_when_done=False).run()) as sinking:
        await until(roles.folder.published)

        assert not sinking.done()


async def test_a_drained_sink_commits_what_is_in_hand(roles: Roles):
    await roles.finish(range(3))
    await rest_waits(roles)
    drain = Drain()
    async with running(roles.sink(drain=drain).run()) as sinking:
        await until(lambda: _held(roles, 3))
        await until(lambda: _reads(roles))
        drain.ask()
        await ends(sinking)

    assert ids(roles) == names(0, 1, 2)
    assert (await roles.counts()).captioned == 3


async def test_two_sinks_share_a_job(roles: Roles):
    await roles.finish(range(300))

    async with asyncio.timeout(20):
        await asyncio.gather(*(roles.sink(rows=20).run() for _ in range(2)))

    assert ids(roles) == names(*range(300))
    assert (await roles.counts()).captioned == 300


async def test_two_sinks_write_one_schema(roles: Roles):
    await roles.finish(range(100))

    async with asyncio.timeout(20):
        await asyncio.gather(*(roles.sink(rows=10).run() for _ in range(2)))

    schemas = [pq.read_schema(roles.folder.file(part)) for part in roles.folder.published()]
    assert all(schema.equals(schemas[0], check_metadata=True) for schema in schemas)


async def test_a_new_sink_keeps_to_the_schema_of_the_parts(roles: Roles):
    await roles.finish(range(3))
    await ends(roles.sink().run())
    await roles.client.flushall()
    await roles.finish(range(10, 13))

    await ends(roles.sink().run())

    one, other = (pq.read_schema(roles.folder.file(part)) for part in roles.folder.published())
    assert one.equals(other, check_metadata=True)


async def test_what_another_sink_took_is_left_out_of_the_part(roles: Roles):
    await roles.finish(range(6))
    await rest_waits(roles)
    drain = Drain()
    async with running(roles.sink(drain=drain).run()) as sinking:
        await until(lambda: _held(roles, 6))
        await until(lambda: _reads(roles))
        other = roles.caption_queue("other")
        theirs = await _take_over(roles, "other", 2)
        drain.ask()
        await ends(sinking)

    assert ids(roles) == sorted(set(names(*range(6))) - set(theirs.values()))
    await other.release_captions(list(theirs))
    await ends(_sunk(roles))
    assert ids(roles) == names(*range(6))


async def _take_over(roles: Roles, other: str, count: int) -> dict[EntryId, str]:
    """Let another sink have some of what is held, as when their leases ran out."""
    stream = roles.job.lane.captions
    rows = await roles.client.xpending_range(stream, "sinks", "-", "+", count)
    entries = [row["message_id"] for row in rows]
    taken = await roles.client.xclaim(stream, "sinks", other, 0, entries)
    return {e.decode(): records.caption_from("", fields).sample.id for e, fields in taken}


async def _sunk(roles: Roles) -> None:
    """Let a fresh sink write what is left, though a worker has still work to do."""
    drain, queue = Drain(), roles.caption_queue("fresh")
    left = len(await roles.captions())
    async with running(roles.sink(drain=drain, queue=queue).run()) as sinking:
        await until(lambda: _held_by(roles, "fresh", left))
        drain.ask()
        await sinking


async def _held_by(roles: Roles, sink: str, count: int) -> bool:
    stream = roles.job.lane.captions
    return len(await roles.client.xpending_range(stream, "sinks", "-", "+", 99, sink)) == count


class AsleepQueue(RedisCaptionQueue):
    """Renews nothing before it is woken, as on a laptop whose lid was closed."""

    def __init__(self, roles: Roles) -> None:
        super().__init__(roles.job, name="asleep", lease_seconds=LEASE)
        self.awake = threading.Event()
        self.lost: set[EntryId] = set()

    @asynccontextmanager
    async def renewals(self) -> AsyncIterator[Renew[EntryId]]:
        async with super().renewals() as renew:

            async def renew_when_awake(held: Sequence[EntryId]) -> list[EntryId]:
                if not self.awake.is_set():
                    return []
                lost = await renew(held)
                self.lost.update(lost)
                return lost

            yield renew_when_awake


async def test_a_caption_that_was_taken_and_came_back_is_written_once(roles: Roles):
    await roles.finish(range(4))
    await rest_waits(roles)
    drain, queue = Drain(), AsleepQueue(roles)
    sink = roles.sink(drain=drain, queue=queue, lease_seconds=0.03)
    async with running(sink.run()) as sinking:
        await until(lambda: _held(roles, 4))
        other = roles.caption_queue("other")
        theirs = await _take_over(roles, "other", 2)
        queue.awake.set()
        await until(lambda: queue.lost)
        await other.release_captions(list(theirs))
        await until(lambda: _reads(roles))
        drain.ask()
        await ends(sinking)
    if await roles.captions():
        await ends(_sunk(roles))

    assert ids(roles) == names(*range(4))
    assert (await roles.counts()).captioned == 4


class SlowCommit(RedisCaptionQueue):
    """Takes longer over a commit than a lease lasts."""

    roles: Roles

    async def commit(
        self, part: str, record: bytes, entries: Sequence[EntryId], *, epoch: str = ""
    ) -> list[EntryId]:
        await self.roles.expire_captions()
        await until(self._is_young)
        return await super().commit(part, record, entries, epoch=epoch)

    async def _is_young(self) -> bool:
        rows = await self.client.xpending_range(self.lane.captions, "sinks", "-", "+", 99)
        return all(row["time_since_delivered"] < 10_000 for row in rows)


async def test_leases_are_renewed_until_the_commit_is_answered(
    roles: Roles, caplog: pytest.LogCaptureFixture
):
    await roles.finish(range(4))
    queue = SlowCommit(roles.job, name="slow", lease_seconds=LEASE)
    queue.roles = roles

    await ends(roles.sink(queue=queue, lease_seconds=0.03).run())

    assert ids(roles) == names(*range(4))
    assert "Lost the lease" not in caplog.text


async def test_a_sink_whose_captions_are_all_anothers_writes_no_part(roles: Roles):
    await roles.finish(range(2))
    await rest_waits(roles)
    drain = Drain()
    async with running(roles.sink(drain=drain).run()) as sinking:
        await until(lambda: _held(roles, 2))
        await until(lambda: _reads(roles))
        await _take_over(roles, "other", 2)
        drain.ask()
        await ends(sinking)

    assert list(roles.folder.path.iterdir()) == []


async def test_a_sink_of_a_job_without_captions_ends_without_a_part(roles: Roles):
    await roles.planner(_Nothing()).run()

    await ends(roles.sink().run())

    assert roles.folder.published() == []


class _Nothing:
    dataset = "nothing"

    def shards(self, start: str | None = None) -> object:
        del start
        return iter(())

    names = samples = None


async def test_a_sink_waits_for_redis_and_goes_on(
    own_server: RedisServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.WARNING)
    async with connect(own_server.url, role="test") as connections:
        roles = Roles(connections, tmp_path)
        roles.folder = MortalFolder(roles)
        await roles.finish(range(5))
        await rest_waits(roles)
        async with running(roles.sink(rows=8, exit_when_done=False).run()):
            await until(lambda: _held(roles, 5))
            own_server.stop()
            await until(lambda: "No answer from 127.0.0.1" in caplog.text)
            own_server.start()
            await roles.finish_waiting()
            await until(lambda: len(roles.rows()) == 6)

        assert ids(roles) == names(0, 1, 2, 3, 4, 999)


async def test_a_part_that_redis_did_not_answer_for_is_settled_by_the_next_sink(
    own_server: RedisServer, tmp_path: Path
):
    async with connect(own_server.url, role="test") as connections:
        roles = Roles(connections, tmp_path)
        roles.folder = MortalFolder(roles)
        await roles.finish(range(5))
        await rest_waits(roles)
        drain = Drain()
        async with running(roles.sink(drain=drain).run()) as sinking:
            await until(lambda: _held(roles, 5))
            await until(lambda: _reads(roles))
            own_server.stop()
            drain.ask()
            await ends(sinking)
        assert roles.folder.published() == []
        own_server.start()
        await roles.expire_captions()

        await _sunk(roles)

        assert ids(roles) == names(*range(5))
        assert list(roles.folder.path.glob(".*")) == []
