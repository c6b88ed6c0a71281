"""Inspect: dead letters are counted by reason, and each is read once."""

from unittest.mock import AsyncMock

import pytest

from caption_flow.errors import QueueUnreachable
from caption_flow.queue import reasons
from caption_flow.queue.ports import LetterFilter
from tests.queue.shop import Shop


async def test_dead_letters_are_counted_by_reason(shop: Shop):
    inspector = shop.inspector
    assert (await inspector.snapshot()).reasons == {}
    await shop.give_up(3, "corrupt")
    await shop.give_up(1, "refused")
    assert (await inspector.snapshot()).reasons == {"corrupt": 3, "refused": 1}
    await shop.give_up(2, "refused")

    assert (await inspector.snapshot()).reasons == {"corrupt": 3, "refused": 3}


async def test_letters_that_are_taken_off_do_not_count(shop: Shop):
    inspector = shop.inspector
    await shop.give_up(3, "corrupt")
    await inspector.snapshot()
    [letters] = [batch async for batch in shop.dead.letters(LetterFilter())]
    await shop.dead.drop(letters[:2])

    assert (await inspector.snapshot()).reasons == {"corrupt": 1}


async def test_while_letters_are_taken_off_they_are_not_read_at_each_look(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
):
    inspector = shop.inspector
    letters = await shop.give_up(5, "corrupt")
    found = []
    for letter in letters[:3]:
        await shop.dead.drop([letter])
        found.append((await inspector.snapshot()).reasons["corrupt"])
    assert found == [4, 4, 4]
    await shop.give_up(1, "refused")
    assert (await inspector.snapshot()).reasons == {"corrupt": 4, "refused": 1}

    monkeypatch.setattr(reasons.time, "monotonic", lambda: 1e12)

    assert (await inspector.snapshot()).reasons == {"corrupt": 2, "refused": 1}


async def test_look_that_broke_off_counts_no_letter_twice(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(reasons, "PAGE", 2)
    inspector = shop.inspector
    await shop.give_up(5, "corrupt")
    first = await inspector.client.xrevrange(inspector.lane.dead, count=2)
    looks = AsyncMock(side_effect=[first, QueueUnreachable("away")])
    with monkeypatch.context() as broken:
        broken.setattr(inspector.client, "xrevrange", looks)
        with pytest.raises(QueueUnreachable):
            await inspector.snapshot()

    assert (await inspector.snapshot()).reasons == {"corrupt": 5}


async def test_letters_of_a_server_that_was_emptied_do_not_count(shop: Shop):
    inspector = shop.inspector
    await shop.give_up(3, "corrupt")
    await inspector.snapshot()
    await shop.redis.flushall()
    await shop.give_up(1, "refused")

    assert (await inspector.snapshot()).reasons == {"refused": 1}


async def test_letters_are_read_once(shop: Shop, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(reasons, "PAGE", 20)
    inspector = shop.inspector
    await shop.give_up(50, "corrupt")
    await inspector.snapshot()
    await shop.redis.config_resetstat()
    await inspector.snapshot()

    told = await shop.redis.info("commandstats")
    assert told["cmdstat_xrevrange"]["calls"] == 1
    assert (await inspector.snapshot()).reasons == {"corrupt": 50}


async def test_of_many_letters_the_newest_are_read(shop: Shop, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(reasons, "PAGE", 2)
    monkeypatch.setattr(reasons, "MOST", 4)
    await shop.give_up(3, "corrupt")
    await shop.give_up(3, "refused")

    assert (await shop.inspector.snapshot()).reasons == {"refused": 3, "corrupt": 1}
