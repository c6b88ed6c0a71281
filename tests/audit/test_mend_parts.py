"""Mending parts: those of the dead are finished, and what is gone with a part is fed again."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from caption_flow.audit.tally import Mended
from tests.audit.office import ALL, Office
from tests.audit.test_mend import assert_whole, everything, fed_again


async def test_recorded_part_is_published(office: Office):
    await office.midway()
    part = await office.part(3, publish=False)
    part.abandon()

    mended = await office.fix()

    assert mended.published == 1
    assert part.name in office.roles.folder.published()
    assert (await office.look()).balanced
    await assert_whole(office)


async def test_part_without_a_commit_is_deleted(office: Office):
    await office.midway()
    part = await office.part(3, commit=False, publish=False)
    part.abandon()

    mended = await office.fix()

    assert (mended.published, mended.deleted, mended.reissued) == (0, 1, 0)
    assert (await office.look()).parts.abandoned == ()
    await assert_whole(office)


async def test_part_of_a_sink_that_lives_is_left_to_it(office: Office):
    await office.midway()
    part = await office.part(3, publish=False)

    assert await office.fix() == Mended()

    part.publish()
    await assert_whole(office)


async def test_part_that_redis_forgot_is_recorded_and_its_samples_come_once(office: Office):
    await office.midway()
    part = await office.part(3, commit=False)

    mended = await office.fix()

    assert mended.recorded == 1
    assert part.name in await office.queue().recorded()
    await assert_whole(office)


async def test_samples_of_a_part_that_is_gone_are_captioned_again(office: Office):
    await office.finish()
    [part] = office.roles.folder.published()
    office.roles.folder.file(part).unlink()

    mended = await office.fix()

    assert mended.parts_forgotten == (part,)
    assert mended.reissued == ALL
    await assert_whole(office)


async def test_lost_part_does_not_stay_in_the_books(office: Office):
    await office.midway()
    [part] = office.roles.folder.published()
    office.roles.folder.file(part).unlink()
    await office.fix()
    assert (await office.look()).balanced

    await office.finish()

    counts = await office.roles.counts()
    assert (counts.planned, counts.captioned) == (ALL, ALL)


async def test_lost_part_leaves_the_books_once_however_many_mend(office: Office):
    await office.finish()
    [part] = office.roles.folder.published()
    office.roles.folder.file(part).unlink()
    scan = await office.audit().scan()

    for _ in range(2):
        await office.mender()._forget(scan)

    assert (await office.roles.counts()).captioned == 0


async def test_part_that_comes_back_counts_once(office: Office, tmp_path: Path):
    await office.finish()
    [part] = office.roles.folder.published()
    away = office.roles.folder.file(part).rename(tmp_path / part)
    await office.fix()
    away.rename(office.roles.folder.file(part))
    await office.fix()

    await assert_whole(office)
    counts = await office.roles.counts()
    assert (counts.planned, counts.captioned) == (ALL, ALL)


async def test_merged_parts_take_the_place_of_those_that_are_gone(office: Office):
    """Although none of the recorded ones is left; what is in flight goes on."""
    await office.midway()
    await office.part(2)
    merged = office.merge()

    mended = await office.fix()

    assert (mended.recorded, len(mended.parts_forgotten), mended.reissued) == (1, 2, 0)
    assert await office.queue().recorded() == {merged.stem: 5}
    await assert_whole(office)
    counts = await office.roles.counts()
    assert (counts.planned, counts.captioned) == (ALL, ALL)


async def test_lack_of_rows_is_told_from_merged_parts_by_the_source_alone(office: Office):
    await office.midway()
    office.merge()

    mended = await office.fix(source=False)

    assert "PATH" in mended.left[0]
    assert mended.parts_forgotten == ()


async def test_gone_parts_stay_recorded_where_no_source_tells(office: Office):
    await office.midway()
    await office.part(2)
    office.merge()
    await office.part(1)

    mended = await office.fix(source=False)

    assert "Parts that are gone stay recorded" in mended.left[0]
    assert len((await office.look()).parts.gone) == 2


async def test_nothing_is_fed_again_while_a_part_cannot_be_read(office: Office):
    await office.midway()
    [part] = office.roles.folder.published()
    file = office.roles.folder.file(part)
    sound = file.read_bytes()
    file.write_bytes(sound[:-9])

    mended = await office.fix()

    assert mended.reissued == 0
    assert "cannot be read" in mended.left[0]
    file.write_bytes(sound)
    assert (await office.look()).balanced


async def test_what_is_beside_an_unreadable_part_is_mended(office: Office):
    """A part that is torn and not recorded: it is left to its owner."""
    await office.midway()
    forgotten = await office.part(2, commit=False)
    file = office.roles.folder.file("part-empty")
    file.touch()
    await office.roles.client.hincrby(office.lane.counts, "dead", 3)

    mended = await office.fix()

    assert (mended.recorded, mended.books_changed, mended.left) == (1, True, ())
    assert forgotten.name in await office.queue().recorded()
    assert file.stem not in await office.queue().recorded()
    assert (await office.look()).parts.unreadable == (file.stem,)


async def test_folder_of_another_job_is_not_touched(office: Office):
    """None of the recorded parts is in it, but others are: it is not the one of the sinks."""
    await office.midway()
    merged = office.merge()
    rows = pq.read_table(merged, partitioning=None)
    ids = pa.array([f"theirs/{n}.jpg" for n in range(len(rows))])
    pq.write_table(rows.set_column(0, "id", ids), merged)
    before = await everything(office)

    mended = await office.fix()

    assert "storage.data_dir" in mended.left[0]
    assert await everything(office) == before


async def test_folder_that_is_not_there_is_not_the_one(office: Office):
    await office.midway()
    folder = office.roles.folder
    folder.path.rename(folder.path.with_name("elsewhere"))

    mended = await office.fix()

    assert "storage.data_dir" in mended.left[0]
    assert await fed_again(office) == []
