"""The contract of FeedQueue, kept through a proxy: the queue's own tests, with remote feeders."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from caption_flow.proxy.desks import brought
from caption_flow.queue import consumer
from caption_flow.queue.connect import Connections
from tests.queue import test_alone, test_offer, test_plan, test_withdraw
from tests.remote.shop import RemoteFeedShop

# What is not about what a feeder asks, or is about how Redis answers it.
_ELSEWHERE = {
    "test_rejected_samples_are_dead_letters_in_the_same_step",  # test_feed.py has what is known
    # A feeder comes again as if it had been started anew, over a connection that knows better.
    "test_looks_at_one_sample_are_counted",
    "test_look_that_is_over_counts_no_more_nor_do_those_before",
    "test_looks_at_another_sample_are_counted_anew",
}
for _module in (test_alone, test_offer, test_plan, test_withdraw):
    for _name, _test in list(vars(_module).items()):
        if _name.startswith("test_") and _name not in _ELSEWHERE:
            _of = _module.__name__.rpartition("test_")[2]
            globals()[f"test_{_of}_{_name.removeprefix('test_')}"] = _test


@pytest.fixture(autouse=True)
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits long for anything, and the proxy believes what it is told of images."""

    def nothing(*_: object) -> Iterator[str]:
        return iter(())

    monkeypatch.setattr(brought, "_wrong_facts", nothing)
    monkeypatch.setattr("caption_flow.remote.feed.NONE_SECONDS", 0.0)
    monkeypatch.setattr("caption_flow.remote.feed.FULL_SECONDS", 0.0)
    monkeypatch.setattr("caption_flow.proxy.view.LOOK_SECONDS", 0.02)
    monkeypatch.setattr(consumer, "RECLAIM_SECONDS", 0.0)
    monkeypatch.setattr(consumer, "BLOCK_MS", None)


@asynccontextmanager
async def opened(connections: Connections, *stages: str) -> AsyncIterator[RemoteFeedShop]:
    made = RemoteFeedShop(connections, *stages)
    await made.open()
    try:
        yield made
    finally:
        await made.close()


@pytest.fixture
async def shop(connections: Connections) -> AsyncIterator[RemoteFeedShop]:
    """A job with one stage."""
    async with opened(connections) as made:
        yield made


@pytest.fixture
async def two_stages(connections: Connections) -> AsyncIterator[RemoteFeedShop]:
    """A job with the stages "look" and "tell"."""
    async with opened(connections, "look", "tell") as made:
        yield made


@pytest.fixture
async def planned(shop: RemoteFeedShop, request: pytest.FixtureRequest) -> RemoteFeedShop:
    """The job that the tests of either file begin with."""
    if request.node.name.startswith("test_withdraw"):
        await shop.plan(5, 3)
    else:
        await shop.plan(3)
        assert await shop.feeder("first").claim_chunk() is not None
    return shop
