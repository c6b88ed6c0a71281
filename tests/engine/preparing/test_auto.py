"""A pool that finds out how many processes it needs, with processes that only take their time."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from caption_flow.config.schema import Preparing
from caption_flow.config.vllm import Stage
from caption_flow.engine.port import Request
from caption_flow.engine.preparing.pool import Preparers
from caption_flow.errors import EngineDead, EngineRefused
from caption_flow.lifecycle import cancel
from tests.engine.preparing.test_processes import runs
from tests.roles import until

SLEEPER = "tests.engine.preparing.sleeper"
STAGE = Stage("one", "tiny", ("Describe.",))
TAKES = 0.1  # seconds, to prepare an image
ANSWERED = 0.1  # seconds, to answer it


@pytest.fixture(autouse=True)
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let it look more often, and conclude sooner."""
    monkeypatch.setattr("caption_flow.engine.preparing.pool.LOOK_SECONDS", 0.1)
    monkeypatch.setattr("caption_flow.engine.preparing.sizing.GROW_SECONDS", 0.5)
    monkeypatch.setattr("caption_flow.engine.preparing.sizing.GROW_MISSED", 0.05)
    monkeypatch.setattr("caption_flow.engine.preparing.sizing.SHRINK_SECONDS", 1.0)


@asynccontextmanager
async def pool(
    count: Preparing = "auto", *, slots: int = 4, most: int = 4
) -> AsyncIterator[Preparers]:
    made = Preparers(None, count, slots=slots, most=most, module=SLEEPER)
    try:
        yield made
    finally:
        await made.close()


def request(takes: float = TAKES) -> Request:
    return Request("r", "s", STAGE, "Describe.", str(takes).encode())


async def ask(preparers: Preparers, takes: float = TAKES) -> None:
    """Have an image prepared, and answered by an engine."""
    with pytest.raises(EngineRefused, match="slept"):
        await preparers.prepare({}, request(takes))
    with preparers.load.one("answered"):
        await asyncio.sleep(ANSWERED)


@asynccontextmanager
async def busy(preparers: Preparers, at_once: int = 8) -> AsyncIterator[None]:
    """Keep so many requests inside."""

    async def again() -> None:
        while True:
            await ask(preparers)

    tasks = [asyncio.create_task(again()) for _ in range(at_once)]
    try:
        yield
    finally:
        await cancel(*tasks)


async def test_as_many_are_told_stay(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("caption_flow.engine.preparing.sizing.SHRINK_SECONDS", 0.1)
    async with pool(2, most=8) as preparers:
        await asyncio.gather(*(ask(preparers) for _ in range(20)))

        assert preparers.count == 2
        assert len(preparers.processes.pids) == 2


async def test_they_become_more_while_the_engine_lacks_images_and_fewer_when_nothing_comes():
    async with pool() as preparers:
        assert preparers.count == 1
        async with busy(preparers):
            await until(lambda: preparers.count == 4)
            await until(lambda: len(preparers.processes.pids) == 4)
        running = preparers.processes.pids
        await until(lambda: preparers.count == 1)
        await until(lambda: sum(map(runs, running)) == 1)

        assert len(preparers.processes.pids) == 1
        await ask(preparers)


async def test_there_is_one_where_it_fills_the_engine():
    async with pool(slots=1) as preparers, busy(preparers, at_once=1):
        await asyncio.sleep(3.0)

        assert preparers.count == 1


async def test_killed_process_is_replaced_and_its_image_prepared():
    async with pool() as preparers:
        async with busy(preparers):
            await until(lambda: len(preparers.processes.pids) >= 2)
        before = preparers.processes.pids
        asked = [asyncio.create_task(ask(preparers, 0.5)) for _ in range(4)]
        await asyncio.sleep(0.2)
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        await asyncio.gather(*asked)

        assert not set(before) & set(preparers.processes.pids)
        assert not any(map(runs, before))


async def test_all_that_wait_when_it_closes_are_told():
    async with pool() as preparers:
        await ask(preparers)
        asked = [asyncio.create_task(preparers.prepare({}, request(30.0))) for _ in range(4)]
        await asyncio.sleep(0.2)
    errors = await asyncio.gather(*asked, return_exceptions=True)

    assert [type(error) for error in errors] == [EngineDead] * 4


async def test_who_comes_after_the_end_is_told():
    async with pool() as preparers:
        pass
    with pytest.raises(EngineDead):
        await preparers.prepare({}, request())


async def test_images_that_nobody_wants_any_more_are_not_prepared():
    async with pool(1) as preparers:
        await ask(preparers)
        asked = [asyncio.create_task(preparers.prepare({}, request(0.5))) for _ in range(60)]
        await asyncio.sleep(0.1)
        await cancel(*asked)
        async with asyncio.timeout(5.0):
            await ask(preparers)
