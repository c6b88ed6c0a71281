"""Surveys: what one sink found all sinks of its process know, while nothing is forgotten."""

import asyncio

import pytest

from caption_flow.sink.surveys import Survey, Surveys


class Search:
    """Finds something else each time."""

    def __init__(self) -> None:
        self.count = 0

    async def __call__(self) -> Survey:
        await asyncio.sleep(0)
        self.count += 1
        return Survey({}, frozenset({f"part {self.count}"}), {})


async def take(surveys: Surveys, who: str, epoch: str, search: Search) -> set[str]:
    return set((await surveys.take(who, epoch, search)).parts)


async def test_all_who_ask_at_once_have_what_one_found():
    surveys, search = Surveys(3), Search()

    taken = await asyncio.gather(*(take(surveys, who, "epoch", search) for who in "abc"))

    assert taken == [{"part 1"}] * 3


async def test_another_epoch_is_looked_at_anew():
    surveys, search = Surveys(2), Search()
    await take(surveys, "a", "first", search)

    assert await take(surveys, "b", "second", search) == {"part 2"}
    assert await take(surveys, "a", "second", search) == {"part 2"}


async def test_who_asks_again_in_an_epoch_looks_anew():
    """What it was given may have been of no use to it, as where a part is gone."""
    surveys, search = Surveys(3), Search()
    await take(surveys, "a", "epoch", search)

    assert await take(surveys, "a", "epoch", search) == {"part 2"}
    assert await take(surveys, "b", "epoch", search) == {"part 2"}


async def test_what_all_have_is_kept_no_longer():
    surveys, search = Surveys(2), Search()
    await take(surveys, "a", "epoch", search)
    await take(surveys, "b", "epoch", search)

    assert surveys._last is None


async def test_search_that_fails_is_made_by_the_next():
    async def fail() -> Survey:
        raise OSError("the disk is away")

    surveys, search = Surveys(2), Search()
    with pytest.raises(OSError, match="away"):
        await surveys.take("a", "epoch", fail)

    assert await take(surveys, "b", "epoch", search) == {"part 1"}
