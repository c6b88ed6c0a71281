"""Audit: each planned sample is in one place, or the place where it lacks is told."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from caption_flow.audit.shelf import read_parts
from caption_flow.audit.tally import Difference, Tally
from caption_flow.dataset.census import Double
from tests.audit.office import ALL, Office, figures
from tests.made import pictures

MIDWAY = {"planned": 20, "waiting": 6, "in_flight": 11, "captioned": 3}


# Jobs in good order


async def test_sound_job_balances_in_its_middle(office: Office):
    await office.midway()

    found = await office.look()

    assert found.balanced
    assert figures(found.totals) == MIDWAY


async def test_shards_and_chunks_are_counted_apart(office: Office):
    await office.midway()

    found = await office.look()

    assert {shard: figures(tally) for shard, tally in found.shards.items()} == {
        ".": {"planned": 12, "in_flight": 9, "captioned": 3},
        "below": {"planned": 8, "waiting": 6, "in_flight": 2},
    }
    assert {name: figures(tally) for name, tally in found.chunks["below"].items()} == {
        "below:0": {"planned": 4, "waiting": 2, "in_flight": 2},
        "below:4": {"planned": 4, "waiting": 4},
    }


async def test_job_without_a_source_balances_by_its_books(office: Office):
    await office.midway()

    found = await office.look(source=False)

    assert found.balanced
    assert figures(found.totals) == MIDWAY


async def test_finished_job_is_captioned(office: Office):
    await office.finish()

    found = await office.look()

    assert found.balanced
    assert figures(found.totals) == {"planned": ALL, "captioned": ALL}


async def test_dead_letters_are_no_loss(office: Office):
    (office.root / "00003.jpg").write_bytes(b"no image")
    await office.finish()

    found = await office.look()

    assert found.balanced
    assert figures(found.chunks["."][".:0"]) == {"planned": 4, "captioned": 3, "dead": 1}


async def test_job_that_is_not_planned_yet_balances(office: Office):
    found = await office.look()

    assert found.balanced
    assert found.totals == Tally()


async def test_only_what_is_planned_may_be_missing(office: Office):
    await office.plan_some(2)
    await office.delete("chunks")

    found = await office.look()

    assert figures(found.totals) == {"planned": 8, "waiting": 4, "missing": 4}


async def test_what_is_new_when_the_plan_is_done_has_no_caption(office: Office):
    await office.finish()
    pictures(office.root, [500])

    found = await office.look()

    assert found.missing == ("00500.jpg",)
    assert found.plan_done
    assert not found.differences


async def test_file_that_is_gone_keeps_its_caption(office: Office):
    await office.finish()
    (office.root / "00000.jpg").unlink()

    assert (await office.look()).balanced


# Losses


@pytest.mark.parametrize(
    ("place", "count", "what"),
    [
        ("chunks", 1, "samples in chunks"),
        ("samples", 3, "samples in stages"),
        ("captions", 2, "captions waiting for a part"),
    ],
)
async def test_entries_deleted_by_hand_are_missing_by_name(
    office: Office, place: str, count: int, what: str
):
    await office.midway()
    before = await office.look()
    await office.delete(place, count)

    found = await office.look()

    lost = 2 if place == "chunks" else count  # the first chunk is offered to its middle
    assert not found.balanced
    assert found.totals.missing == len(found.missing) == lost
    assert found.totals.planned == before.totals.planned
    [books] = [one for one in found.differences if one.what == what]
    assert books.counted - books.found == lost


@pytest.mark.parametrize(("place", "count"), [("chunks", 1), ("samples", 3), ("captions", 2)])
async def test_without_a_source_they_are_counted(office: Office, place: str, count: int):
    await office.midway()
    await office.delete(place, count)

    found = await office.look(source=False)

    assert not found.balanced
    assert found.unnamed == found.totals.missing == (2 if place == "chunks" else count)
    assert found.missing == ()


async def test_deleted_dead_letter_is_missing(office: Office):
    (office.root / "00003.jpg").write_bytes(b"no image")
    await office.finish()
    await office.delete("dead")

    found = await office.look()

    assert found.missing == ("00003.jpg",)
    assert found.differences == (Difference("dead letters", 1, 0),)


async def test_missing_samples_are_counted_with_their_chunk(office: Office):
    await office.midway()
    await office.delete("samples", 2)  # the first six are captions, so 6 and 7

    found = await office.look()

    assert found.missing == ("00006.jpg", "00007.jpg")
    assert figures(found.chunks["."][".:4"]) == {"planned": 4, "in_flight": 2, "missing": 2}


async def test_chunk_that_is_wholly_missing_has_its_own_name(office: Office):
    await office.plan()
    await office.delete("chunks", 2)

    found = await office.look()

    assert figures(found.chunks["."][".:4"]) == {"planned": 4, "missing": 4}


async def test_chunk_is_known_by_its_neighbours_where_its_length_is_not(office: Office):
    """The job may have been fed with another chunk_size than the one that stands here now."""
    await office.midway()
    await office.delete("samples", 2)

    found = await office.look(chunk_size=1000)

    assert found.chunks["."][".:4"].missing == 2


async def test_image_without_a_sample_is_told(office: Office):
    await office.midway()
    await office.delete("samples")

    differences = {one.what: one for one in (await office.look()).differences}

    assert differences["images without a sample"].found == 1
    assert differences["bytes of samples"].counted > differences["bytes of samples"].found


async def test_part_that_is_gone_is_told_with_its_rows(office: Office):
    await office.midway()
    [part] = office.roles.folder.published()
    office.roles.folder.file(part).unlink()

    found, blind = await office.look(), await office.look(source=False)

    assert found.parts.gone == blind.parts.gone == {part: 3}
    assert found.missing == ("00000.jpg", "00001.jpg", "00002.jpg")
    assert blind.unnamed == 3
    assert not found.balanced
    assert not blind.balanced


@pytest.mark.parametrize("source", [True, False])
async def test_rows_of_parts_that_were_merged_are_not_missing(office: Office, source: bool):
    await office.midway()
    await office.part(2)
    office.merge()

    found = await office.look(source=source)

    assert sum(found.parts.gone.values()) == 5
    assert figures(found.totals) == {**MIDWAY, "captioned": 5, "in_flight": 9}


async def test_rows_beside_those_that_were_merged_are_missing(office: Office):
    await office.midway()
    lost = await office.part(2)
    office.roles.folder.file(lost.name).unlink()
    await office.part(1)
    office.merge()

    found = await office.look(source=False)

    assert found.totals.missing == 2


async def test_part_that_cannot_be_read_is_told(office: Office):
    await office.midway()
    [part] = office.roles.folder.published()
    office.roles.folder.file(part).write_bytes(b"PAR1")

    found = await office.look()

    assert found.parts.unreadable == (part,)
    assert found.totals.missing == 3
    assert not found.balanced


# Doubles


def copy_row(file: Path, copy: Path) -> None:
    pq.write_table(pq.read_table(file, partitioning=None).slice(1, 1), copy)


@pytest.mark.parametrize("redis", [True, False])
async def test_row_in_two_parts_is_doubled(office: Office, redis: bool):
    await office.finish()
    folder = office.roles.folder
    [part] = folder.published()
    copy_row(folder.file(part), folder.file("part-copy"))
    row = pq.read_table(folder.file("part-copy"), partitioning=None).to_pylist()[0]

    found = await office.look(redis=redis)

    assert not found.balanced
    assert found.doubled == (Double(row["id"], (part, "part-copy")),)
    assert found.chunks[row["shard"]][row["chunk"]].doubled == 1
    assert found.totals.captioned == ALL
    assert found.parts.rows == ALL + 1


async def test_sample_in_a_part_and_in_flight_is_captioned_once(office: Office):
    """As after Redis lost its last second: a sink drops it when it comes again."""
    await office.midway()
    part = await office.part(2, commit=False)

    found = await office.look()

    assert figures(found.totals) == {**MIDWAY, "captioned": 5, "in_flight": 9}
    assert found.parts.forgotten == (part.name,)
    assert found.balanced


# Parts that are not published


async def test_recorded_part_counts_before_its_name(office: Office):
    await office.midway()
    part = await office.part(2, publish=False)
    part.abandon()

    found = await office.look()

    assert found.parts.half_published == (part.name,)
    assert found.totals.captioned == 5
    assert found.totals.missing == 0
    assert not found.balanced


async def test_recorded_part_of_a_sink_that_lives_is_on_its_way(office: Office):
    await office.midway()
    part = await office.part(2, publish=False)

    found = await office.look()

    assert found.parts.writing == (part.name,)
    assert found.totals.captioned == 5
    assert found.balanced


async def test_unrecorded_part_of_a_sink_that_died_counts_for_nothing(office: Office):
    await office.midway()
    part = await office.part(2, commit=False, publish=False)
    part.abandon()

    found = await office.look()

    assert found.parts.abandoned == (part.name,)
    assert figures(found.totals) == MIDWAY
    assert found.balanced


async def test_part_that_redis_forgot_is_told_and_counts(office: Office):
    await office.midway()
    [part] = office.roles.folder.published()
    await office.queue().forget_part(part)

    found = await office.look()

    assert found.parts.forgotten == (part,)
    assert found.totals.captioned == 3
    assert found.balanced


async def test_part_published_while_one_looks_is_none_that_redis_forgot(office: Office):
    await office.midway()

    async def recorded() -> dict[str, int]:
        answer = await office.queue().recorded()
        await office.part(2)
        return answer

    shelf = await read_parts(office.roles.folder, recorded)

    assert shelf.found.forgotten == ()


# Leases


async def test_what_nobody_renews_is_abandoned(office: Office):
    await office.midway()
    assert (await office.look()).totals.abandoned == 0
    await (await office.roles.work_queue()).claim(3)
    await office.roles.caption_queue().read(2)
    for expire in (office.roles.expire_chunks, office.roles.expire_samples):
        await expire()
    await office.roles.expire_captions()

    found = await office.look()

    assert found.totals.abandoned == 2 + 3 + 2
    assert found.balanced
