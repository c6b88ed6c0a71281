"""The contract of WorkQueue, kept through a proxy: the queue's own tests, with remote workers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from caption_flow.queue import consumer
from caption_flow.queue.connect import Connections
from tests.queue import test_claim, test_complete, test_defer, test_fail, test_release, test_renew
from tests.queue import test_suspect as about_suspects
from tests.remote.shop import RemoteShop, believe

# What is not about what a worker asks, or is about how Redis answers it.
_ELSEWHERE = {
    "test_waiting_claim_takes_no_more_than_asked_of_two_streams",
    "test_surplus_of_a_claim_is_given_by_the_next",
    "test_image_that_is_gone_is_left_out",  # it was sent before that
    "test_images_are_found_in_whatever_order_they_are_asked_for",  # likewise
    "test_sample_entry_can_be_read_by_a_person",
    "test_outcomes_stand_in_the_order_of_the_stages",
    "test_all_dead_are_named",
    # Which stages there are is for the settings to say.
    "test_sample_of_a_stage_that_was_dropped_goes_where_it_belongs",
    "test_sample_that_has_passed_all_stages_there_are_is_finished",
    "test_what_is_only_moved_credits_nobody",
    "test_released_captions_go_to_another_sink",
    "test_worker_that_was_told_no_stages_may_leave",
    "test_who_leaves_while_redis_is_away_goes_quietly",
    "test_sink_is_told_of_lost_captions",
    "test_thousands_of_leases_are_renewed_at_once",  # here in several frames, see test_work.py
    "test_caption_lost_and_back_is_not_read_twice",
}
for _module in (
    *(test_claim, test_complete, test_defer, test_fail, test_release, test_renew),
    about_suspects,
):
    for _name, _test in list(vars(_module).items()):
        if _name.startswith("test_") and _name not in _ELSEWHERE:
            _of = _module.__name__.rpartition("test_")[2]
            globals()[f"test_{_of}_{_name.removeprefix('test_')}"] = _test


@pytest.fixture(autouse=True)
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits long for anything, and the proxy believes what it is told."""
    believe(monkeypatch)
    monkeypatch.setattr("caption_flow.remote.work.CLAIM_SECONDS", 0.6)
    monkeypatch.setattr("caption_flow.proxy.view.LOOK_SECONDS", 0.02)
    monkeypatch.setattr("caption_flow.proxy.line.TICK_SECONDS", 0.02)
    monkeypatch.setattr("caption_flow.queue.news.BLOCK_MS", 20)
    monkeypatch.setattr(consumer, "RECLAIM_SECONDS", 0.0)
    monkeypatch.setattr(consumer, "BLOCK_MS", None)


@asynccontextmanager
async def opened(connections: Connections, *stages: str) -> AsyncIterator[RemoteShop]:
    made = RemoteShop(connections, *stages)
    await made.open()
    try:
        yield made
    finally:
        await made.close()


@pytest.fixture
async def shop(connections: Connections) -> AsyncIterator[RemoteShop]:
    """A job with one stage."""
    async with opened(connections) as made:
        yield made


@pytest.fixture
async def two_stages(connections: Connections) -> AsyncIterator[RemoteShop]:
    """A job with the stages "look" and "tell"."""
    async with opened(connections, "look", "tell") as made:
        yield made
