"""Inspect: who is alive in a job, by the clock of the server, and the notes its members leave."""

import time
from types import SimpleNamespace

import pytest
from msgspec.structs import replace

from caption_flow.queue import job
from caption_flow.queue.job import GONE_SECONDS, RedisJob
from caption_flow.queue.ports import Member
from tests.queue.shop import Shop


def member(name: str, seen: float) -> Member:
    return Member("worker", name, "host", 1, seen, seen, "working")


async def test_live_members_are_listed(shop: Shop):
    now = time.time()
    await shop.job.beat(member("old", now - GONE_SECONDS - 1))
    await shop.job.beat(member("live", now - 1))
    await shop.job.beat(member("live", now))

    assert (await shop.inspector.snapshot()).members == (member("live", now),)
    assert list(await shop.job.members()) == ["worker:live"]


async def test_member_that_was_killed_long_ago_is_taken_off_by_the_next(shop: Shop):
    """Each process has a name of its own, so what was killed would stay for ever."""
    now = time.time()
    await shop.job.beat(member("killed", now - GONE_SECONDS - 1))
    await shop.job.beat(member("silent", now - GONE_SECONDS + 60))
    await shop.feeder().beat(member("next", now))

    known = await shop.redis.hkeys(shop.job.keys.members)
    assert sorted(known) == [b"worker:next", b"worker:silent"]


class OtherClock:
    """The time on a host whose clock is off, in place of the module."""

    monotonic = staticmethod(time.monotonic)

    def __init__(self, ahead: float) -> None:
        self._ahead = ahead

    def time(self) -> float:
        return time.time() + self._ahead


@pytest.mark.parametrize("ahead", [-25.0, 3600.0, -3600.0])
async def test_member_whose_clock_is_off_is_seen_by_that_of_the_server(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, ahead: float
):
    now = time.time()
    with monkeypatch.context() as there:
        there.setattr(job, "time", OtherClock(ahead))
        await shop.job.beat(member("other", now + ahead))
        await shop.job.beat(replace(member("other", now + ahead), figures={"clock_ahead": 7.0}))

    [seen] = (await shop.inspector.snapshot()).members
    assert (seen.seen, seen.started) == pytest.approx((now, now), abs=1)
    assert seen.figures == {"clock_ahead": pytest.approx(ahead, abs=1)}


async def test_member_whose_clock_is_right_is_not_told_to_be_ahead(shop: Shop):
    await shop.job.beat(replace(member("liar", time.time()), figures={"clock_ahead": 600.0}))

    [seen] = (await shop.inspector.snapshot()).members
    assert seen.figures == {}


async def test_reader_whose_clock_is_off_takes_nobody_for_gone(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
):
    now = time.time()
    await shop.job.beat(member("right", now))
    monkeypatch.setattr(job, "time", OtherClock(7200.0))
    await shop.feeder().beat(member("other", now + 7200))

    found = (await shop.inspector.snapshot()).members
    assert sorted(one.name for one in found) == ["other", "right"]


async def test_clock_is_not_taken_for_off_for_an_answer_that_took_long(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
):
    now = time.time()
    slow = SimpleNamespace(monotonic=time.monotonic, time=iter((now - 60, now + 60, now)).__next__)
    monkeypatch.setattr(job, "time", slow)
    await shop.job.beat(member("slow", now))

    assert (await shop.inspector.snapshot()).members == (member("slow", now),)


async def test_member_that_said_goodbye_is_gone(shop: Shop):
    here = member("here", time.time())
    await shop.job.beat(here)
    await shop.job.leave(here)

    assert (await shop.inspector.snapshot()).members == ()


async def test_books_are_noted_with_the_first_word_of_a_process(shop: Shop):
    await shop.caption(3)
    await shop.job.beat(member("one", time.time()))
    await shop.caption(2)
    await shop.job.beat(member("one", time.time()))

    [noted] = (await shop.inspector.snapshot()).history
    assert (noted.completed, noted.dead, noted.output_tokens) == (3, 0, 9)
    assert abs(noted.at - time.time()) < 5


async def test_books_are_noted_by_one_process_of_several(shop: Shop):
    """However many there are, notes are as far apart as those of one."""
    await shop.job.beat(member("one", time.time()))
    await RedisJob(shop.job.connections, shop.job.job).beat(member("two", time.time()))

    assert len((await shop.inspector.snapshot()).history) == 1


async def test_notes_of_more_than_an_hour_are_let_go(shop: Shop, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(job, "NOTE_SECONDS", 0.0)
    monkeypatch.setattr(job, "NOTES", 3)
    for _ in range(5):
        await shop.caption(1)
        await shop.job.beat(member("one", time.time()))

    history = (await shop.inspector.snapshot()).history
    assert [moment.completed for moment in history] == [3, 4, 5]
    assert list(history) == sorted(history, key=lambda moment: moment.at)
