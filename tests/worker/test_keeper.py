"""Keeper and herald: what goes on beside a role, whatever Redis does, and ends with it."""

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from caption_flow.errors import QueueFull, QueueUnfit, QueueUnreachable
from caption_flow.herald import Herald, member_name
from caption_flow.keeper import Keeper, Renew
from caption_flow.queue.connect import connect
from caption_flow.queue.job import RedisJob
from caption_flow.queue.ports import Member
from tests.redis_server import RedisServer
from tests.roles import Roles, until


class Renewals:
    """Counts renewals; the first fails or loses all as told."""

    def __init__(self, error: Exception | None = None, *, loses: bool = False) -> None:
        self.count = 0
        self.threads: set[str] = set()
        self.error = error
        self._loses = loses

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[Renew[str]]:
        yield self.renew

    async def renew(self, held: Sequence[str]) -> list[str]:
        self.count += 1
        self.threads.add(threading.current_thread().name)
        if self.count == 1 and self.error is not None:
            raise self.error
        return list(held) if self._loses else []


def keeper(renewals: Renewals, lease_seconds: float, lost: list[str] | None = None) -> Keeper[str]:
    told = lost if lost is not None else []
    return Keeper(renewals, held=lambda: ("a", "b"), lost=told.extend, lease_seconds=lease_seconds)


async def test_leases_are_renewed_for_as_long_as_the_context_lasts():
    renewals = Renewals()
    async with keeper(renewals, 0.003):
        await until(lambda: renewals.count >= 3)
    ended_at = renewals.count
    await asyncio.sleep(0.01)  # three renewals long; nothing to wait for

    assert renewals.count == ended_at


async def test_the_first_renewal_is_a_third_of_a_lease_away():
    renewals = Renewals()
    async with keeper(renewals, 1000):
        await asyncio.sleep(0)

    assert renewals.count == 0


async def test_leases_are_renewed_while_the_event_loop_is_busy():
    renewals = Renewals()
    async with keeper(renewals, 0.03):
        busy_until = time.monotonic() + 0.3  # ten leases
        while time.monotonic() < busy_until:
            pass
        renewed = renewals.count

    assert renewed >= 10
    assert renewals.threads == {"keeper"}


async def test_leases_of_a_hung_event_loop_end(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr("caption_flow.keeper.HUNG_SECONDS", 0.05)
    renewals = Renewals()
    async with keeper(renewals, 0.03):
        deadline = time.monotonic() + 20
        while "the leases end" not in caplog.text and time.monotonic() < deadline:
            time.sleep(0.001)  # noqa: ASYNC251 - holds the loop, which is the point
        at_the_end = renewals.count
        await until(lambda: renewals.count > at_the_end)  # it moves again

    assert "Nothing has moved here" in caplog.text


async def test_what_is_lost_is_told_in_the_event_loop():
    lost: list[str] = []
    async with keeper(Renewals(loses=True), 0.003, lost):
        await until(lambda: lost[:2] == ["a", "b"])


@pytest.mark.parametrize(
    "error",
    [QueueUnreachable("Away."), QueueFull("Full."), QueueUnfit("No."), ValueError("What is that?")],
)
async def test_a_renewal_that_fails_is_said_and_the_next_is_tried(
    error: Exception, caplog: pytest.LogCaptureFixture
):
    renewals = Renewals(error)
    async with keeper(renewals, 0.003):
        await until(lambda: renewals.count >= 2)

    assert f"Leases not renewed: {error}" in caplog.text


async def test_a_renewal_that_hangs_does_not_hold_up_the_end():
    renewals = Renewals()
    begun = threading.Event()

    async def hang(held: Sequence[str]) -> list[str]:
        begun.set()
        await asyncio.Event().wait()
        return list(held)

    renewals.renew = hang  # type: ignore[method-assign]
    async with asyncio.timeout(20), keeper(renewals, 0.003):
        await until(begun.is_set)


async def members(job: RedisJob) -> list[bytes]:
    found: list[bytes] = await job.client.hkeys(job.keys.members)
    return found


async def test_a_member_is_seen_while_it_lives_and_says_goodbye(roles: Roles):
    herald = Herald(roles.job, role="sink", name="me", figures=lambda: {"rows": 3.0})
    async with herald:
        await until(lambda: members(roles.job))
        [word] = await roles.client.hvals(roles.job.keys.members)
    assert await members(roles.job) == []

    member = _member(word)
    assert (member.role, member.name, member.pid) == ("sink", "me", os.getpid())
    assert (member.state, member.figures) == ("starting", {"rows": 3.0})


def _member(word: bytes) -> Member:
    return msgspec.json.decode(word, type=Member)


async def test_a_member_is_seen_again_when_redis_is_back(
    own_server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("caption_flow.herald.BEAT_SECONDS", 0.01)
    async with connect(own_server.url, role="test") as connections:
        job = Roles(connections, tmp_path).job
        async with Herald(job, role="sink", name="me", figures=dict):
            await until(lambda: members(job))
            own_server.stop()
            own_server.start()
            own_server.cli("FLUSHALL")
            await until(lambda: own_server.cli("HLEN", job.keys.members) == "1")


async def test_a_member_leaves_quietly_when_redis_is_away(own_server: RedisServer, tmp_path: Path):
    async with connect(own_server.url, role="test") as connections:
        roles = Roles(connections, tmp_path)
        async with Herald(roles.job, role="sink", name="me", figures=dict):
            await until(lambda: members(roles.job))
            own_server.stop()


def test_no_two_members_have_one_name():
    assert member_name("sink") != member_name("sink")
