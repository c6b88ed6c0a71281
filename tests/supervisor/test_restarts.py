"""Supervisor: what dies is started again, but not for ever where that changes nothing."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from caption_flow.model import Counts
from caption_flow.supervisor import supervisor as module
from caption_flow.supervisor.child import Role
from caption_flow.supervisor.supervisor import RoleFailed, Supervisor

STARTS = 3
# It has nobody to ask, and ends with 1 at once.
FAILING = Role("worker", ("dead", "list", "--redis", "redis://127.0.0.1:1"))


@pytest.fixture(autouse=True)
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STEADY_SECONDS", 0.0)
    monkeypatch.setattr(module, "MOST_RESTARTS", STARTS - 1)


class Starts(Supervisor):
    """Counts how often a role was started."""

    starts = 0

    def start(self, role: Role) -> None:
        self.starts += 1
        super().start(role)


async def supervise(supervisor: Starts, books: Callable[[], Counts]) -> None:
    """Look after a role that always fails, until it was started once more than it may be."""
    supervisor.start(FAILING)
    try:
        while supervisor.starts <= STARTS:
            await asyncio.sleep(0.05)
            supervisor.look_after(books())
    finally:
        supervisor.kill_all()


async def test_role_that_fails_again_while_the_job_stands_still_is_given_up(tmp_path: Path):
    supervisor = Starts(tmp_path, os.environ)

    with pytest.raises(RoleFailed, match=r"No answer from 127\.0\.0\.1:1"):
        await supervise(supervisor, lambda: Counts(planned=5))

    assert supervisor.starts == STARTS


async def test_role_that_fails_is_started_again_as_long_as_the_job_goes_on(tmp_path: Path):
    supervisor = Starts(tmp_path, os.environ)

    await supervise(supervisor, lambda: Counts(planned=5, completed=supervisor.starts))

    assert supervisor.starts == STARTS + 1
