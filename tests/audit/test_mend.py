"""Mending: exactly what is missing is fed again, once, whoever is at work meanwhile."""

import asyncio
from collections import Counter

import pyarrow.parquet as pq
import pytest

from caption_flow.audit.tally import Mended
from caption_flow.feed.selection import Selection
from caption_flow.model import Chunk
from tests.audit.office import ALL, CHUNK, Office
from tests.made import pictures

PLACES = ["chunks", "samples", "captions"]


async def everything(office: Office) -> dict[str, object]:
    """All of the job in Redis, leases left aside."""
    found = {}
    for key in sorted(await office.roles.client.keys("cf:*")):
        kind = await office.roles.client.type(key)
        read = {b"stream": "xrange", b"hash": "hgetall", b"string": "get", b"set": "smembers"}
        if kind == b"zset":
            found[key.decode()] = await office.roles.client.zrange(key, 0, -1)
            continue
        found[key.decode()] = await getattr(office.roles.client, read[kind])(key)
    return found


async def fed_again(office: Office) -> list[Chunk]:
    return [left.chunk for left in await office.queue().chunks() if ":fix-" in left.chunk.id]


async def assert_whole(office: Office) -> None:
    """After a run like any other each picture has one caption, and the books balance."""
    await office.finish()
    assert office.captioned() == office.ids()
    found = await office.look()
    assert found.balanced, found


# What is missing


@pytest.mark.parametrize("place", PLACES)
async def test_what_was_deleted_is_fed_again_and_captioned_once(office: Office, place: str):
    await office.midway()
    await office.delete(place)
    missing = (await office.look()).missing

    mended = await office.fix()

    chunks = await fed_again(office)
    ids = [f"{c.shard}/{name}".removeprefix("./") for c in chunks for name in c.names]
    assert tuple(ids) == missing
    assert (mended.reissued, mended.chunks, mended.left) == (len(missing), 1, ())
    assert (await office.look()).balanced
    await assert_whole(office)


async def test_all_that_was_deleted_at_once_is_captioned_once(office: Office):
    await office.midway()
    for place in PLACES:
        await office.delete(place, 2)

    mended = await office.fix()

    assert mended.reissued == 6 + 2 + 2
    await assert_whole(office)


async def test_chunks_are_of_one_shard_and_no_longer_than_others(office: Office):
    await office.plan()
    await office.delete("chunks", 5)

    await office.fix()

    chunks = await fed_again(office)
    assert Counter(chunk.shard for chunk in chunks) == {".": 3, "below": 2}
    assert [chunk.count for chunk in chunks] == [CHUNK] * 5
    assert len({chunk.id for chunk in chunks}) == 5


async def test_samples_of_a_shard_come_together_and_those_of_two_do_not(office: Office):
    await office.plan()
    await office.offer(5, samples=1)
    await office.delete("samples", 5)

    await office.fix()

    names = [(chunk.shard, chunk.names) for chunk in await fed_again(office)]
    assert names == [
        (".", ("00000.jpg", "00004.jpg", "00008.jpg")),
        ("below", ("00000.jpg", "00004.jpg")),
    ]


async def test_mending_a_sound_job_changes_nothing(office: Office):
    await office.midway()
    before = await everything(office)

    assert await office.fix() == Mended()
    assert await everything(office) == before


@pytest.mark.parametrize("place", PLACES)
async def test_mending_again_mends_nothing(office: Office, place: str):
    await office.midway()
    await office.delete(place, 2)
    await office.fix()
    before = await everything(office)

    assert await office.fix() == Mended()
    assert await everything(office) == before


async def test_two_who_mend_at_once_feed_it_once(office: Office):
    await office.midway()
    for place in PLACES:
        await office.delete(place, 2)

    mended = await asyncio.gather(*(office.fix() for _ in range(3)))

    assert sum(one.reissued for one in mended) == 10
    await assert_whole(office)


@pytest.mark.parametrize("chunks", [3, 6], ids=["in the plan", "after it"])
async def test_who_is_overtaken_says_so(office: Office, chunks: int):
    await office.plan_some(chunks)
    await office.offer(1)
    await office.delete("samples")
    mender = office.mender()
    scan = await office.audit().scan()
    await office.fix()

    mended = await mender._mend(Mended(), scan)

    assert mended.reissued == 0
    assert "Somebody else" in mended.left[0]
    assert len(await fed_again(office)) == 1


async def test_no_more_is_fed_again_than_redis_may_hold(
    office: Office, monkeypatch: pytest.MonkeyPatch
):
    await office.plan()
    await office.delete("chunks", 3)
    monkeypatch.setattr("caption_flow.audit.mend.MOST_WAITING", 4)

    mended = await office.fix()

    assert mended.chunks == 2
    assert "Not all" in mended.left[0]
    assert (await office.look()).totals.missing == CHUNK
    monkeypatch.undo()
    assert (await office.fix()).chunks == 1
    await assert_whole(office)


async def test_source_is_needed_to_name_what_is_missing(office: Office):
    await office.midway()
    await office.delete("samples", 2)
    before = await office.look(source=False)

    mended = await office.fix(source=False)

    assert mended.reissued == 0
    assert "2 missing samples" in mended.left[0]
    assert await office.look(source=False) == before  # the books are the only ones to know


async def test_doubled_row_is_left_to_its_owner(office: Office):
    await office.finish()
    folder = office.roles.folder
    [part] = folder.published()
    rows = pq.read_table(folder.file(part), partitioning=None)
    pq.write_table(rows.slice(0, 2), folder.file("part-copy"))

    mended = await office.fix()

    assert mended.reissued == 0
    assert (await office.look()).totals.doubled == 2
    assert len(office.captioned()) == ALL + 2


# What is new


async def test_new_file_of_a_plan_that_is_done_is_fed(office: Office):
    await office.finish()
    pictures(office.root, [500])

    assert (await office.fix()).reissued == 1

    await assert_whole(office)


async def test_feeder_that_has_read_what_is_known_does_not_plan_it_too(office: Office):
    """It looked before, and plans after the mending: its position is not the plan's any more."""
    await office.finish()
    pictures(office.root, [500])
    planner = office.roles.planner(office.source, selection=Selection(limit=ALL + 1))
    position = await planner._begin()
    await planner._make_ready(position)
    await office.fix()

    await planner._plan_from(position)

    chunks = await office.queue().chunks()
    assert [left.chunk.names for left in chunks] == [("00500.jpg",)]
    await assert_whole(office)


async def test_new_generation_overtakes_who_mends(office: Office):
    await office.finish()
    pictures(office.root, [500])
    scan = await office.audit().scan()
    await office.plan()

    mended = await office.mender()._mend(Mended(), scan)

    assert mended.reissued == 0
    await assert_whole(office)


async def test_planner_goes_on_where_it_was(office: Office):
    """Mending in the middle of a plan does not move its position."""
    await office.plan_some(3)
    before = await office.queue().mark()
    await office.delete("chunks")

    assert (await office.fix()).reissued == CHUNK

    assert (await office.queue().mark()).position == before.position
    await office.plan_some(1)
    await assert_whole(office)


async def test_plan_may_move_while_somebody_mends(office: Office):
    await office.plan_some(2)
    await office.delete("chunks")
    scan = await office.audit().scan()
    await office.plan_some(4)  # the last one is the end

    mended = await office.mender()._mend(Mended(), scan)

    assert mended.reissued == CHUNK
    await assert_whole(office)


# Holders of what was deleted


async def test_chunk_deleted_under_its_feeder_is_offered_once(office: Office):
    await office.plan()
    queue = office.roles.feed_queue()
    lease = await queue.claim_chunk()
    assert lease is not None
    await office.delete("chunks")

    mended = await office.fix()

    assert (mended.disowned, mended.reissued) == (1, CHUNK)
    assert await office.offer_on(queue, lease) == "lost"
    await assert_whole(office)


async def test_caption_deleted_under_its_sink_gets_one_row(office: Office):
    await office.midway()
    queue = office.roles.caption_queue()
    captions = await queue.read(3)
    await office.roles.client.xdel(office.lane.captions, captions[0].entry)

    mended = await office.fix()

    assert (mended.disowned, mended.reissued) == (1, 1)
    assert await queue.commit("part", b"{}", [captions[0].entry]) == [captions[0].entry]
    await assert_whole(office)


# The books


@pytest.mark.parametrize("field", ["planned", "offered", "completed", "dead", "bytes_in_flight"])
@pytest.mark.parametrize("by", [3, -3])
@pytest.mark.parametrize("source", [True, False])
async def test_wrong_books_are_set_right(office: Office, field: str, by: int, source: bool):
    await office.midway()
    await office.roles.client.hincrby(office.lane.counts, field, by)
    assert not (await office.look()).balanced
    unnamed = not source and field == "planned" and by > 0  # may be samples that are missing

    mended = await office.fix(source=source)

    assert mended.books_changed is not unnamed
    assert (await office.look()).balanced is not unnamed
    assert mended.reissued == 0


async def test_what_was_missing_before_redis_was_emptied_is_left_to_the_new_plan(office: Office):
    """The new plan has the number of the old one, and is not as far."""
    await office.plan_some(3)
    await office.delete("chunks", 3)
    mender = office.mender()
    scan = await office.audit().scan()
    await office.roles.client.flushall()
    await office.plan_some(1)

    mended = await mender._mend(Mended(), scan)

    assert mended.reissued == 0
    assert mended.left
