"""Chaos, the estate: what Redis may have forgotten before it was in parts is not due."""

import time
from pathlib import Path

import pytest

from tests.chaos.estate import IN_PARTS, Estate, Left
from tests.chaos.mischief import REDIS, Deed
from tests.e2e.jobs import Job


@pytest.fixture
def estate(tmp_path: Path) -> Estate:
    """Two workers died: one just now, one so long ago that others are done with what it left."""
    job = Job(f"unix://{tmp_path}/nobody", "chaos")
    made, now = Estate(job), time.monotonic()
    made.left = [Left(now, 5), Left(now - 2 * IN_PARTS, 3)]
    return made


@pytest.mark.parametrize("what", ["flush", "ungroup", "crash", "failover", "kill"])
def test_what_redis_forgets_at_once_is_not_due(estate: Estate, what: str):
    estate.suffer(Deed(what, REDIS, 0, 0.0))

    assert (estate.samples, estate.due) == (8, 3)


@pytest.mark.parametrize("deed", [("cut", REDIS), ("migrate", REDIS), ("kill", "sink")])
def test_all_else_lets_it_be_due(estate: Estate, deed: tuple[str, str]):
    estate.suffer(Deed(*deed, 0, 0.0))

    assert estate.due == 8


def test_worker_of_whom_nobody_has_heard_held_nothing(estate: Estate):
    estate.note(1)

    assert (estate.samples, estate.idle) == (8, 1)
