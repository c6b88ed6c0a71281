"""Revoke: what a contributor made is taken back, and captioned by others, exactly once."""

import asyncio
from collections.abc import Awaitable, Callable

import pyarrow.parquet as pq
import pytest

from caption_flow.audit import rewrite
from caption_flow.audit.revoke import Revoked
from caption_flow.config.vllm import Stage
from caption_flow.dataset.rewriting import revision
from caption_flow.dataset.tail import newest
from caption_flow.errors import StorageUnfit
from caption_flow.lifecycle import Drain
from caption_flow.sink.records import read_record, record
from caption_flow.sink.recovery import Recovery
from tests.audit.archive import EARLY, LATE, STEPS, Archive
from tests.audit.office import ALL, Office
from tests.made import pictures, settings
from tests.roles import (
    Roles,
    ends,
    running,
    until,
)
from tests.worker.engines import CountingEngine


@pytest.fixture(autouse=True)
def durable_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rewrite, "DURABLE_SECONDS", 0.0)


async def test_rows_are_taken_out_of_parts_and_captioned_by_others(archive: Archive):
    await archive.all_offered()
    await archive.caption("ada", 6)
    await archive.caption("bob", 4)
    await archive.write(5)

    done = await archive.revoke()

    assert done == Revoked(rows=6, parts=2)
    assert archive.makers() == {"bob": 4}
    await archive.check()
    await archive.finish()
    assert archive.makers()["bob"] == 4


async def test_all_that_is_somewhere_is_taken_back(archive: Archive):
    await archive.in_the_middle()

    done = await archive.revoke()

    assert done == Revoked(under_way=2, letters=1, rows=5, parts=2)
    await archive.check()
    assert set(await archive.counted()) == {"bob"}
    await archive.finish()


async def test_second_time_there_is_nothing(archive: Archive):
    await archive.in_the_middle()
    await archive.revoke()

    assert await archive.revoke() == Revoked()


async def test_survey_says_what_there_is_and_changes_nothing(archive: Archive):
    await archive.in_the_middle()
    before = await archive.office.look(), archive.rows(), await archive.counted()

    said = await archive.revocation().survey()

    assert said == Revoked(under_way=2, letters=1, rows=5, parts=2)
    assert (await archive.office.look(), archive.rows(), await archive.counted()) == before


async def test_what_was_made_before_stays(archive: Archive):
    await archive.in_the_middle()

    done = await archive.revoke(since=LATE)

    assert done == Revoked(rows=2, parts=1, letters=1)
    assert archive.makers() == {"ada": 3, "bob": 3}
    await archive.check()


async def test_other_contributors_are_left_alone(archive: Archive):
    await archive.in_the_middle()
    files = {file: file.stat().st_ino for file in archive.roles.folder.path.iterdir()}

    assert await archive.revoke("eve") == Revoked()

    assert {file: file.stat().st_ino for file in archive.roles.folder.path.iterdir()} == files


async def test_part_keeps_its_schema_and_its_name(archive: Archive):
    await archive.all_offered()
    await archive.caption("ada", 2)
    await archive.caption("bob", 2)
    await archive.write()
    [part] = archive.roles.folder.published()
    before = pq.read_schema(archive.roles.folder.file(part))

    await archive.revoke()

    assert archive.roles.folder.published() == [part]
    after = pq.read_schema(archive.roles.folder.file(part))
    assert after.equals(before)
    assert archive.roles.folder.agreed() is not None
    assert len(archive.roles.folder.ids(part)) == 2


async def test_part_of_which_nothing_is_left_stays_without_rows(archive: Archive):
    await archive.all_offered()
    await archive.caption("ada", 3)
    await archive.write()

    await archive.revoke()

    [part] = archive.roles.folder.published()
    assert archive.roles.folder.ids(part) == []
    assert newest(archive.roles.folder, 3) == []
    await archive.finish()


async def test_sample_of_which_she_made_one_stage_is_captioned_anew(roles: Roles, archive: Archive):
    stages = [Stage(name=name, model="", prompts=("Say.",)) for name in ("caption", "tell")]
    roles.told = settings(stages=tuple(stages))
    await archive.all_offered()
    await archive.caption("ada", 2, only=("caption",))
    await archive.caption("bob", 1, only=("tell",))  # so it is captioned
    [held] = await (await archive.worker("bob", only=("tell",))).claim(1)

    done = await archive.revoke()

    assert (done.under_way, held.stage) == (2, "tell")
    assert await roles.captions() == []
    await archive.check()


async def test_whoever_holds_it_can_do_no_more(archive: Archive):
    """Neither a sink that has it in its open part."""
    await archive.all_offered()
    await archive.caption("bob", 1)
    await archive.caption("ada", 2)
    archive.roles.folder.make()
    sink = archive.roles.sink(seconds=1000.0, exit_when_done=False, drain=(drain := Drain()))
    async with running(sink.run()) as task:
        await until(lambda: len(sink._held) == 3)
        assert (await archive.revoke()).under_way == 2
        drain.ask()
        await ends(task)

    assert archive.makers() == {"bob": 1}
    await archive.check()


async def test_leases_of_her_workers_end(archive: Archive):
    await archive.all_offered()
    ada, bob = await archive.worker("ada"), await archive.worker("ada~h")
    held = await ada.claim(3), await bob.claim(1)

    assert await archive.revocation()._recall.hand_back("ada") == 3

    assert await ada.complete([(lease, ()) for lease in held[0]]) == [False] * 3
    assert len(await (await archive.worker("eve")).claim(4)) == 4


# Crashes


async def by_herself(archive: Archive) -> None:
    await archive.revoke()


async def by_a_sink(archive: Archive) -> None:
    await a_sink_looks(archive)
    await archive.revoke()


async def by_the_auditor(archive: Archive) -> None:
    mended = await archive.office.fix()
    assert mended.reissued == 0, "what was taken out was known"
    await archive.revoke()


async def a_sink_looks(archive: Archive) -> None:
    drain = Drain()
    sink = archive.roles.sink(exit_when_done=False, drain=drain)
    async with running(sink.run()) as task:
        await until(lambda: sink._recovery.epoch)
        drain.ask()
        await ends(task)


@pytest.mark.parametrize("finish", [by_herself, by_a_sink, by_the_auditor])
@pytest.mark.parametrize("step", STEPS)
async def test_crash_loses_and_doubles_nothing(
    archive: Archive, step: str, finish: Callable[[Archive], Awaitable[None]]
):
    await archive.in_the_middle()
    await archive.die_at(step)

    await finish(archive)

    await archive.check()
    await archive.finish()
    assert archive.makers().total() == ALL - 1  # bob's dead letter stays


@pytest.mark.parametrize("step", STEPS)
async def test_nothing_is_missing_after_a_crash_when_a_sink_has_looked(archive: Archive, step: str):
    await archive.in_the_middle()
    await archive.die_at(step)

    await archive.roles.expire_captions()
    await a_sink_looks(archive)

    assert (await archive.office.look()).balanced
    assert await archive.counted() == archive.tally()
    assert await archive.roles.client.hlen(archive.office.lane.rewrites) == 0


async def test_what_redis_forgot_before_it_was_durable_is_done_again(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
):
    await archive.in_the_middle()
    forgotten = []

    async def forget(_: float) -> None:
        if not forgotten:
            forgotten.append(await archive.roles.client.delete(archive.office.lane.rewrites))

    monkeypatch.setattr("caption_flow.audit.revoke.BUSY_SECONDS", 0.0)
    with monkeypatch.context() as patched:
        patched.setattr(rewrite.asyncio, "sleep", forget)
        done = await archive.revoke()

    assert (forgotten, done.rows) == ([1], 5)
    await archive.check()


async def test_rewriting_without_its_file_is_given_up(archive: Archive):
    await archive.in_the_middle()
    await archive.die_at("after a rewriting is written down")
    for file in archive.roles.folder.path.glob(".*.rewrite"):
        file.unlink()

    assert (await archive.revoke()).rows == 5
    await archive.check()


async def test_two_at_once_take_back_each_row_once(archive: Archive):
    await archive.in_the_middle()

    both = await asyncio.gather(archive.revoke(), archive.revoke())

    assert sum(done.rows for done in both) == 5
    await archive.check()
    await archive.finish()


async def test_no_more_is_taken_back_than_may_wait(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
):
    await archive.all_offered()
    for _ in range(2):
        await archive.caption("ada", 2)
        await archive.caption("bob", 1)
        await archive.write()
    monkeypatch.setattr(rewrite, "MOST_WAITING", 0)
    none = await archive.revoke()
    monkeypatch.setattr(rewrite, "MOST_WAITING", 1000)
    rest = await archive.revoke()

    assert (none.rows, rest.rows) == (0, 4)
    assert "Let a feeder feed them" in none.left[0]
    await archive.check()


async def test_part_that_an_earlier_version_recorded_is_looked_at(archive: Archive):
    await archive.in_the_middle()
    for part in archive.roles.folder.published():
        old = record(4, {})
        await archive.roles.client.hset(archive.office.lane.parts, part, old)
    await archive.roles.client.delete(archive.office.lane.contributors)

    assert (await archive.revoke()).rows == 5

    await archive.check()


# Counters


async def test_counters_are_right_after_redis_was_emptied(archive: Archive):
    await archive.in_the_middle()
    await archive.revoke(since=LATE)
    [revised, _] = [revision(archive.roles.folder, p) for p in archive.roles.folder.published()]
    await archive.roles.client.flushall()

    await Recovery(archive.roles.caption_queue(), archive.roles.folder).run()

    assert await archive.counted() == archive.tally()
    told = await archive.roles.caption_queue().records()
    assert revised in {read_record(value).revision for value in told.values()}
    await archive.office.finish()
    assert await archive.counted() == archive.tally()
    assert archive.office.captioned() == archive.office.ids()


async def test_counters_are_right_after_parts_were_merged_or_lost(archive: Archive):
    await archive.in_the_middle()
    archive.office.merge()
    await archive.office.fix()
    assert await archive.counted() == archive.tally()

    archive.roles.folder.file("part-merged").unlink()
    await archive.office.fix()

    assert await archive.counted() == {}


# Beside others


async def test_samples_come_again_that_a_sink_took_for_doubles(archive: Archive):
    """It has read a part that Redis had forgotten, and drops what comes of it a second time."""
    await archive.all_offered()
    await archive.caption("ada", 3)
    await archive.write()
    [part] = archive.roles.folder.published()
    await archive.roles.client.hdel(archive.office.lane.parts, part)
    drain = Drain()
    sink = archive.roles.sink(seconds=0.01, exit_when_done=False, drain=drain)
    async with running(sink.run()) as task:
        await until(lambda: part in sink._recovery._read)
        assert (await archive.revoke()).rows == 3
        await archive.office.offer(1, samples=3)
        await archive.caption("bob", ALL)
        await until(lambda: archive.makers()["bob"] == ALL)
        drain.ask()
        await ends(task)

    assert archive.office.captioned() == archive.office.ids()


async def test_folder_that_is_not_the_one_is_refused(archive: Archive, roles: Roles):
    await archive.in_the_middle()
    roles.folder.path.rename(roles.folder.path.with_name("elsewhere"))
    roles.folder.path.mkdir()

    with pytest.raises(StorageUnfit, match=r"storage\.data_dir"):
        await archive.revoke()


async def test_revoked_while_all_roles_run(archive: Archive, office: Office):
    """A feeder, workers of ada and of others, and a sink of small parts."""
    pictures(office.root, range(300), shard="many")
    drain = Drain()
    feeder = office.roles.feeder(office.source, chunk_size=10, drain=drain)
    workers = [
        await office.roles.worker(CountingEngine(), drain=drain, exit_when_done=False)
        for _ in range(2)
    ]
    sink = office.roles.sink(rows=12, seconds=0.05, drain=drain, exit_when_done=False)
    async with running(asyncio.gather(feeder.run(), sink.run())) as first:
        await until(lambda: is_fed(archive))
        await archive.caption("ada", 150, at=EARLY)
        async with running(asyncio.gather(*(worker.run() for worker in workers))) as second:
            done = await archive.revoke()
            assert done.left == ()
            again = office.roles.feeder(office.source, chunk_size=10, drain=drain)
            async with running(again.run()) as third, asyncio.timeout(60):
                await until(lambda: is_done(archive))
                drain.ask()
                await asyncio.gather(first, second, third)

    assert done.samples >= 150
    assert office.captioned() == office.ids()
    assert archive.makers() == {"": ALL + 300}
    await archive.check()


async def is_fed(archive: Archive) -> bool:
    counts = await archive.roles.counts()
    return counts.plan_done and counts.in_chunks == 0


async def is_done(archive: Archive) -> bool:
    return (await archive.roles.counts()).done
