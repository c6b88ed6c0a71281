"""Dead letters: found by what is known of them, and tried again or dropped once each."""

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

from caption_flow.codec import records
from caption_flow.errors import QueueUnreachable
from caption_flow.model import ChunkLease, DeadLetter, Failure, Sample
from caption_flow.queue.pages import PAGE
from caption_flow.queue.ports import LetterFilter
from tests.queue.lossy import LossyWire
from tests.queue.shop import (
    PLENTY,
    Shop,
    done,
    entries_of,
    failure_of,
    letters_of,
    offers_of,
    rejection_of,
    retry_of,
)

ALL = LetterFilter()


async def claimed(shop: Shop) -> ChunkLease:
    lease = await shop.feeder().claim_chunk()
    assert lease is not None
    return lease


# Finding them


async def test_letters_come_oldest_first_a_page_at_a_time(shop: Shop):
    samples = await shop.offer(PAGE + 5)
    worker = await shop.worker()
    await worker.fail([(lease, failure_of(lease)) for lease in await worker.claim(PAGE + 5)])

    batches = [batch async for batch in shop.dead.letters(ALL)]

    assert [len(batch) for batch in batches] == [PAGE, 5]
    assert [letter.sample for batch in batches for letter in batch] == samples


async def test_letters_that_are_few_come_together(shop: Shop):
    """However many others stand between them."""
    letters = await shop.give_up(PAGE + 5)
    wanted = LetterFilter(ids=frozenset({letters[0].entry, letters[-1].entry}))

    assert [batch async for batch in shop.dead.letters(wanted)] == [[letters[0], letters[-1]]]


async def test_letter_that_comes_while_they_are_read_is_left(shop: Shop):
    """Or retrying all, beside a feeder that gives them up again, would never end."""
    first = await shop.give_up(PAGE)
    reading = shop.dead.letters(ALL)
    batches = [await anext(reading)]
    await shop.give_up(3)

    batches += [batch async for batch in reading]

    assert batches == [first]


async def test_no_letters_are_none(shop: Shop):
    assert [batch async for batch in shop.dead.letters(ALL)] == []


async def test_letter_that_cannot_be_read_is_passed_over(shop: Shop):
    [letter] = await shop.give_up(1)
    await shop.redis.xadd(shop.lane.dead, {"temperature": "21"})

    assert await letters_of(shop.dead) == [letter]


async def test_letter_has_what_it_passed_before(two_stages: Shop):
    await two_stages.offer(1)
    worker = await two_stages.worker()
    [lease] = await worker.claim(1)
    await worker.complete(done([lease]))
    [lease] = await worker.claim(1)
    await worker.fail([(lease, failure_of(lease))])

    [letter] = await letters_of(two_stages.dead)

    assert [outcome.stage for outcome in letter.outcomes] == ["look"]


async def put(shop: Shop, id_: str, **why: Any) -> str:
    """Put a letter where it belongs, as the scripts do."""
    sample = Sample(id_, "data", ".", "c", "source")
    failure = Failure(**{"reason": "corrupt", "detail": "", **why})
    fields = {"sample": records.encode(sample), "why": records.encode(failure)}
    entry = await shop.redis.xadd(shop.lane.dead, fields, id=f"{id_}-0")
    return str(entry.decode())


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, "1234"),
        ({"ids": {"2", "3-0", "9"}}, "23"),
        ({"reasons": {"engine"}}, "34"),
        ({"reasons": {"engine", "corrupt"}}, "134"),
        ({"stages": {""}}, "12"),
        ({"stages": {"look", "tell"}}, "34"),
        ({"since": 20.0}, "234"),
        ({"until": 20.0}, "1"),
        ({"since": 20.0, "until": 40.0}, "23"),
        ({"reasons": {"engine"}, "stages": {"look"}}, "3"),
        ({"reasons": {"engine"}, "until": 10.0}, ""),
    ],
)
async def test_filter_lets_through_what_fits_all_of_it(shop: Shop, wanted: Any, found: str):
    await put(shop, "1", at=10.0)
    await put(shop, "2", at=20.0, reason="empty")
    await put(shop, "3", at=30.0, reason="engine", stage="look")
    await put(shop, "4", at=40.0, reason="engine", stage="tell")

    letters = await letters_of(shop.dead, **wanted)

    assert "".join(letter.sample.id for letter in letters) == found


# Trying them again


async def test_retried_sample_is_in_a_chunk_again(shop: Shop):
    letters = await shop.give_up(3)
    chunk = retry_of(letters[1:])

    assert await shop.dead.retry(chunk, letters[1:]) == set()

    assert await letters_of(shop.dead) == letters[:1]
    assert (await claimed(shop)).chunk == chunk
    counts = await shop.job.counts()
    assert (counts.planned, counts.in_chunks, counts.in_flight, counts.dead) == (3, 2, 0, 1)
    await shop.check_books()


async def test_retried_sample_is_captioned_as_any_other(shop: Shop):
    letters = await shop.give_up(2)
    await shop.dead.retry(retry_of(letters), letters)
    lease = await claimed(shop)
    await shop.feeder().offer(lease, offers_of(lease.chunk), PLENTY)
    worker, sink = await shop.worker(), shop.sink()
    assert await worker.complete(done(await worker.claim(2))) == [True, True]

    assert await sink.commit("part", b"{}", entries_of(await sink.read(2))) == []

    counts = await shop.job.counts()
    assert (counts.planned, counts.captioned, counts.dead) == (2, 2, 0)
    await shop.check_books()


async def test_retried_sample_may_be_given_up_again(shop: Shop):
    [letter] = await shop.give_up(1)
    chunk = retry_of([letter])
    await shop.dead.retry(chunk, [letter])
    lease = await claimed(shop)

    await shop.feeder().offer(lease, [rejection_of(chunk, letter.sample.id)], PLENTY)

    [again] = await letters_of(shop.dead)
    assert (again.sample.id, again.entry == letter.entry) == (letter.sample.id, False)
    await shop.check_books()


async def test_retry_of_a_letter_that_is_gone_changes_nothing(shop: Shop):
    letters = await shop.give_up(3)
    await shop.dead.drop(letters[:1])
    before = await shop.dump()

    assert await shop.dead.retry(retry_of(letters), letters) == {letters[0].entry}
    assert await shop.dump() == before


async def test_retries_at_once_double_nothing(shop: Shop):
    letters = await shop.give_up(5)

    gone = await asyncio.gather(
        *(shop.dead.retry(retry_of(letters, token), letters) for token in "abcd")
    )

    assert sorted(map(len, gone)) == [0, 5, 5, 5]
    assert len(await shop.entries(shop.lane.chunks)) == 1
    await shop.check_books()


@pytest.mark.parametrize("act", ["retry", "drop"])
async def test_act_after_a_lost_answer_is_done_once(
    shop: Shop, far_shop: Shop, lossy: LossyWire, act: str
):
    letters = await shop.give_up(2)
    other = (await shop.give_up(1))[2:]
    for known in ("drop", "retry"):  # by the server, so that one command runs it
        await do(far_shop, known, other)
    lossy.lose_answer_to("EVALSHA")
    with pytest.raises(QueueUnreachable):
        await do(far_shop, act, letters)
    before = await shop.dump()

    await do(far_shop, act, letters)

    assert await shop.dump() == before
    assert (await shop.job.counts()).dead == 0
    await shop.check_books()


async def do(shop: Shop, act: str, letters: list[DeadLetter]) -> None:
    if act == "drop":
        await shop.dead.drop(letters)
    else:
        await shop.dead.retry(retry_of(letters), letters)


@pytest.mark.parametrize("act", ["retry", "drop"])
async def test_act_is_done_on_a_full_server(shop: Shop, act: str):
    letters = await shop.give_up(2)
    await shop.redis.config_set("maxmemory", 1)
    try:
        await do(shop, act, letters)
    finally:
        await shop.redis.config_set("maxmemory", 0)

    assert await letters_of(shop.dead) == []
    await shop.check_books()


async def test_planner_knows_what_was_retried_whatever_became_of_it(shop: Shop):
    letters = await shop.give_up(3)
    ids = sorted(letter.sample.id for letter in letters)
    await shop.dead.retry(retry_of(letters[:2]), letters[:2])
    lease = await claimed(shop)
    await shop.feeder().offer(lease, offers_of(lease.chunk), PLENTY)

    assert sorted(await shop.feeder().dead_ids()) == ids


async def test_id_that_is_not_utf_8_is_retried(shop: Shop):
    [letter] = await shop.give_up(1)
    odd = replace(letter, sample=replace(letter.sample, id="\udcff.jpg"))

    assert await shop.dead.retry(retry_of([odd]), [odd]) == set()

    assert (await claimed(shop)).chunk.names == (odd.sample.id,)
    assert await shop.feeder().dead_ids() == ["\udcff.jpg"]


# Dropping them


async def test_dropped_sample_was_never_planned(shop: Shop):
    letters = await shop.give_up(3)

    assert await shop.dead.drop(letters[1:]) == 2

    assert await letters_of(shop.dead) == letters[:1]
    counts = await shop.job.counts()
    assert (counts.planned, counts.offered, counts.dead) == (1, 1, 1)
    assert (counts.in_chunks, counts.in_flight) == (0, 0)
    await shop.check_books()


async def test_planner_knows_what_was_dropped(shop: Shop):
    letters = await shop.give_up(3)

    await shop.dead.drop(letters[:2])

    assert sorted(await shop.feeder().dead_ids()) == [letter.sample.id for letter in letters]


async def test_letters_are_dropped_once(shop: Shop):
    letters = await shop.give_up(4)

    dropped = await asyncio.gather(*(shop.dead.drop(letters) for _ in range(3)))

    assert sorted(dropped) == [0, 0, 4]
    await shop.check_books()


async def test_letter_is_retried_or_dropped(shop: Shop):
    letters = await shop.give_up(4)

    gone, dropped = await asyncio.gather(
        shop.dead.retry(retry_of(letters), letters), shop.dead.drop(letters)
    )

    assert (len(gone), dropped) in {(0, 0), (4, 4)}
    await shop.check_books()


async def test_job_is_done_when_its_last_letters_are_dropped(shop: Shop):
    letters = await shop.give_up(2)
    position = await shop.feeder().position()
    await shop.feeder().plan(position, "end", None, backlog=1, done=True)

    await shop.dead.drop(letters)

    counts = await shop.job.counts()
    assert (counts.planned, counts.done, counts.captions_done) == (0, True, True)


async def test_retried_letter_makes_a_job_undone(shop: Shop):
    letters = await shop.give_up(2)
    position = await shop.feeder().position()
    await shop.feeder().plan(position, "end", None, backlog=1, done=True)
    assert (await shop.job.counts()).done

    await shop.dead.retry(retry_of(letters), letters)

    counts = await shop.job.counts()
    assert (counts.done, counts.captions_done) == (False, False)
