"""A worker whose engine has its images prepared by processes, as many as it finds out it needs."""

import asyncio
import os
import signal

import pytest

from caption_flow.engine.port import Output, Request
from caption_flow.engine.preparing.pool import Preparers
from caption_flow.errors import EngineRefused
from tests.engine.preparing.test_auto import SLEEPER
from tests.engine.preparing.test_processes import runs
from tests.made import jpeg
from tests.roles import Roles, running, until
from tests.worker.engines import CountingEngine

IMAGES = 300
TAKES = b"0.05"  # seconds, to prepare an image
ANSWERED = 0.1  # seconds, to answer it


class PreparingEngine(CountingEngine):
    """Waits for a process to prepare each image, and then for its answer."""

    def __init__(self) -> None:
        super().__init__(capacity=8)
        self.pool = Preparers(None, "auto", slots=self.capacity, most=4, module=SLEEPER)

    @property
    def preparers(self) -> int:  # type: ignore[override]
        return self.pool.count

    async def caption(self, request: Request) -> Output:
        with pytest.raises(EngineRefused, match="slept"):
            await self.pool.prepare({}, _slow(request))
        with self.pool.load.one("answered"):
            await asyncio.sleep(ANSWERED)
        return await super().caption(request)


def _slow(request: Request) -> Request:
    return Request(request.id, request.sample, request.stage, request.prompt, TAKES)


async def test_worker_tells_how_many_it_needs_and_loses_nothing_with_one_that_is_killed(
    roles: Roles, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("caption_flow.engine.preparing.pool.LOOK_SECONDS", 0.1)
    monkeypatch.setattr("caption_flow.engine.preparing.sizing.GROW_SECONDS", 0.5)
    monkeypatch.setattr("caption_flow.engine.preparing.sizing.GROW_MISSED", 0.05)
    await roles.offer([jpeg(n) for n in range(IMAGES)])
    engine = PreparingEngine()
    worker = await roles.worker(engine)
    async with running(worker.run()) as working:
        assert worker.figures()["preparers"] == 1
        await until(lambda: worker.figures()["preparers"] > 1)
        await until(lambda: len(engine.pool.processes.pids) > 1)
        killed = engine.pool.processes.pids
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        async with asyncio.timeout(60.0):
            await working
    left = engine.pool.processes.pids
    await engine.pool.close()

    assert (worker.settler.completed, worker.settler.failed) == (IMAGES, 0)
    assert left
    assert not set(left) & set(killed)
    assert not any(map(runs, [*left, *killed]))
