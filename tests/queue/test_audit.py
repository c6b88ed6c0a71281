"""Audit: what the streams really hold is told, compared with the books, and mended in one step."""

from collections import Counter

import pytest
from msgspec.structs import replace

from caption_flow.codec import records
from caption_flow.model import Chunk
from caption_flow.queue import keys
from caption_flow.queue.audit import RedisAuditQueue
from caption_flow.queue.ports.audit import Mark
from tests.queue.auditing import auditor, claimed, everywhere, seen
from tests.queue.ledger import read_ledger
from tests.queue.shop import (
    LEASE_SECONDS,
    PLENTY,
    Shop,
    chunk_of,
    offers_of,
    rejection_of,
    retry_of,
)

ODD = ('sh"ard', "back\\", "naïve 図", 'a","dataset":"b', "tab\t")


async def delete(shop: Shop, stream: str) -> str:
    """Delete the oldest entry of a stream by hand."""
    [(entry, _)] = await shop.redis.xrange(stream, count=1)
    await shop.redis.xdel(stream, entry)
    return str(entry.decode())


# The books


async def test_books_say_what_the_streams_hold(two_stages: Shop):
    await everywhere(two_stages)

    books = await auditor(two_stages).books()

    assert books.counted == books.found
    assert books.counted.planned == 18
    assert books.spare_images == 0


async def test_books_of_no_job_are_empty(shop: Shop):
    books = await auditor(shop).books()

    assert books.counted == books.found
    assert books.counted.planned == 0


@pytest.mark.parametrize(
    ("place", "lost"),
    [("chunks", 1), ("samples:look", 1), ("samples:tell", 1), ("captions", 1), ("dead", 1)],
)
async def test_entry_deleted_by_hand_is_missing_from_the_streams(
    two_stages: Shop, place: str, lost: int
):
    """The first chunk has one sample left to offer."""
    await everywhere(two_stages)
    await delete(two_stages, f"cf:{{job:0}}:{place}")

    books = await auditor(two_stages).books()

    assert books.counted.planned - books.found.planned == lost


@pytest.mark.parametrize(
    "place", ["chunks", "samples:look", "samples:tell", "captions", "dead", "images"]
)
async def test_mended_books_are_right(two_stages: Shop, place: str):
    """An image that is gone cannot be brought back; its sample becomes a dead letter."""
    await everywhere(two_stages)
    await delete(two_stages, f"cf:{{job:0}}:{place}")

    said = await auditor(two_stages).mend_books()

    books = await auditor(two_stages).books()
    assert said.counted.captioned == books.counted.captioned == 2
    assert books.counted == books.found
    if place != "images":
        await two_stages.check_books()


async def test_mending_right_books_changes_nothing(two_stages: Shop):
    await everywhere(two_stages)
    before = await two_stages.dump()

    await auditor(two_stages).mend_books()

    assert await two_stages.dump() == before


async def test_images_without_a_sample_go_and_those_of_later_stages_stay(two_stages: Shop):
    await everywhere(two_stages)
    ledger = await read_ledger(two_stages.job, two_stages.stages)
    entry = await delete(two_stages, two_stages.lane.samples("look"))
    image = ledger.stages[0][entry][b"image"].decode()

    await auditor(two_stages).mend_books()

    assert set(await two_stages.entries(two_stages.lane.images)) == set(ledger.images) - {image}


async def test_image_that_a_sample_needs_stays_whoever_names_it(two_stages: Shop):
    """It may have come after the auditor looked for what no sample needs."""
    await everywhere(two_stages)
    before = await two_stages.dump()

    await auditor(two_stages)._balance(["1", *await two_stages.entries(two_stages.lane.images)])

    assert await two_stages.dump() == before


async def test_cursor_of_a_deleted_chunk_goes(shop: Shop):
    """Or a chunk planned later under its id would begin there."""
    await shop.plan(3, 3)
    lease = await claimed(shop)
    await shop.feeder().offer(lease, offers_of(lease.chunk, 0, 2), PLENTY)
    other = await claimed(shop, "other")
    await shop.feeder("other").offer(other, offers_of(other.chunk, 0, 1), PLENTY)
    await auditor(shop).reissue(chunk_of("fix", 1), Mark("2", 0), "2", most=9)
    await shop.redis.xdel(shop.lane.chunks, lease.entry)

    await auditor(shop).mend_books()

    cursors = await shop.redis.hgetall(shop.lane.cursors)
    assert set(cursors) == {b"plan", b"reissues", b"images", other.chunk.id.encode()}


@pytest.mark.parametrize("shard", ODD)
async def test_cursor_of_a_chunk_with_an_odd_name_is_found(shop: Shop, shard: str):
    names = ("a", "b", "c")
    chunk = Chunk(f"{shard}:0", dataset="data", shard=shard, names=names)
    await shop.feeder().plan("", "1", chunk, backlog=9, done=False)
    lease = await claimed(shop)
    await shop.feeder().offer(lease, offers_of(lease.chunk, 0, 2), PLENTY)

    books = await auditor(shop).books()
    await auditor(shop).mend_books()

    assert books.counted == books.found
    assert await shop.redis.hget(shop.lane.cursors, chunk.id) == b"2"


async def test_cursor_is_found_though_a_name_is_no_text(shop: Shop):
    """cjson refuses such a name, but only the id is decoded."""
    chunk = replace(chunk_of("c", 0), names=("\udc80", "b"))
    await shop.feeder().plan("", "1", chunk, backlog=9, done=False)
    lease = await claimed(shop)
    offers = [rejection_of(lease.chunk, name) for name in lease.chunk.names]
    await shop.feeder().offer(lease, offers[:1], PLENTY)

    books = await auditor(shop).books()

    assert books.counted == books.found
    assert books.found.in_chunks == 1


# What is where


async def test_what_is_in_flight_is_seen_with_its_chunk(two_stages: Shop):
    await everywhere(two_stages)
    ledger = await read_ledger(two_stages.job, two_stages.stages)

    found = await seen(two_stages)

    held = [*ledger.stages, ledger.captions]
    ids = [records.caption_from(*e).sample.id for entries in held for e in entries.items()]
    assert Counter(one.id for one in found) == Counter(ids)
    assert {one.shard for one in found} == {chunk_of("", 0).shard}
    assert {one.chunk for one in found} == {"0", "1", "2"}


async def test_chunks_are_seen_with_what_they_have_left(two_stages: Shop):
    await everywhere(two_stages)

    waiting = await auditor(two_stages).chunks()

    assert [left.chunk.names for left in waiting] == [("2/3",), chunk_of("3", 6).names]


async def test_dead_letters_are_seen(two_stages: Shop):
    await everywhere(two_stages)

    [found] = [batch async for batch in auditor(two_stages).dead()]

    assert [one.id for one in found] == ["1/2", "2/2"]


async def test_dead_letters_that_are_taken_back_are_counted(shop: Shop):
    assert await auditor(shop).taken_back() == 0
    letters = await shop.give_up(4)
    assert await auditor(shop).taken_back() == 0

    await shop.dead.retry(retry_of(letters[:1]), letters[:1])
    await shop.dead.drop(letters[1:3])

    assert await auditor(shop).taken_back() == 3


async def test_samples_that_were_ever_retried_are_named(shop: Shop):
    letters = await shop.give_up(3)
    await shop.dead.retry(retry_of(letters[:2]), letters[:2])

    assert sorted(await auditor(shop).retried()) == [one.sample.id for one in letters[:2]]


async def test_samples_of_a_stage_that_is_no_more_are_seen(two_stages: Shop):
    """As after somebody renamed a stage in the middle of the job."""
    await two_stages.offer(2)
    renamed = RedisAuditQueue(two_stages.job, stages=["tell"], lease_seconds=LEASE_SECONDS)

    found = [one.id async for batch in renamed.in_flight() for one in batch]

    assert found == ["0/0", "0/1"]
    assert (await renamed.books()).found.planned == 2


async def test_what_nobody_renews_is_abandoned(shop: Shop):
    await shop.caption(1)
    await shop.offer(3)
    await shop.plan(2)
    await claimed(shop)
    await shop.sink().read(1)
    worker = await shop.worker()
    leases = await worker.claim(2)
    await worker.release(leases[:1])
    lane = shop.lane
    assert not [one for one in await seen(shop) if one.abandoned]
    for stream in (lane.chunks, lane.captions):
        await shop.expire(stream)
    await shop.redis.xclaim(
        lane.samples("caption"), keys.WORKERS, "worker", 0, [leases[1].entry], idle=10**8
    )

    abandoned = [one.id for one in await seen(shop) if one.abandoned]

    assert abandoned == ["1/1", "0/0"]  # what was handed back is not
    assert [left.abandoned for left in await auditor(shop).chunks()] == [True]


async def test_junk_in_a_stream_is_passed_over(shop: Shop):
    await shop.offer(1)
    for stream in (shop.lane.samples("caption"), shop.lane.chunks, shop.lane.dead):
        await shop.redis.xadd(stream, {"temperature": "21"})

    assert [one.id for one in await seen(shop)] == ["0/0"]
    assert await auditor(shop).chunks() == []
    assert [batch async for batch in auditor(shop).dead()] == [[]]


async def test_committed_parts_are_told_with_their_rows(two_stages: Shop):
    await everywhere(two_stages)

    assert await auditor(two_stages).recorded() == {"part-a": 2}
    await auditor(two_stages).forget_part("part-a")
    assert await auditor(two_stages).recorded() == {}
