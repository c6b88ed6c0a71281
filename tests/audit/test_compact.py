"""Compact: parts become fewer while sinks write, readers read and contributors are revoked."""

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest

from caption_flow.audit.compact import Compacted, Compaction
from caption_flow.audit.registers import FolderRegister, QueueRegister, Register
from caption_flow.dataset import rewriting
from caption_flow.dataset.rewriting import begin, find
from caption_flow.errors import StorageUnfit
from caption_flow.lifecycle import Drain
from caption_flow.queue.ports.recall import Begun, Rewrite
from caption_flow.sink.records import read_record
from caption_flow.sink.recovery import Recovery
from tests.audit.archive import Archive, MortalRecall
from tests.audit.office import ALL
from tests.dataset.mergers import merged, written
from tests.roles import (
    Roles,
    ends,
    running,
    until,
)

pytestmark = pytest.mark.usefixtures("at_once")


def compaction(roles: Roles, *, rows: int = 100, register: Register | None = None) -> Compaction:
    asked = register or QueueRegister(roles.folder, roles.caption_queue())
    return Compaction(roles.folder, asked, rows=rows)


async def compact(roles: Roles, **how: Any) -> Compacted:
    async with asyncio.timeout(20):
        return await compaction(roles, **how).run()


async def small_parts(archive: Archive) -> None:
    """Four parts of three rows, made by two."""
    await archive.all_offered()
    for name in ("ada", "bob", "ada", "bob"):
        await archive.caption(name, 3)
        await archive.write()


async def test_parts_are_merged_and_the_books_say_what_they_said(archive: Archive):
    await small_parts(archive)
    before = await archive.office.look(), archive.rows(), await archive.counted()

    done = await compact(archive.roles)

    assert done == Compacted(parts=4, rows=12, into=1)
    rows = archive.rows()
    assert rows == sorted(before[1], key=lambda row: (row["shard"], row["id"]))
    assert await archive.counted() == before[2]
    assert (await archive.office.look()).shards == before[0].shards
    await archive.check()
    assert len(list(archive.roles.folder.path.iterdir())) == 1


async def test_job_goes_on_and_what_is_new_is_merged_with_what_was_merged(archive: Archive):
    await small_parts(archive)
    await compact(archive.roles)
    await archive.office.finish()

    assert (await compact(archive.roles)).into == 1

    assert archive.office.captioned() == archive.office.ids()
    await archive.check()


async def test_a_second_time_there_is_nothing_to_merge(archive: Archive):
    await small_parts(archive)
    await compact(archive.roles)

    assert await compact(archive.roles) == Compacted()


async def test_survey_says_what_would_be_merged_and_changes_nothing(archive: Archive):
    await small_parts(archive)
    before = await archive.roles.caption_queue().records(), archive.roles.folder.published()

    assert await compaction(archive.roles, rows=7).survey() == Compacted(parts=4, rows=12, into=2)

    assert await archive.roles.caption_queue().records() == before[0]
    assert [path.stem for path in sorted(archive.roles.folder.path.iterdir())] == before[1]


async def test_part_that_cannot_be_read_is_named_and_others_are_merged(archive: Archive):
    await small_parts(archive)
    torn = archive.roles.folder.published()[1]
    archive.roles.folder.file(torn).write_bytes(b"PAR1")

    done = await compact(archive.roles)

    assert (done.parts, done.into) == (3, 1)
    assert [f"{torn}.parquet cannot be read" in said for said in done.unreadable] == [True]
    assert torn in archive.roles.folder.published()


async def test_parts_that_redis_had_forgotten_are_merged_with_each_other(archive: Archive):
    """All samples of a part with one of them might come again, as far as sinks know."""
    await small_parts(archive)
    forgotten = archive.roles.folder.published()[:2]
    await archive.roles.client.hdel(archive.office.lane.parts, *forgotten)

    await compact(archive.roles)

    records = await archive.roles.caption_queue().records()
    assert sorted(read_record(value).again for value in records.values()) == [False, True]
    assert {read_record(value).rows for value in records.values()} == {6}


async def test_folder_that_is_not_the_one_is_refused(archive: Archive, roles: Roles):
    await small_parts(archive)
    roles.folder.path.rename(roles.folder.path.with_name("elsewhere"))
    written(roles.folder, 1)
    written(roles.folder, 2)

    for step in (compaction(roles).survey, compaction(roles).run):
        with pytest.raises(StorageUnfit, match="lacks 4 parts that are recorded"):
            await step()
    assert len(roles.folder.published()) == 2


async def test_without_redis_a_folder_is_refused_that_somebody_writes_to(archive: Archive):
    await small_parts(archive)
    await archive.caption("ada", 1)
    part = await archive.office.part(1, commit=False, publish=False)

    with pytest.raises(StorageUnfit, match=rf"Somebody writes .*{part.name}.*--redis URL"):
        await compact(archive.roles, register=FolderRegister(archive.roles.folder))


# Beside one who revokes


async def test_contributor_is_revoked_after_parts_were_merged(archive: Archive):
    await small_parts(archive)
    await compact(archive.roles)

    assert (await archive.revoke()).rows == 6

    await archive.check()
    assert (await compact(archive.roles)) == Compacted()
    await archive.finish()


async def test_contributor_is_revoked_whose_parts_were_merged_without_redis(archive: Archive):
    await small_parts(archive)
    await compact(archive.roles, register=FolderRegister(archive.roles.folder))

    assert (await archive.revocation().survey()).rows == 6
    assert (await archive.revoke()).rows == 6

    await archive.check()


async def test_part_that_is_losing_rows_is_left_alone(archive: Archive):
    await small_parts(archive)
    await archive.die_at("after a rewriting is written down")

    async with asyncio.timeout(20):
        [losing, *_] = await archive.roles.caption_queue().rewrites()
        register = Unsettled(archive.roles.folder, archive.roles.caption_queue())
        done = await Compaction(archive.roles.folder, register, rows=100).run()

    assert done.parts < 4
    assert losing in archive.roles.folder.published()
    await archive.revoke()
    await archive.check()
    assert archive.makers() == {"bob": 6}


class Unsettled(QueueRegister):
    """Leaves to others what is half done."""

    async def settle(self) -> None:
        pass


class Interfering(MortalRecall):
    """Parts are merged just before it is written down that one loses rows."""

    def __init__(self, archive: Archive) -> None:
        super().__init__(archive.office)
        self._roles = archive.roles
        self.merged: list[Compacted] = []

    async def begin_rewrite(
        self, part: str, seen: bytes, rewrite: Rewrite, ids: Iterable[str], *, most: int
    ) -> Begun:
        if not self.merged:
            register = FolderLike(self._roles.folder, self._roles.caption_queue())
            self.merged.append(await Compaction(self._roles.folder, register, rows=100).run())
        return await super().begin_rewrite(part, seen, rewrite, ids, most=most)


class FolderLike(QueueRegister):
    """Sees no file of who is rewriting a part: he has just begun."""

    async def free(self) -> dict[str, Any]:
        self._records = await self._queue.records()
        return dict.fromkeys(sorted(self._records))


async def test_part_that_is_merged_while_rows_of_it_are_taken_out_loses_them_after(
    archive: Archive,
):
    await small_parts(archive)
    revocation, recall = archive.revocation(), Interfering(archive)
    revocation._recall = revocation._rewriter._recall = recall

    done = await revocation.run()

    assert [one.parts for one in recall.merged] == [4]
    assert (done.rows, done.left) == (6, ())
    await archive.check()
    assert archive.makers() == {"bob": 6}
    await archive.finish()


async def test_parts_that_lose_rows_while_they_are_merged_stay_as_they_are(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
):
    await small_parts(archive)
    enter = QueueRegister.enter

    async def revoke_first(self: QueueRegister, merging: Any) -> bool:
        assert (await archive.revoke()).rows == 6
        return await enter(self, merging)

    with monkeypatch.context() as patched:
        patched.setattr(QueueRegister, "enter", revoke_first)
        assert await compact(archive.roles) == Compacted(changed=4)

    assert archive.makers() == {"bob": 6}
    await archive.check()
    assert (await compact(archive.roles)).rows == 6


async def test_samples_come_again_that_a_sink_had_read_in_a_part_before_it_was_merged(
    archive: Archive,
):
    """Redis had forgotten the parts, and so the sink drops what comes of them a second time."""
    await archive.all_offered()
    for _ in range(2):
        await archive.caption("ada", 3)
        await archive.write()
    parts = archive.roles.folder.published()
    await archive.roles.client.hdel(archive.office.lane.parts, *parts)
    drain = Drain()
    sink = archive.roles.sink(seconds=0.01, exit_when_done=False, drain=drain)
    async with running(sink.run()) as task:
        await until(lambda: set(parts) <= sink._recovery._read)
        assert (await compact(archive.roles)).into == 1
        assert (await archive.revoke()).rows == 6
        await archive.office.offer(2)
        await archive.caption("bob", ALL)
        await until(lambda: archive.makers()["bob"] == ALL)
        drain.ask()
        await ends(task)

    assert archive.office.captioned() == archive.office.ids()


def test_rewriting_of_a_part_that_was_merged_is_done_where_its_rows_had_gone(roles: Roles):
    """Redis was set back to before it heard of that."""
    folder = roles.folder
    part = written(folder, 1)
    done = begin(folder, part, "done")
    assert done is not None
    done.write("nobody", 0.0)
    done.prepare()
    assert done.replace()
    done.close()
    late = begin(folder, part, "late")
    assert late is not None
    late.write("nobody", 0.0)
    late.prepare()

    merged(folder, [part, written(folder, 2)])

    assert not late.replace()
    assert find(folder, part, "done") == "replaced"
    assert find(folder, part, "late") == "undone"
    assert rewriting.leftovers(folder) == []


async def test_what_is_left_of_a_rewriting_is_cleared_away(archive: Archive):
    await small_parts(archive)
    await archive.die_at("before a rewriting is written down")
    folder = archive.roles.folder
    assert rewriting.leftovers(folder)

    assert (await compact(archive.roles)).parts == 4

    assert rewriting.leftovers(folder) == []


async def test_a_sink_that_looks_while_a_merged_part_has_no_name_yet_finds_nothing_forgotten(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
):
    await small_parts(archive)
    recovery = Recovery(archive.roles.caption_queue(), archive.roles.folder)
    enter = QueueRegister.enter

    async def look_then(self: QueueRegister, merging: Any) -> bool:
        entered = await enter(self, merging)
        await recovery.run()
        assert len(await archive.roles.caption_queue().records()) == 1
        assert (await archive.office.look()).balanced
        return entered

    monkeypatch.setattr(QueueRegister, "enter", look_then)
    await compact(archive.roles)

    assert recovery.doubles(archive.office.ids()) == set()
    await archive.check()


async def test_redis_emptied_before_a_merged_part_has_its_name(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
):
    """The parts are recorded again, each by itself, and then found to be merged."""
    await small_parts(archive)
    enter = QueueRegister.enter

    async def empty_then(self: QueueRegister, merging: Any) -> bool:
        entered = await enter(self, merging)
        await archive.roles.client.flushall()
        await Recovery(archive.roles.caption_queue(), archive.roles.folder).run()
        return entered

    monkeypatch.setattr(QueueRegister, "enter", empty_then)
    assert (await compact(archive.roles)).into == 1

    assert list(await archive.roles.caption_queue().records()) == archive.roles.folder.published()
    assert await archive.counted() == archive.tally()
