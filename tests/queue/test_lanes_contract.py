"""The contracts of the queues, kept over three lanes: the queues' own tests."""

import pytest

from caption_flow.queue import consumer
from caption_flow.queue.connect import Connections
from tests.queue import test_complete, test_fail, test_offer, test_plan, test_withdraw
from tests.queue.laned_shop import LanedShop
from tests.queue.test_withdraw import planned

__all__ = ["planned"]

# What looks into the streams of one lane behind the queue's back; test_lanes.py has that of all.
_ELSEWHERE = {
    "test_planners_at_once_never_double_a_chunk",
    "test_dead_letter_keeps_all_fields_of_its_entry",
    "test_entry_deleted_by_hand_harms_no_neighbour",
}
for _module in (test_offer, test_plan, test_withdraw, test_complete, test_fail):
    for _name, _test in list(vars(_module).items()):
        if _name.startswith("test_") and _name not in _ELSEWHERE:
            _of = _module.__name__.rpartition("test_")[2]
            globals()[f"test_{_of}_{_name.removeprefix('test_')}"] = _test


@pytest.fixture(autouse=True)
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits long for anything."""
    monkeypatch.setattr("caption_flow.queue.lanes.feed.BLOCK_MS", 0)
    monkeypatch.setattr("caption_flow.queue.lanes.work.WAIT_SECONDS", 0.0)
    monkeypatch.setattr(consumer, "RECLAIM_SECONDS", 0.0)
    monkeypatch.setattr(consumer, "BLOCK_MS", None)


@pytest.fixture
def shop(connections: Connections) -> LanedShop:
    """A job with one stage."""
    return LanedShop(connections)


@pytest.fixture
def two_stages(connections: Connections) -> LanedShop:
    """A job with the stages "look" and "tell"."""
    return LanedShop(connections, "look", "tell")
