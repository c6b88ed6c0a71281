"""Compact, and a Redis that is set back or was written by an earlier version."""

import shutil
from collections.abc import Hashable, Mapping
from pathlib import Path

import msgspec
import pytest

from caption_flow.audit.compact import Compacted
from caption_flow.audit.registers import FolderRegister, QueueRegister
from caption_flow.dataset.merging import Merging
from caption_flow.dataset.parts import PartFolder
from caption_flow.queue.captions import RedisCaptionQueue
from caption_flow.sink.records import Record, read_record
from caption_flow.sink.recovery import Recovery
from tests.audit.archive import Archive
from tests.audit.test_compact import compact, small_parts
from tests.made import LEASE

pytestmark = pytest.mark.usefixtures("at_once")


async def set_back(archive: Archive, records: dict[str, bytes]) -> None:
    """Let Redis forget of parts what came after these records."""
    lane = archive.office.lane
    await archive.roles.client.delete(lane.parts, lane.merged, lane.rewrites, lane.epoch)
    await archive.roles.client.hset(lane.parts, mapping=records)


async def looks(archive: Archive) -> Recovery:
    """A sink looks around."""
    recovery = Recovery(archive.roles.caption_queue(), archive.roles.folder)
    await recovery.run()
    return recovery


async def test_rows_are_suspect_of_which_redis_remembers_only_as_many_others(archive: Archive):
    """The part that it remembers had three rows of ada, as the merged one has of bob."""
    await archive.all_offered()
    await archive.caption("ada", 3)
    await archive.write()
    backup = await archive.roles.caption_queue().records()
    await archive.revoke()
    await archive.caption("bob", 3)
    await archive.write()
    await compact(archive.roles)
    await set_back(archive, backup)

    recovery = await looks(archive)

    ids = archive.office.captioned()
    assert recovery.doubles(archive.office.ids()) == set(ids)
    [told] = map(read_record, (await archive.roles.caption_queue().records()).values())
    assert (told.again, list(told.tally)) == (True, ["bob"])


async def test_rows_are_suspect_of_a_merged_part_that_had_lost_others(archive: Archive):
    """Redis remembers only the part whose rows it had lost, as many as it has."""
    await archive.all_offered()
    await archive.caption("ada", 3)
    await archive.write()
    backup = await archive.roles.caption_queue().records()
    await archive.caption("bob", 3)
    await archive.write()
    await compact(archive.roles)
    await archive.revoke()
    await set_back(archive, backup)

    recovery = await looks(archive)

    assert recovery.doubles(archive.office.ids()) == set(archive.office.captioned())


async def test_contributor_is_revoked_whose_part_an_earlier_version_recorded(archive: Archive):
    """It was merged with others, of which Redis knew who had made them, by the folder alone."""
    await small_parts(archive)
    lane, queue = archive.office.lane, archive.roles.caption_queue()
    for part, told in (await queue.records()).items():
        if "ada" in read_record(told).tally:
            await archive.roles.client.hset(lane.parts, part, msgspec.json.encode(Record(rows=3)))
    for counter in await archive.roles.client.hkeys(lane.contributors):
        if counter.startswith(b"ada:"):
            await archive.roles.client.hdel(lane.contributors, counter)
    await compact(archive.roles, register=FolderRegister(archive.roles.folder))

    recovery = await looks(archive)

    assert recovery.doubles(archive.office.ids()) == set()  # nothing was forgotten
    assert await archive.counted() == archive.tally()
    assert (await archive.revoke()).rows == 6
    assert archive.makers() == {"bob": 6}
    assert await archive.counted() == archive.tally()


class SetBack(RedisCaptionQueue):
    """Redis is set back to before rows were taken back, just before parts are recorded as one."""

    archive: Archive

    async def merge_parts(self, merged: str, record: bytes, seen: Mapping[str, bytes]) -> bool:
        await revoked_and_set_back(self.archive)
        return await super().merge_parts(merged, record, seen)


async def revoked_and_set_back(archive: Archive) -> None:
    backup = await archive.roles.caption_queue().records()
    assert (await archive.revoke()).rows == 6
    await set_back(archive, backup)


async def test_rows_stay_taken_back_where_redis_is_set_back_after_the_parts_were_checked(
    archive: Archive,
):
    await small_parts(archive)
    queue = SetBack(archive.roles.job, name="compact", lease_seconds=LEASE)
    queue.archive, before = archive, await queue.records()

    done = await compact(archive.roles, register=QueueRegister(archive.roles.folder, queue))

    assert done == Compacted(changed=4)
    assert archive.makers() == {"bob": 6}
    assert await queue.records() == before
    assert archive.roles.folder.unpublished() == []


async def test_rows_stay_taken_back_where_redis_is_set_back_before_the_parts_are_checked(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
):
    """What it told then is nobody's to see, not even for a moment."""
    await small_parts(archive)
    enter = QueueRegister.enter

    async def late(self: QueueRegister, merging: Merging) -> bool:
        await revoked_and_set_back(archive)
        monkeypatch.delattr(RedisCaptionQueue, "merge_parts")
        return await enter(self, merging)

    monkeypatch.setattr(QueueRegister, "enter", late)

    assert await compact(archive.roles) == Compacted(changed=4)
    assert archive.makers() == {"bob": 6}


async def test_part_that_changed_since_it_was_chosen_leaves_the_others_to_be_merged(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
):
    await small_parts(archive)
    free = QueueRegister.free

    async def revoke_then(self: QueueRegister) -> Mapping[str, Hashable]:
        found = await free(self)
        assert (await archive.revoke()).rows == 6
        return found

    monkeypatch.setattr(QueueRegister, "free", revoke_then)

    assert await compact(archive.roles) == Compacted(parts=2, rows=6, into=1, changed=2)
    await archive.check()


async def test_samples_of_a_part_that_is_merged_while_a_sink_waits_for_it_come_once(
    archive: Archive,
):
    """Redis was emptied after it had recorded the part, which has its name only later."""
    await archive.all_offered()
    await archive.caption("ada", 3)
    await archive.write()
    await archive.caption("ada", 3)
    part = await archive.office.part(3, publish=False)
    await archive.roles.client.delete(archive.office.lane.parts, archive.office.lane.epoch)
    recovery = await looks(archive)
    part.publish()
    await compact(archive.roles, register=FolderRegister(archive.roles.folder))

    await recovery.make_sure("another", part.ids)

    assert recovery.doubles(part.ids) == set(part.ids)
    assert list(await archive.roles.caption_queue().records()) == archive.roles.folder.published()


async def test_samples_that_redis_had_forgotten_are_not_read_to_merge_parts(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
):
    await small_parts(archive)
    await archive.roles.client.delete(archive.office.lane.parts)
    await looks(archive)
    monkeypatch.delattr(PartFolder, "ids")

    assert await compact(archive.roles) == Compacted(parts=4, rows=12, into=1)


async def test_parts_that_redis_had_forgotten_are_recorded_to_be_merged_and_not_kept_in_mind(
    archive: Archive,
):
    await small_parts(archive)
    await archive.roles.client.delete(archive.office.lane.parts)
    register = QueueRegister(archive.roles.folder, archive.roles.caption_queue())

    assert (await compact(archive.roles, register=register)).parts == 4

    assert register._recovery.doubles(archive.office.ids()) == set()
    assert list(await archive.roles.caption_queue().records()) == archive.roles.folder.published()


async def test_parts_that_are_put_back_from_a_backup_are_named_and_recorded_again(
    archive: Archive, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    """By a sink that ran all the while, as soon as what they were merged into is given up."""
    await small_parts(archive)
    folder, queue = archive.roles.folder, archive.roles.caption_queue()
    backup = shutil.copytree(folder.path, tmp_path / "backup")
    [*parts] = await queue.records()
    await compact(archive.roles)
    shutil.rmtree(folder.path)
    shutil.copytree(backup, folder.path)

    recovery = await looks(archive)
    assert f"in the place of 4 parts, such as {min(parts)}" in caplog.text
    await archive.office.fix()
    await recovery.run()

    assert sorted(await queue.records()) == sorted(parts)
    await archive.check()


async def test_samples_of_a_part_that_is_given_up_are_suspect_no_more(archive: Archive):
    await small_parts(archive)
    folder = archive.roles.folder
    [part, *_] = folder.published()
    await archive.roles.client.hdel(archive.office.lane.parts, part)
    recovery = await looks(archive)
    ids = folder.ids(part)
    assert recovery.doubles(ids) == set(ids)
    folder.file(part).unlink()

    assert (await archive.office.fix()).reissued == 3
    await recovery.look_again()

    assert recovery.doubles(ids) == set()
